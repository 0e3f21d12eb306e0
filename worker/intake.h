/* What the router says to the worker (records R2W of shm/protocol.h): input from a stranger.
 *
 * A record that breaks the protocol ends the link, and the worker with it; a request whose JSON
 * asks for what cannot be done fails alone. Long requests are parsed a slice per call, so that the
 * others' tokens keep their pace. */
#ifndef WORKER_INTAKE_H
#define WORKER_INTAKE_H

#include "base/json.h"
#include "worker/engine.h"

struct intake {
    struct ring *ring;                /* borrowed */
    struct request_table *table;      /* borrowed */
    struct reply *reply;              /* borrowed */
    struct engine *engine;            /* borrowed */
    struct worker_counters *counters; /* borrowed */
    uint32_t vocab;
    struct ring_assembler assembler;
    struct ring_entry entry;    /* the last one taken; a short record's bytes lie in it */
    struct request *parsed;     /* request whose JSON is being parsed, or NULL; borrowed */
    struct json_reader *reader; /* owned, while parsed != NULL */
    const char *json;           /* borrowed from entry or assembler */
    size_t json_len, json_done;
};

void intake_init(struct intake *in, struct engine *engine, uint32_t vocab);

/* Take a bounded number of records and act on them. 0, or -EPROTO with the sentence. */
int intake_take(struct intake *in, uint64_t now_ns, struct err *e);

static inline bool intake_is_parsing(const struct intake *in)
{
    return in->parsed != NULL;
}

/* The link is gone: forget half a record. */
void intake_reset(struct intake *in);

#endif
