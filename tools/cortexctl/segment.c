#include "tools/cortexctl/ctl.h"

#include "base/clock.h"
#include "shm/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void view_open(struct view *v, const struct describe *d, const char *section)
{
    *v = (struct view){.d = d};
    if (describe_section(d, section, &v->section) != 0)
        return;
    v->record = calloc(1, v->section.stride);
    if (v->record == NULL)
        v->section.count = 0;
}

void view_close(struct view *v)
{
    free(v->record);
    *v = (struct view){0};
}

bool view_load(struct view *v, uint32_t i)
{
    if (i >= v->section.count)
        return false;
    v->is_torn = describe_record(v->d, &v->section, i, v->record, v->section.stride) != 0;
    return true;
}

bool view_has(const struct view *v, const char *field)
{
    struct shm_field_desc f;
    return v->record != NULL && describe_field(v->d, &v->section, field, &f) == 0;
}

uint64_t view_u64(const struct view *v, const char *field)
{
    struct shm_field_desc f;
    struct describe_value value;

    if (v->record == NULL || describe_field(v->d, &v->section, field, &f) != 0)
        return 0;
    describe_get(v->record, &f, &value);
    return value.u64;
}

const char *view_text(const struct view *v, const char *field, char *buf, size_t size)
{
    struct shm_field_desc f;
    struct describe_value value;

    buf[0] = '\0';
    if (v->record == NULL || describe_field(v->d, &v->section, field, &f) != 0)
        return buf;
    describe_get(v->record, &f, &value);
    if (value.type == SHM_ENUM)
        return describe_enum(v->d, f.set, (uint32_t)value.u64, buf, size);
    snprintf(buf, size, "%s", value.str);
    return buf;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The last moment at which any process of a dead instance did something. */
static uint64_t find_last_sign(struct ctl *c)
{
    uint64_t last = 0;

    for (uint32_t i = 0; view_load(&c->beat, i); i++)
        last = later(last, view_u64(&c->beat, "at_ns"));
    for (uint32_t i = 0; view_load(&c->process, i); i++) {
        last = later(last, view_u64(&c->process, "spawned_ns"));
        last = later(last, view_u64(&c->process, "gone_ns"));
    }
    uint64_t now = clock_now_ns();
    return last == 0 || last > now ? now : last; /* nothing there, or nonsense */
}

static void open_views(struct ctl *c)
{
    view_open(&c->process, &c->d, "process");
    view_open(&c->beat, &c->d, "beat");
    view_open(&c->model, &c->d, "model");
    view_open(&c->worker, &c->d, "worker");
    view_open(&c->request, &c->d, "request");
}

int ctl_attach(struct ctl *c, struct err *e)
{
    size_t size;
    int rc = node_attach_any(&c->base, &size, c->instance, e);

    if (rc != 0)
        return rc;
    rc = describe_open(&c->d, c->base, size, e);
    if (rc != 0) {
        node_detach(c->base, size);
        c->base = NULL;
        return rc;
    }
    open_views(c);
    c->is_alive = node_is_alive(c->instance) == 1;
    c->now_ns = c->is_alive ? clock_now_ns() : find_last_sign(c);
    return 0;
}

int ctl_attach_built_in(struct ctl *c, struct err *e)
{
    size_t size = sizeof(struct shm_node);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return err_set(e, errno, "map %zu bytes: %s", size, strerror(errno));
    node_fill(map, "built-in", 0);
    c->base = map;
    int rc = describe_open(&c->d, map, size, e);
    open_views(c);
    return rc;
}

void ctl_detach(struct ctl *c)
{
    if (c->base == NULL)
        return;
    view_close(&c->process);
    view_close(&c->beat);
    view_close(&c->model);
    view_close(&c->worker);
    view_close(&c->request);
    node_detach(c->base, c->d.size);
    c->base = NULL;
}

static const char *read_name(struct view *v, uint32_t i, const char *what, char *buf, size_t size)
{
    buf[0] = '\0';
    if (view_load(v, i))
        view_text(v, "name", buf, size);
    if (buf[0] == '\0')
        snprintf(buf, size, "%s %u", what, i);
    return buf;
}

const char *ctl_process_name(struct ctl *c, uint32_t i, char *buf, size_t size)
{
    if (i == SHM_PROC_SUPERVISOR) {
        snprintf(buf, size, "supervisor");
        return buf;
    }
    if (i == SHM_PROC_ROUTER) {
        snprintf(buf, size, "router");
        return buf;
    }
    return read_name(&c->process, i, "process", buf, size);
}

const char *ctl_worker_name(struct ctl *c, uint32_t slot, char *buf, size_t size)
{
    return read_name(&c->process, SHM_PROC_WORKER(slot), "worker", buf, size);
}

const char *ctl_model_name(struct ctl *c, uint32_t i, char *buf, size_t size)
{
    return read_name(&c->model, i, "model", buf, size);
}

int ctl_flush(struct ctl *c)
{
    while (buf_pending(&c->out) > 0) {
        ssize_t n = write(STDOUT_FILENO, c->out.data + c->out.pos, buf_pending(&c->out));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        buf_consume(&c->out, (size_t)n);
    }
    return 0;
}
