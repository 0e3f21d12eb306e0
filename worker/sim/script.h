/* Scripted answers: exact text in exact pieces, from a JSON file (docs/simulate.md). */
#ifndef WORKER_SIM_SCRIPT_H
#define WORKER_SIM_SCRIPT_H

#include "base/err.h"
#include "base/json.h"
#include "shm/states.h"

struct script_piece {
    const char *text; /* borrowed from script.root, or bytes */
    size_t len;
    char *bytes; /* owned; NULL unless the file gives them so */
    enum channel channel;
    uint32_t delay_ms; /* before it */
};

struct script_answer {
    const char *match; /* borrowed: what the prompt must contain, "" = anything */
    size_t match_len;
    struct script_piece *piece; /* owned */
    uint32_t n_pieces;
    uint32_t delay_ms; /* before the first piece */
    enum finish_reason finish;
};

struct script {
    struct script_answer *answer; /* owned */
    uint32_t n_answers;
    struct json_object *root; /* owned */
};

/* Take over the tree. 0, or -EINVAL with the sentence; then nothing is kept, the tree is freed. */
int script_parse(struct script *s, struct json_object *root, struct err *e);
/* The same from a file. */
int script_load(struct script *s, const char *path, struct err *e);
void script_free(struct script *s);

#endif
