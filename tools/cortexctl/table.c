#include "tools/cortexctl/table.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cell_count(struct cell *c, uint64_t n)
{
    c->kind = CELL_COUNT;
    c->u64 = n;
}

void cell_flag(struct cell *c, bool is_set)
{
    c->kind = CELL_FLAG;
    c->u64 = is_set;
}

void cell_id(struct cell *c, uint64_t id)
{
    c->kind = CELL_ID;
    c->u64 = id;
}

void cell_rate(struct cell *c, double rate, int digits)
{
    c->kind = CELL_RATE;
    c->real = rate;
    c->digits = digits;
}

void cell_bytes(struct cell *c, uint64_t n)
{
    c->kind = CELL_BYTES;
    c->u64 = n;
}

void cell_text(struct cell *c, const char *text)
{
    c->kind = text[0] == '\0' ? CELL_NONE : CELL_TEXT;
    snprintf(c->text, sizeof c->text, "%s", text);
}

void cell_span(struct cell *c, uint64_t then_ns, uint64_t now_ns)
{
    c->kind = then_ns == 0 ? CELL_NONE : CELL_SECONDS;
    c->u64 = now_ns > then_ns ? now_ns - then_ns : 0;
}

void add_printable(struct buf *b, const char *text)
{
    buf_add_printable(b, text, strlen(text), "");
}

void add_span(struct buf *b, uint64_t ns)
{
    uint64_t s = ns / NS_PER_S;

    if (ns < NS_PER_MS)
        buf_printf(b, "%" PRIu64 "us", ns / NS_PER_US);
    else if (ns < NS_PER_S)
        buf_printf(b, "%" PRIu64 "ms", ns / NS_PER_MS);
    else if (s < 60)
        buf_printf(b, "%" PRIu64 ".%" PRIu64 "s", s, ns / (NS_PER_S / 10) % 10);
    else if (s < 3600)
        buf_printf(b, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        buf_printf(b, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        buf_printf(b, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static void add_bytes(struct buf *b, uint64_t n)
{
    if (n < 1000000)
        buf_printf(b, "%" PRIu64 " B", n);
    else if (n < 1000000000)
        buf_printf(b, "%.1f MB", (double)n / 1e6);
    else
        buf_printf(b, "%.2f GB", (double)n / 1e9);
}

/* ---- JSON ---- */

static void add_separator(struct buf *b, const char *key)
{
    char last = buf_pending(b) > 0 ? b->data[b->len - 1] : '[';

    if (last != '{' && last != '[' && last != '\n')
        buf_add_char(b, ',');
    if (key != NULL) {
        buf_add_json_string(b, key, strlen(key));
        buf_add_char(b, ':');
    }
}

void json_begin(struct buf *b, const char *key, char bracket)
{
    add_separator(b, key);
    buf_add_char(b, bracket);
}

void json_end(struct buf *b, char bracket)
{
    buf_add_char(b, bracket);
}

void json_text(struct buf *b, const char *key, const char *text)
{
    add_separator(b, key);
    buf_add_json_string(b, text, strlen(text));
}

void json_count(struct buf *b, const char *key, uint64_t n)
{
    add_separator(b, key);
    buf_add_u64(b, n);
}

void json_flag(struct buf *b, const char *key, bool is_set)
{
    add_separator(b, key);
    buf_add_str(b, is_set ? "true" : "false");
}

void json_cell(struct buf *b, const char *key, const struct cell *c)
{
    add_separator(b, key);
    switch (c->kind) {
    case CELL_NONE:
        buf_add_str(b, "null");
        break;
    case CELL_TEXT:
        buf_add_json_string(b, c->text, strlen(c->text));
        break;
    case CELL_COUNT:
    case CELL_BYTES:
        buf_add_u64(b, c->u64);
        break;
    case CELL_SECONDS:
        buf_printf(b, "%" PRIu64 ".%06" PRIu64, c->u64 / NS_PER_S, c->u64 % NS_PER_S / NS_PER_US);
        break;
    case CELL_RATE:
        buf_printf(b, "%.*f", c->digits, c->real);
        break;
    case CELL_ID:
        buf_printf(b, "\"%016" PRIx64 "\"", c->u64);
        break;
    case CELL_FLAG:
        buf_add_str(b, c->u64 ? "true" : "false");
        break;
    }
}

/* ---- tables ---- */

static void add_cell_text(struct buf *b, const struct cell *c)
{
    switch (c->kind) {
    case CELL_NONE:
        buf_add_char(b, '-');
        break;
    case CELL_TEXT:
        add_printable(b, c->text);
        break;
    case CELL_COUNT:
        buf_add_u64(b, c->u64);
        break;
    case CELL_BYTES:
        add_bytes(b, c->u64);
        break;
    case CELL_SECONDS:
        add_span(b, c->u64);
        break;
    case CELL_RATE:
        buf_printf(b, "%.*f", c->digits, c->real);
        break;
    case CELL_ID:
        buf_printf(b, "%016" PRIx64, c->u64);
        break;
    case CELL_FLAG:
        buf_add_str(b, c->u64 ? "yes" : "-");
        break;
    }
}

void table_begin(struct table *t, const struct column *columns, size_t n, bool is_json,
                 struct buf *out, const char *key)
{
    *t = (struct table){.columns = columns, .n_columns = n, .is_json = is_json, .out = out};
    if (is_json)
        json_begin(out, key, '[');
}

static bool is_number(enum cell_kind kind)
{
    return kind == CELL_COUNT || kind == CELL_BYTES || kind == CELL_SECONDS || kind == CELL_RATE;
}

void table_row(struct table *t, void *row)
{
    if (t->is_json)
        json_begin(t->out, NULL, '{');
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct column *col = &t->columns[i];
        struct cell c = {.kind = CELL_NONE};
        if ((t->is_json ? col->key : col->head) == NULL)
            continue;
        col->fill(row, &c);
        if (t->is_json) {
            json_cell(t->out, col->key, &c);
            continue;
        }
        buf_add_char(&t->cells, is_number(c.kind) ? 'n' : 't');
        add_cell_text(&t->cells, &c);
        buf_add_char(&t->cells, '\0');
    }
    if (t->is_json)
        json_end(t->out, '}');
}

/* Places on the terminal, one per code point. */
static size_t text_width(const char *s)
{
    size_t n = 0;

    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void add_padded(struct buf *b, const char *text, size_t width, bool to_the_right,
                       bool is_last)
{
    size_t spaces = width - text_width(text);

    for (size_t i = 0; to_the_right && i < spaces; i++)
        buf_add_char(b, ' ');
    buf_add_str(b, text);
    for (size_t i = 0; !to_the_right && !is_last && i < spaces; i++)
        buf_add_char(b, ' ');
    buf_add_str(b, is_last ? "\n" : "  ");
}

struct shape {
    const char *head;
    size_t width;
    bool is_number; /* some cell of the column is; then all stand to the right */
};

static void print_rows(struct table *t, struct shape *shape, size_t n)
{
    const char *at = t->cells.data + t->cells.pos;
    const char *end = t->cells.data + t->cells.len;

    for (size_t i = 0; i < n; i++)
        add_padded(t->out, shape[i].head, shape[i].width, shape[i].is_number, i == n - 1);
    while (at < end)
        for (size_t i = 0; i < n; i++) {
            add_padded(t->out, at + 1, shape[i].width, shape[i].is_number, i == n - 1);
            at += strlen(at) + 1;
        }
}

void table_end(struct table *t)
{
    if (t->is_json) {
        json_end(t->out, ']');
        return;
    }
    struct shape *shape = calloc(t->n_columns + 1, sizeof *shape);
    size_t n = 0;
    if (shape == NULL)
        return;
    for (size_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].head != NULL) {
            shape[n].head = t->columns[i].head;
            shape[n].width = text_width(shape[n].head);
            n++;
        }
    size_t i = 0;
    for (const char *at = t->cells.data; at != NULL && at < t->cells.data + t->cells.len;
         at += strlen(at) + 1, i = (i + 1) % n) {
        size_t width = text_width(at + 1);
        shape[i].width = width > shape[i].width ? width : shape[i].width;
        shape[i].is_number |= at[0] == 'n';
    }
    if (n > 0)
        print_rows(t, shape, n);
    free(shape);
    buf_free(&t->cells);
}
