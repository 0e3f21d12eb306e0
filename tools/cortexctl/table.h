/* Rows of columns, printed as an aligned table or as a JSON array from the same list of columns. */
#ifndef TOOLS_CORTEXCTL_TABLE_H
#define TOOLS_CORTEXCTL_TABLE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum cell_kind {
    CELL_NONE, /* "-", null */
    CELL_TEXT,
    CELL_COUNT,
    CELL_BYTES,   /* 1.25 GB, 1250000000 */
    CELL_SECONDS, /* 3m20s, 200.000 */
    CELL_RATE,    /* a real number with `digits` decimals */
    CELL_ID,      /* 16 hexadecimal digits, a JSON string */
    CELL_FLAG,    /* yes or "-", true or false */
};

struct cell {
    enum cell_kind kind;
    uint64_t u64; /* COUNT, BYTES, ID, FLAG; nanoseconds of SECONDS */
    double real;  /* RATE */
    int digits;   /* RATE */
    char text[256];
};

void cell_count(struct cell *c, uint64_t n);
void cell_flag(struct cell *c, bool is_set);
void cell_id(struct cell *c, uint64_t id);
void cell_rate(struct cell *c, double rate, int digits);
void cell_bytes(struct cell *c, uint64_t n);
void cell_text(struct cell *c, const char *text); /* "" is no cell */
/* From `then` to `now`; no cell when then is 0, 0 seconds when it is later. */
void cell_span(struct cell *c, uint64_t then_ns, uint64_t now_ns);

struct column {
    const char *head; /* NULL: JSON only */
    const char *key;  /* NULL: text only */
    void (*fill)(void *row, struct cell *out);
};

struct table {
    const struct column *columns; /* borrowed */
    size_t n_columns;
    bool is_json;
    struct buf *out;  /* borrowed */
    struct buf cells; /* text so far: each cell a flag byte, its text, NUL; owned */
};
/* key: of the array in JSON. */
void table_begin(struct table *t, const struct column *columns, size_t n, bool is_json,
                 struct buf *out, const char *key);
void table_row(struct table *t, void *row);
void table_end(struct table *t);

/* Text that may come from anybody, for a terminal: what is not printable comes out as '?'. */
void add_printable(struct buf *b, const char *text);
void add_span(struct buf *b, uint64_t ns);

/* JSON, with commas where they belong. key NULL = an element of an array. */
void json_begin(struct buf *b, const char *key, char bracket);
void json_end(struct buf *b, char bracket);
void json_text(struct buf *b, const char *key, const char *text);
void json_count(struct buf *b, const char *key, uint64_t n);
void json_flag(struct buf *b, const char *key, bool is_set);
void json_cell(struct buf *b, const char *key, const struct cell *c);

#endif
