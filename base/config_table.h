/* The rows behind base/config.h, for base/config_*.c only: what parses, prints, documents, compares
 * and overrides a key walks these. */
#ifndef BASE_CONFIG_TABLE_H
#define BASE_CONFIG_TABLE_H

#include "base/config.h"

/* X(constant, text) */
#define CONFIG_RELOADS(X) \
    X(RELOAD_LIVE, "reload") \
    X(RELOAD_WORKER, "reload, replaces its workers") \
    X(RELOAD_RESTART, "restart")

#define X(constant, text) constant,
enum config_reload { CONFIG_RELOADS(X) RELOADS_N };
#undef X
enum config_type { TYPE_STR, TYPE_INT, TYPE_BOOL };

struct key_row {
    const char *name;
    enum config_type type;
    const char *def;
    int64_t min, max;
    const char *unit;
    enum config_reload reload;
    const char *help;
    size_t offset; /* in the section's struct */
};

struct section_row {
    const char *name;
    const struct key_row *(*keys)(size_t *n);
    size_t size;         /* of the section's struct, which starts with id when is_named */
    size_t offset;       /* in struct config: the section, or the pointer to the named ones */
    size_t count_offset; /* named: in struct config */
    size_t max;          /* named: how many */
    bool is_named;
};

extern const struct section_row config_sections[];
extern const size_t config_n_sections;

const char *config_reload_name(enum config_reload reload);

/* Row by name, or NULL. */
const struct section_row *config_find_section(const char *name);
const struct key_row *config_find_key(const struct section_row *s, const char *name);

/* Sections of one row in c: 1 for a plain one. i-th of them; its id ("" for a plain one). */
size_t config_count(const struct config *c, const struct section_row *s);
void *config_section_at(const struct config *c, const struct section_row *s, size_t i);
const char *config_id(const struct section_row *s, const void *section);

/* Append a named section with its defaults; the caller has checked max. */
void *config_append(struct config *c, const struct section_row *s, const char *id);
void config_set_defaults(const struct section_row *s, void *section);

/* Parse text into the key's member. The sentence names neither file nor key. */
int config_set_key(void *section, const struct key_row *k, const char *text, struct err *e);

/* The member as text, unquoted; true when the two sections hold the same. */
void config_print_value(const void *section, const struct key_row *k, struct buf *out);
bool config_same_value(const void *a, const void *b, const struct key_row *k);

/* 1 when text is UTF-8 without control bytes. */
int config_is_text(const char *text, size_t len);

/* The whole environment against the table. */
int config_override(struct config *c, char *const *environment, struct err *e);

/* The command line's keys; words may be NULL. */
int config_apply_words(struct config *c, const struct config_words *words, struct err *e);

#endif
