#include "base/clock.h"
#include "shm/node.h"
#include "tools/cortexctl/ctl.h"
#include "tools/cortexctl/table.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 100 /* the writers wake nobody: looking is for people, and cheap */

struct line {
    uint64_t wall_ns;
    uint64_t n;
    uint64_t request;
    uint32_t process;
    char level[24], tag[24], text[256];
};

/* The log rings of one segment, and how far each was read. */
struct reader {
    struct ctl *c;
    struct shm_section_desc logs, lines;
    struct view v; /* describes a line; its record is where lines are copied */
    size_t name_width;
    uint64_t *next;     /* by log: first line not read yet; owned */
    struct line *found; /* owned */
    size_t n_found, cap;
};

static void reader_close(struct reader *r)
{
    view_close(&r->v);
    free(r->next);
    free(r->found);
    *r = (struct reader){0};
}

static size_t find_name_width(struct ctl *c, const struct shm_section_desc *logs)
{
    size_t width = 0;
    char name[128];

    for (uint32_t i = 0; i < logs->count; i++)
        if (describe_log_written(&c->d, logs, i) > 0 &&
            strlen(ctl_process_name(c, i, name, sizeof name)) > width)
            width = strlen(name);
    return width;
}

static int reader_open(struct reader *r, struct ctl *c, struct err *e)
{
    *r = (struct reader){.c = c};
    if (describe_section(&c->d, "log", &r->logs) != 0 ||
        describe_section(&c->d, "log_line", &r->lines) != 0 || r->lines.count == 0)
        return err_set(e, EPROTO, "instance \"%s\": its segment describes no log", c->instance);
    view_open(&r->v, &c->d, "log_line");
    r->name_width = find_name_width(c, &r->logs);
    r->next = calloc(r->logs.count + 1, sizeof *r->next);
    if (r->v.record == NULL || r->next == NULL) {
        reader_close(r);
        return err_set(e, ENOMEM, "read the log: out of memory");
    }
    return 0;
}

static void keep_line(struct reader *r, uint32_t process, uint64_t n)
{
    if (r->n_found == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 256;
        struct line *more = realloc(r->found, cap * sizeof *more);
        if (more == NULL)
            return;
        r->found = more;
        r->cap = cap;
    }
    struct line *l = &r->found[r->n_found++];
    l->process = process;
    l->n = n;
    l->wall_ns = view_u64(&r->v, "wall_ns");
    l->request = view_u64(&r->v, "request");
    view_text(&r->v, "level", l->level, sizeof l->level);
    view_text(&r->v, "tag", l->tag, sizeof l->tag);
    view_text(&r->v, "text", l->text, sizeof l->text);
}

/* Read what log i has got since the last time; how many lines were overwritten before that. */
static uint64_t read_log(struct reader *r, uint32_t i)
{
    uint64_t written = describe_log_written(&r->c->d, &r->logs, i);
    uint64_t first = r->next[i], lost = 0;

    if (written - first >= r->lines.count)
        first = written - (r->lines.count - 1);
    lost = first - r->next[i];
    for (uint64_t n = first; n < written; n++) {
        int rc = describe_log_line(&r->c->d, &r->logs, &r->lines, i, n, r->v.record,
                                   r->v.section.stride);
        if (rc == 0)
            keep_line(r, i, n);
        else
            lost++;
    }
    r->next[i] = written;
    return lost;
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->wall_ns != y->wall_ns)
        return x->wall_ns < y->wall_ns ? -1 : 1;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    return x->n < y->n ? -1 : x->n > y->n;
}

static void format_time(char *out, size_t size, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm tm = {0};
    char date[40];

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, size, "%s.%03uZ", date, (unsigned)(wall_ns / NS_PER_MS % 1000));
}

static void add_column(struct buf *b, const char *text, size_t width)
{
    size_t end = buf_pending(b) + width;

    add_printable(b, text);
    while (buf_pending(b) < end)
        buf_add_char(b, ' ');
    buf_add_str(b, "  ");
}

static void add_line(struct reader *r, const struct line *l)
{
    struct ctl *c = r->c;
    char when[48], name[128], request[24] = "-";
    struct cell id = {.kind = CELL_NONE};

    format_time(when, sizeof when, l->wall_ns);
    ctl_process_name(c, l->process, name, sizeof name);
    if (l->request != 0)
        cell_id(&id, l->request);
    if (c->is_json) {
        json_begin(&c->out, NULL, '{');
        json_text(&c->out, "time", when);
        json_text(&c->out, "process", name);
        json_text(&c->out, "level", l->level);
        json_text(&c->out, "tag", l->tag);
        json_cell(&c->out, "request", &id);
        json_text(&c->out, "text", l->text);
        buf_add_str(&c->out, "}\n");
        return;
    }
    if (l->request != 0)
        snprintf(request, sizeof request, "%016" PRIx64, l->request);
    add_column(&c->out, when, 24);
    if (strlen(name) > r->name_width) /* a process that started while we follow */
        r->name_width = strlen(name);
    add_column(&c->out, name, r->name_width);
    add_column(&c->out, l->level, 7);
    add_column(&c->out, l->tag, 7);
    add_column(&c->out, request, 16);
    add_printable(&c->out, l->text);
    buf_add_char(&c->out, '\n');
}

static void add_loss(struct ctl *c, uint32_t process, uint64_t lost)
{
    char name[128];

    ctl_process_name(c, process, name, sizeof name);
    if (!c->is_json) {
        buf_printf(&c->out, "! %" PRIu64 " lines of ", lost);
        add_printable(&c->out, name);
        buf_add_str(&c->out, " were overwritten before they could be read\n");
        return;
    }
    json_begin(&c->out, NULL, '{');
    json_text(&c->out, "process", name);
    json_count(&c->out, "lost", lost);
    buf_add_str(&c->out, "}\n");
}

/* Read all rings, print the last `most` lines in the order of time. */
static void add_lines(struct reader *r, uint64_t most, bool is_first)
{
    r->n_found = 0;
    for (uint32_t i = 0; i < r->logs.count; i++) {
        uint64_t lost = read_log(r, i);
        if (lost > 0 && !is_first)
            add_loss(r->c, i, lost);
    }
    if (r->n_found > 0)
        qsort(r->found, r->n_found, sizeof r->found[0], compare_lines);
    for (size_t i = r->n_found > most ? r->n_found - (size_t)most : 0; i < r->n_found; i++)
        add_line(r, &r->found[i]);
}

/* Has a later start of the supervisor put another segment under this name? */
static bool has_successor(struct ctl *c)
{
    struct shm_header h;
    const void *base;
    size_t size;

    if (node_attach_any(&base, &size, c->instance, NULL) != 0)
        return false; /* stopped for now */
    memcpy(&h, base, sizeof h);
    node_detach(base, size);
    return h.boot_id != c->d.header.boot_id;
}

/* Go on in it, from its first line. */
static int switch_segment(struct ctl *c, struct reader *r, struct err *e)
{
    reader_close(r);
    ctl_detach(c);
    int rc = ctl_attach(c, e);
    return rc != 0 ? rc : reader_open(r, c, e);
}

/* 1 when nobody reads our output any more. */
static int wait_for_tick(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, POLL_MS) > 0 && (out.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

static int follow(struct ctl *c, struct reader *r, struct err *e)
{
    int rc = ctl_flush(c);

    while (rc == 0 && !wait_for_tick()) {
        bool is_over = has_successor(c);
        add_lines(r, UINT64_MAX, false);
        if (is_over)
            rc = switch_segment(c, r, e);
        if (rc == 0)
            rc = ctl_flush(c);
    }
    return rc;
}

int ctl_log(struct ctl *c, struct err *e)
{
    struct reader r;
    int rc = reader_open(&r, c, e);

    if (rc != 0)
        return rc;
    add_lines(&r, c->lines, true);
    if (c->is_following)
        rc = follow(c, &r, e);
    reader_close(&r);
    return rc;
}
