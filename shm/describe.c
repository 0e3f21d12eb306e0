#include "shm/describe.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- this build's description --- */

/* clang-format off */
#define FIELD(strct, type, name, set) \
    {#name, offsetof(struct strct, name), sizeof(((struct strct *)0)->name), SHM_##type, set},

#define PROCESS_FIELD(type, name, dim, set, help) FIELD(process_record, type, name, set)
#define MODEL_FIELD(type, name, dim, set, help)   FIELD(model_record, type, name, set)
#define WORKER_FIELD(type, name, dim, set, help)  FIELD(worker_record, type, name, set)
#define REQUEST_FIELD(type, name, dim, set, help) FIELD(request_record, type, name, set)
#define WEIGHTS_FIELD(type, name, dim, set, help) FIELD(weights_record, type, name, set)
#define GATEWAY_FIELD(type, name, dim, set, help) FIELD(gateway_record, type, name, set)
static const struct shm_field_desc process_fields[] = {PROCESS_RECORD(PROCESS_FIELD)};
static const struct shm_field_desc model_fields[] = {MODEL_RECORD(MODEL_FIELD)};
static const struct shm_field_desc worker_fields[] = {WORKER_RECORD(WORKER_FIELD)};
static const struct shm_field_desc request_fields[] = {REQUEST_RECORD(REQUEST_FIELD)};
static const struct shm_field_desc weights_fields[] = {WEIGHTS_RECORD(WEIGHTS_FIELD)};
static const struct shm_field_desc gateway_fields[] = {GATEWAY_RECORD(GATEWAY_FIELD)};

#define SET_COUNTER "counter"
#define SET_GAUGE   "gauge"
#define SUPERVISOR_FIELD(name, kind, unit, help)    FIELD(supervisor_counters, U64, name, SET_##kind)
#define ROUTER_FIELD(name, kind, unit, help)        FIELD(router_counters, U64, name, SET_##kind)
#define MODEL_COUNT_FIELD(name, kind, unit, help)   FIELD(model_counters, U64, name, SET_##kind)
#define WORKER_COUNT_FIELD(name, kind, unit, help)  FIELD(worker_counters, U64, name, SET_##kind)
#define MODEL_TIME_FIELD(name, help)                FIELD(model_histograms, U64, name, "")
#define ROUTER_TIME_FIELD(name, help)               FIELD(router_histograms, U64, name, "")
static const struct shm_field_desc supervisor_counter_fields[] = {
    SUPERVISOR_COUNTERS(SUPERVISOR_FIELD)};
static const struct shm_field_desc router_counter_fields[] = {ROUTER_COUNTERS(ROUTER_FIELD)};
static const struct shm_field_desc model_counter_fields[] = {MODEL_COUNTERS(MODEL_COUNT_FIELD)};
static const struct shm_field_desc worker_counter_fields[] = {WORKER_COUNTERS(WORKER_COUNT_FIELD)};
static const struct shm_field_desc model_histogram_fields[] = {MODEL_HISTOGRAMS(MODEL_TIME_FIELD)};
static const struct shm_field_desc router_histogram_fields[] = {
    ROUTER_HISTOGRAMS(ROUTER_TIME_FIELD)};

static const struct shm_field_desc beat_fields[] = {
    FIELD(shm_beat, U64, progress, "") FIELD(shm_beat, U64, at_ns, "")
    FIELD(shm_beat, ENUM, phase, "worker_phase")};
static const struct shm_field_desc log_fields[] = {FIELD(shm_log, U64, written, "")};
static const struct shm_field_desc log_line_fields[] = {
    FIELD(shm_log_record, U64, wall_ns, "") FIELD(shm_log_record, U64, request, "")
    FIELD(shm_log_record, ENUM, tag, "log_tag") FIELD(shm_log_record, ENUM, level, "log_level")
    FIELD(shm_log_record, STR, text, "")};
static const struct shm_field_desc panic_fields[] = {
    FIELD(shm_panic, U32, filled, "") FIELD(shm_panic, I32, pid, "")
    FIELD(shm_panic, I32, signal, "") FIELD(shm_panic, I32, line, "")
    FIELD(shm_panic, U64, address, "") FIELD(shm_panic, STR, file, "")
    FIELD(shm_panic, STR, func, "") FIELD(shm_panic, STR, cond, "")
    FIELD(shm_panic, U32, n_frames, "") FIELD(shm_panic, U64, frame, "")};

/* X(section, kind, count, type, offset of the record in the stride, fields, writer);
 * writer NONE = the process in the slot */
#define SECTIONS(X) \
    X(process, SEQLOCKED, SHM_PROCESSES_MAX, process_slot, offsetof(struct process_slot, word), process_fields, SUPERVISOR) \
    X(model, SEQLOCKED, SHM_MODELS_MAX, model_slot, offsetof(struct model_slot, word), model_fields, SUPERVISOR) \
    X(worker, SEQLOCKED, SHM_WORKERS_MAX, worker_slot, offsetof(struct worker_slot, word), worker_fields, WORKER) \
    X(request, SEQLOCKED, SHM_REQUESTS_MAX, request_slot, offsetof(struct request_slot, word), request_fields, ROUTER) \
    X(weights, SEQLOCKED, SHM_WEIGHTS_MAX, weights_slot, offsetof(struct weights_slot, word), weights_fields, SUPERVISOR) \
    X(gateway, SEQLOCKED, 1, gateway_slot, offsetof(struct gateway_slot, word), gateway_fields, SUPERVISOR) \
    X(beat, BEATS, SHM_PROCESSES_MAX, shm_beat, 0, beat_fields, NONE) \
    X(supervisor_counters, COUNTERS, 1, supervisor_counters, 0, supervisor_counter_fields, SUPERVISOR) \
    X(router_counters, COUNTERS, 1, router_counters, 0, router_counter_fields, ROUTER) \
    X(model_counters, COUNTERS, SHM_MODELS_MAX, model_counters, 0, model_counter_fields, ROUTER) \
    X(worker_counters, COUNTERS, SHM_WORKERS_MAX, worker_counters, 0, worker_counter_fields, WORKER) \
    X(model_histograms, HISTOGRAMS, SHM_MODELS_MAX, model_histograms, 0, model_histogram_fields, ROUTER) \
    X(router_histograms, HISTOGRAMS, 1, router_histograms, 0, router_histogram_fields, ROUTER) \
    X(log, LOGS, SHM_PROCESSES_MAX, shm_log, 0, log_fields, NONE) \
    X(panic, PANICS, SHM_PROCESSES_MAX, shm_panic, 0, panic_fields, NONE)

#define ROW(nm, knd, cnt, strct, at, fields, who) \
    {{.name = #nm, .kind = SHM_##knd, .count = cnt, .offset = offsetof(struct shm_node, nm), \
      .stride = sizeof(struct strct), .payload = at, \
      .n_fields = sizeof fields / sizeof fields[0], .writer = PROCESS_##who}, fields},
/* clang-format on */

static const struct section_row {
    struct shm_section_desc desc;
    const struct shm_field_desc *fields;
} section_rows[] = {
    SECTIONS(ROW){{.name = "log_line",
                   .kind = SHM_LOG_LINES,
                   .count = SHM_LOG_RECORDS,
                   .offset = offsetof(struct shm_node, log) + offsetof(struct shm_log, record),
                   .stride = sizeof(struct shm_log_record),
                   .n_fields = sizeof log_line_fields / sizeof log_line_fields[0],
                   .writer = PROCESS_NONE},
                  log_line_fields},
};
#define N_SECTIONS (sizeof section_rows / sizeof section_rows[0])
static_assert(N_SECTIONS <= SHM_SECTIONS_MAX, "raise SHM_SECTIONS_MAX");

struct description {
    struct shm_section_desc section[SHM_SECTIONS_MAX];
    struct shm_field_desc field[SHM_FIELDS_MAX];
    struct shm_enum_desc enums[SHM_ENUMS_MAX];
    uint32_t n_sections;
    uint32_t n_fields;
    uint32_t n_enums;
    uint32_t reserved;
};

static void add_enum(struct description *d, const char *set, uint32_t value, const char *text)
{
    CHECK(d->n_enums < SHM_ENUMS_MAX);
    struct shm_enum_desc *row = &d->enums[d->n_enums++];

    row->value = value;
    CHECK((size_t)snprintf(row->set, sizeof row->set, "%s", set) < sizeof row->set);
    CHECK((size_t)snprintf(row->text, sizeof row->text, "%s", text) < sizeof row->text);
}

static void add_set(struct description *d, const char *set, uint32_t count,
                    const char *(*name)(uint32_t))
{
    for (uint32_t value = 0; value < count; value++)
        add_enum(d, set, value, name(value));
}

static void build_description(struct description *d)
{
    *d = (struct description){0};
    for (size_t i = 0; i < N_SECTIONS; i++) {
        struct shm_section_desc *s = &d->section[d->n_sections++];

        *s = section_rows[i].desc;
        s->first_field = d->n_fields;
        CHECK(d->n_fields + s->n_fields <= SHM_FIELDS_MAX);
        memcpy(&d->field[d->n_fields], section_rows[i].fields, s->n_fields * sizeof d->field[0]);
        d->n_fields += s->n_fields;
    }
#define X(set, list) add_set(d, #set, set##_count, set##_name);
    STATE_SETS(X)
#undef X
    add_set(d, "log_tag", LOG_TAGS_N, log_tag_name);
    add_set(d, "log_level", LOG_LEVELS_N, log_level_name);
    for (int i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        char text[24];
        snprintf(text, sizeof text, "%g", (double)histogram_bounds_ns[i] / 1e9);
        add_enum(d, "histogram_bound_us", (uint32_t)(histogram_bounds_ns[i] / 1000), text);
    }
}

void describe_write(struct shm_node *node)
{
    struct description d;
    struct shm_header *h = &node->header;

    build_description(&d);
    memcpy(node->section, d.section, sizeof node->section);
    memcpy(node->field, d.field, sizeof node->field);
    memcpy(node->enums, d.enums, sizeof node->enums);
    h->n_sections = d.n_sections;
    h->n_fields = d.n_fields;
    h->n_enums = d.n_enums;
    h->sections_at = offsetof(struct shm_node, section);
    h->fields_at = offsetof(struct shm_node, field);
    h->enums_at = offsetof(struct shm_node, enums);
    h->section_size = sizeof(struct shm_section_desc);
    h->field_size = sizeof(struct shm_field_desc);
    h->enum_size = sizeof(struct shm_enum_desc);
}

uint64_t describe_hash(void)
{
    struct description d;

    build_description(&d);
    return hash_xxh3(&d, sizeof d);
}

/* --- reading any segment --- */

static int table_fits(const struct describe *d, uint32_t at, uint32_t n, uint32_t row, size_t least)
{
    return row >= least && row % 4 == 0 && at % 4 == 0 && at <= d->size &&
           (uint64_t)n * row <= d->size - at;
}

int describe_open(struct describe *d, const void *base, size_t size, struct err *e)
{
    CHECK((uintptr_t)base % 8 == 0);
    *d = (struct describe){.base = base, .size = size};
    struct shm_header *h = &d->header;

    if (size < sizeof *h)
        return err_set(e, EINVAL, "segment: %zu bytes, too short for its header", size);
    memcpy(h, base, sizeof *h);
    h->instance[sizeof h->instance - 1] = '\0';
    h->program_version[sizeof h->program_version - 1] = '\0';
    if (h->magic != SHM_MAGIC)
        return err_set(e, EINVAL, "segment: magic %#x, expected %#x; not a Cortex segment",
                       h->magic, SHM_MAGIC);
    if (h->header_size < sizeof *h || h->total_size > size || h->total_size < h->header_size)
        return err_set(e, EINVAL, "segment: header of %u bytes, %" PRIu64 " in all, in %zu bytes",
                       h->header_size, h->total_size, size);
    if (!table_fits(d, h->sections_at, h->n_sections, h->section_size,
                    sizeof(struct shm_section_desc)) ||
        !table_fits(d, h->fields_at, h->n_fields, h->field_size, sizeof(struct shm_field_desc)) ||
        !table_fits(d, h->enums_at, h->n_enums, h->enum_size, sizeof(struct shm_enum_desc)))
        return err_set(e, EINVAL, "segment: its description does not lie inside its %zu bytes",
                       size);
    return 0;
}

static const uint8_t *table_row(const struct describe *d, uint32_t at, uint32_t row, uint32_t i)
{
    return d->base + at + (size_t)i * row;
}

int describe_section_at(const struct describe *d, uint32_t i, struct shm_section_desc *out)
{
    const struct shm_header *h = &d->header;

    if (i >= h->n_sections)
        return -ENOENT;
    memcpy(out, table_row(d, h->sections_at, h->section_size, i), sizeof *out);
    out->name[sizeof out->name - 1] = '\0';
    if (out->offset > d->size || out->offset % 8 != 0 || out->stride == 0 || out->stride % 8 != 0 ||
        out->payload % 8 != 0 || out->payload > out->stride ||
        (uint64_t)out->count * out->stride > d->size - out->offset ||
        out->first_field > h->n_fields || out->n_fields > h->n_fields - out->first_field ||
        (out->kind == SHM_SEQLOCKED && out->payload < 8))
        return -EPROTO;
    return 0;
}

int describe_section(const struct describe *d, const char *name, struct shm_section_desc *out)
{
    for (uint32_t i = 0; i < d->header.n_sections; i++)
        if (describe_section_at(d, i, out) == 0 && strcmp(out->name, name) == 0)
            return 0;
    *out = (struct shm_section_desc){0};
    return -ENOENT;
}

const char *describe_kind_name(uint32_t kind)
{
#define X(constant, text) text,
    static const char *const names[] = {SHM_SECTION_KINDS(X)};
#undef X
    return kind < SHM_SECTION_KINDS_N ? names[kind] : "?";
}

const char *describe_type_name(uint32_t type)
{
#define X(name, ctype) #name,
    static const char *const names[] = {SHM_FIELD_TYPES(X)};
#undef X
    return type < sizeof names / sizeof names[0] ? names[type] : "?";
}

static size_t type_size(uint32_t type)
{
#define X(name, ctype) sizeof(ctype),
    static const size_t sizes[] = { SHM_FIELD_TYPES(X) };
#undef X
    return type < sizeof sizes / sizeof sizes[0] ? sizes[type] : 1;
}

int describe_field_at(const struct describe *d, const struct shm_section_desc *s, uint32_t i,
                      struct shm_field_desc *out)
{
    const struct shm_header *h = &d->header;

    if (i >= s->n_fields)
        return -ENOENT;
    memcpy(out, table_row(d, h->fields_at, h->field_size, s->first_field + i), sizeof *out);
    out->name[sizeof out->name - 1] = '\0';
    out->set[sizeof out->set - 1] = '\0';
    uint32_t room = s->stride - s->payload;
    if (out->offset > room || out->size > room - out->offset || out->size == 0 ||
        out->size % type_size(out->type) != 0)
        return -EPROTO;
    return 0;
}

int describe_field(const struct describe *d, const struct shm_section_desc *s, const char *name,
                   struct shm_field_desc *out)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (describe_field_at(d, s, i, out) == 0 && strcmp(out->name, name) == 0)
            return 0;
    *out = (struct shm_field_desc){0};
    return -ENOENT;
}

int describe_enum_at(const struct describe *d, uint32_t i, struct shm_enum_desc *out)
{
    if (i >= d->header.n_enums)
        return -ENOENT;
    memcpy(out, table_row(d, d->header.enums_at, d->header.enum_size, i), sizeof *out);
    out->set[sizeof out->set - 1] = '\0';
    out->text[sizeof out->text - 1] = '\0';
    return 0;
}

const char *describe_enum(const struct describe *d, const char *set, uint32_t value, char *buf,
                          size_t size)
{
    struct shm_enum_desc row;

    for (uint32_t i = 0; describe_enum_at(d, i, &row) == 0; i++)
        if (row.value == value && strcmp(row.set, set) == 0) {
            snprintf(buf, size, "%s", row.text);
            return buf;
        }
    snprintf(buf, size, "?");
    return buf;
}

static void copy_words(void *out, const uint8_t *from, size_t bytes)
{
    const _Atomic uint64_t *word = (const _Atomic uint64_t *)(const void *)from;

    for (size_t i = 0; i < bytes / 8; i++) {
        uint64_t w = atomic_load_explicit(&word[i], memory_order_relaxed);
        memcpy((char *)out + i * 8, &w, 8);
    }
}

int describe_record(const struct describe *d, const struct shm_section_desc *s, uint32_t i,
                    void *out, size_t out_size)
{
    size_t bytes = s->stride - s->payload;

    if (i >= s->count || out_size < bytes)
        return -EINVAL;
    const uint8_t *slot = d->base + s->offset + (size_t)i * s->stride;
    if (s->kind == SHM_SEQLOCKED &&
        seqlock_read((const _Atomic uint32_t *)(const void *)slot,
                     (const _Atomic uint64_t *)(const void *)(slot + s->payload), out, bytes) == 0)
        return 0;
    copy_words(out, slot + s->payload, bytes);
    return s->kind == SHM_SEQLOCKED ? -EAGAIN : 0;
}

uint64_t describe_log_written(const struct describe *d, const struct shm_section_desc *logs,
                              uint32_t i)
{
    if (i >= logs->count || logs->payload + 8 > logs->stride)
        return 0;
    const uint8_t *at = d->base + logs->offset + (size_t)i * logs->stride + logs->payload;
    /* acquire: pairs with the writer's store in shm/eventlog.c, so that the line is there */
    return atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_acquire);
}

int describe_log_line(const struct describe *d, const struct shm_section_desc *logs,
                      const struct shm_section_desc *lines, uint32_t i, uint64_t n, void *out,
                      size_t out_size)
{
    uint64_t in_log = lines->offset - logs->offset;

    if (i >= logs->count || lines->count == 0 || out_size < lines->stride ||
        lines->offset < logs->offset || in_log > logs->stride ||
        (uint64_t)lines->count * lines->stride > logs->stride - in_log)
        return -EPROTO;
    if (n >= describe_log_written(d, logs, i))
        return -EAGAIN;
    copy_words(out,
               d->base + lines->offset + (size_t)i * logs->stride +
                   (size_t)(n % lines->count) * lines->stride,
               lines->stride);
    atomic_thread_fence(memory_order_acquire); /* every word before the re-check */
    return describe_log_written(d, logs, i) - n >= lines->count ? -ESTALE : 0;
}

uint32_t describe_elements(const struct shm_field_desc *f)
{
    return f->type == SHM_STR ? 1 : (uint32_t)(f->size / type_size(f->type));
}

uint64_t describe_get_element(const void *record, const struct shm_field_desc *f, uint32_t i)
{
    const char *at = (const char *)record + f->offset + i * type_size(f->type);
    uint32_t u32;
    uint64_t u64;

    CHECK(i < describe_elements(f));
    switch ((enum shm_field_type)f->type) {
    case SHM_U32:
    case SHM_ENUM:
        memcpy(&u32, at, 4);
        return u32;
    case SHM_I32:
        memcpy(&u32, at, 4);
        return (uint64_t)(int64_t)(int32_t)u32;
    case SHM_U64:
    case SHM_I64:
        memcpy(&u64, at, 8);
        return u64;
    case SHM_STR:
        break;
    }
    return 0;
}

void describe_get(const void *record, const struct shm_field_desc *f, struct describe_value *v)
{
    *v = (struct describe_value){.type = (enum shm_field_type)f->type};
    if (f->type > SHM_STR) {
        v->type = SHM_STR;
        v->str[0] = '?';
    } else if (f->type == SHM_STR) {
        size_t max = f->size < sizeof v->str - 1 ? f->size : sizeof v->str - 1;
        memcpy(v->str, (const char *)record + f->offset,
               strnlen((const char *)record + f->offset, max));
    } else {
        v->u64 = describe_get_element(record, f, 0);
    }
}
