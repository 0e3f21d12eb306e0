/* Typed, bounded reading of the members of a checkpoint's JSON files, and the table of the keys
 * that config.json may have. Shared by the parsers of this folder. */
#ifndef WORKER_MODEL_CONFIG_READ_H
#define WORKER_MODEL_CONFIG_READ_H

#include "base/err.h"
#include "base/json.h"
#include "worker/model/config.h"

/* A key of the file in a sentence: as it is, or words for one with control bytes. */
const char *config_printable(const char *key);

/* Each leaves *out alone when the key is absent or null. */
int config_read_u32(const struct json_object *o, const char *key, uint32_t min, uint32_t max,
                    uint32_t *out, struct err *e);
int config_read_double(const struct json_object *o, const char *key, double min, double max,
                       double *out, struct err *e);
int config_read_bool(const struct json_object *o, const char *key, bool *out, struct err *e);

/* eos_token_id: absent, null, one id, or an array of ids, each below vocab_size. *n stays when
 * absent. */
int config_read_eos(const struct json_object *o, uint32_t vocab_size, uint32_t *n,
                    uint32_t out[CONFIG_EOS_MAX], struct err *e);

/* Every key of o is known, and has the value that is the only one supported, if so. is_outer: o
 * holds a text_config, which is where the model's own keys belong. */
int config_check_keys(const struct json_object *o, bool is_outer, struct err *e);

/* rope_parameters or rope_scaling, rope_theta and partial_rotary_factor, for c's head_dim. */
int config_read_rope(struct model_config *c, const struct json_object *text, struct err *e);

#endif
