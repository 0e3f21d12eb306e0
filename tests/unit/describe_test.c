/* The segment's description: complete, true to the structs, and harmless when it lies. */
#include "shm/describe.h"

#include "base/hash.h"
#include "base/log.h"
#include "shm/eventlog.h"
#include "shm/node.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct shm_node *node;
static struct describe d;

static int make_node(void **state)
{
    struct err e;

    (void)state;
    node = aligned_alloc(128, (sizeof *node + 127) / 128 * 128);
    memset(node, 0, sizeof *node);
    node_fill(node, "test", 1);
    return describe_open(&d, node, sizeof *node, &e);
}

static int free_node(void **state)
{
    (void)state;
    free(node);
    return 0;
}

static void test_every_row_is_sound(void **state)
{
    uint32_t n_sections = 0, n_fields = 0, n_enums = 0;
    struct shm_section_desc s;
    struct shm_field_desc f;
    struct shm_enum_desc row;

    (void)state;
    for (; describe_section_at(&d, n_sections, &s) == 0; n_sections++) {
        struct shm_section_desc same;
        assert_int_equal(describe_section(&d, s.name, &same), 0);
        assert_int_equal(same.offset, s.offset);
        uint32_t end = 0;
        for (uint32_t i = 0; i < s.n_fields; i++, n_fields++) {
            char text[24];
            assert_int_equal(describe_field_at(&d, &s, i, &f), 0);
            assert_true(f.offset >= end); /* in order, nothing overlaps */
            end = f.offset + f.size;
            if (f.type == SHM_ENUM)
                assert_string_not_equal(describe_enum(&d, f.set, 0, text, sizeof text), "?");
        }
        assert_int_equal(describe_field_at(&d, &s, s.n_fields, &f), -ENOENT);
    }
    while (describe_enum_at(&d, n_enums, &row) == 0)
        n_enums++;
    assert_int_equal(n_sections, node->header.n_sections);
    assert_int_equal(n_fields, node->header.n_fields);
    assert_int_equal(n_enums, node->header.n_enums);
    assert_int_equal(describe_section(&d, "nonsense", &s), -ENOENT);
    assert_int_equal(s.count, 0);
}

/* Every byte of every section lies in the segment at the place of the struct member. */
static void test_sections_match_structs(void **state)
{
    static const struct {
        const char *name;
        size_t offset, size;
    } rows[] = {
#define ROW(member) \
    {#member, offsetof(struct shm_node, member), sizeof(((struct shm_node *)0)->member)}
        ROW(process),
        ROW(model),
        ROW(worker),
        ROW(request),
        ROW(weights),
        ROW(gateway),
        ROW(beat),
        ROW(supervisor_counters),
        ROW(router_counters),
        ROW(model_counters),
        ROW(worker_counters),
        ROW(model_histograms),
        ROW(router_histograms),
        ROW(log),
        ROW(panic),
    };
    struct shm_section_desc s;

    (void)state;
    size_t total = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(describe_section(&d, rows[i].name, &s), 0);
        assert_int_equal(s.offset, rows[i].offset);
        assert_int_equal((size_t)s.count * s.stride, rows[i].size);
        total += rows[i].size;
    }
    /* what is not described is padding */
    assert_true(sizeof *node - offsetof(struct shm_node, process) - total <
                sizeof rows / sizeof rows[0] * 64);
}

static void read_field(const char *section, uint32_t i, const char *field, struct describe_value *v)
{
    static _Alignas(8) char record[70000];
    struct shm_section_desc s;
    struct shm_field_desc f;

    assert_int_equal(describe_section(&d, section, &s), 0);
    assert_int_equal(describe_field(&d, &s, field, &f), 0);
    assert_int_equal(describe_record(&d, &s, i, record, sizeof record), 0);
    describe_get(record, &f, v);
}

static void test_values(void **state)
{
    struct process_record p = {
        .kind = PROCESS_WORKER, .state = CHILD_OPEN, .pid = -5, .epoch = 1ull << 40, .name = "m#0"};
    struct describe_value v;
    char text[24];

    (void)state;
    memset(p.reason, 'r', sizeof p.reason); /* not terminated */
    seqlock_publish(&node->process[65], &p);
    read_field("process", 65, "pid", &v);
    assert_int_equal(v.type, SHM_I32);
    assert_int_equal((int64_t)v.u64, -5);
    read_field("process", 65, "epoch", &v);
    assert_int_equal(v.u64, 1ull << 40);
    read_field("process", 65, "name", &v);
    assert_string_equal(v.str, "m#0");
    read_field("process", 65, "reason", &v);
    assert_int_equal(strlen(v.str), sizeof p.reason);
    read_field("process", 65, "state", &v);
    assert_string_equal(describe_enum(&d, "child_state", (uint32_t)v.u64, text, sizeof text),
                        "circuit-open");
    assert_string_equal(describe_enum(&d, "child_state", 99, text, sizeof text), "?");
    assert_string_equal(describe_enum(&d, "no_set", 0, text, sizeof text), "?");

    counter_add(&node->model_counters[3].prompt_tokens, 17);
    read_field("model_counters", 3, "prompt_tokens", &v);
    assert_int_equal(v.u64, 17);
    atomic_store(&node->beat[1].at_ns, 99);
    read_field("beat", 1, "at_ns", &v);
    assert_int_equal(v.u64, 99);
}

static void test_histogram_elements(void **state)
{
    struct shm_section_desc s;
    struct shm_field_desc f;
    struct model_histograms record;
    struct shm_enum_desc row;
    uint64_t bounds = 0;

    (void)state;
    histogram_add(&node->model_histograms[2].queue_wait_seconds, 1);
    histogram_add(&node->model_histograms[2].queue_wait_seconds, 400000000000ull);
    assert_int_equal(describe_section(&d, "model_histograms", &s), 0);
    assert_int_equal(describe_field(&d, &s, "queue_wait_seconds", &f), 0);
    assert_int_equal(describe_record(&d, &s, 2, &record, sizeof record), 0);
    assert_int_equal(describe_elements(&f), HISTOGRAM_BUCKETS + 1);
    assert_int_equal(describe_get_element(&record, &f, 0), 1);
    assert_int_equal(describe_get_element(&record, &f, HISTOGRAM_BUCKETS - 1), 1);
    assert_int_equal(describe_get_element(&record, &f, HISTOGRAM_BUCKETS), 400000000001ull);
    for (uint32_t i = 0; describe_enum_at(&d, i, &row) == 0; i++)
        if (strcmp(row.set, "histogram_bound_us") == 0) {
            assert_int_equal(row.value * 1000ull, histogram_bounds_ns[bounds]);
            bounds++;
        }
    assert_int_equal(bounds, HISTOGRAM_BUCKETS - 1);
}

static void test_torn_and_out_of_range(void **state)
{
    struct request_record r = {.id = 7, .generated_tokens = 5};
    _Alignas(8) char record[512];
    struct shm_section_desc s;
    struct shm_field_desc f;
    struct describe_value v;

    (void)state;
    assert_int_equal(describe_section(&d, "request", &s), 0);
    assert_int_equal(describe_field(&d, &s, "generated_tokens", &f), 0);
    seqlock_publish(&node->request[0], &r);
    atomic_fetch_or(&node->request[0].seq, 1);
    assert_int_equal(describe_record(&d, &s, 0, record, sizeof record), -EAGAIN);
    describe_get(record, &f, &v); /* what could be had */
    assert_int_equal(v.u64, 5);
    assert_int_equal(describe_record(&d, &s, SHM_REQUESTS_MAX, record, sizeof record), -EINVAL);
    assert_int_equal(describe_record(&d, &s, 0, record, 8), -EINVAL);
}

static void test_log_lines(void **state)
{
    struct shm_section_desc logs, lines;
    struct shm_field_desc text;
    _Alignas(8) char record[sizeof(struct shm_log_record)];
    struct describe_value v;
    char expected[32];

    (void)state;
    assert_int_equal(describe_section(&d, "log", &logs), 0);
    assert_int_equal(describe_section(&d, "log_line", &lines), 0);
    assert_int_equal(describe_field(&d, &lines, "text", &text), 0);
    eventlog_install(&node->log[5]);
    assert_int_equal(describe_log_line(&d, &logs, &lines, 5, 0, record, sizeof record), -EAGAIN);
    int null = dup(STDERR_FILENO);
    assert_non_null(freopen("/dev/null", "w", stderr));
    for (unsigned i = 0; i < 300; i++)
        log_info(LOG_SYSTEM, "line %u", i);
    dup2(null, STDERR_FILENO);
    close(null);
    log_set_sink(NULL);
    assert_int_equal(describe_log_written(&d, &logs, 5), 300);
    assert_int_equal(describe_log_written(&d, &logs, 4), 0);
    assert_int_equal(describe_log_line(&d, &logs, &lines, 5, 300, record, sizeof record), -EAGAIN);
    assert_int_equal(describe_log_line(&d, &logs, &lines, 5, 44, record, sizeof record), -ESTALE);
    for (unsigned i = 45; i < 300; i++) {
        assert_int_equal(describe_log_line(&d, &logs, &lines, 5, i, record, sizeof record), 0);
        describe_get(record, &text, &v);
        snprintf(expected, sizeof expected, "line %u", i);
        assert_string_equal(v.str, expected);
    }
    assert_int_equal(
        describe_log_line(&d, &logs, &lines, SHM_PROCESSES_MAX, 0, record, sizeof record), -EPROTO);
}

static void test_open_refuses(void **state)
{
    struct err e;
    struct describe bad;
    struct shm_header *h = &node->header;
    const struct shm_header good = *h;

    (void)state;
    assert_int_equal(describe_open(&bad, node, 127, &e), -EINVAL);
    assert_non_null(strstr(e.text, "too short"));
#define REFUSED(change) \
    change; \
    assert_int_equal(describe_open(&bad, node, sizeof *node, &e), -EINVAL); \
    *h = good
    REFUSED(h->magic++);
    REFUSED(h->header_size = 127);
    REFUSED(h->total_size++);
    REFUSED(h->total_size = 64);
    REFUSED(h->n_sections = UINT32_MAX);
    REFUSED(h->n_fields = UINT32_MAX / 56);
    REFUSED(h->enums_at = UINT32_MAX & ~3u);
    REFUSED(h->section_size = 60);
    REFUSED(h->field_size = 0);
    REFUSED(h->sections_at = 2);
    assert_int_equal(describe_open(&bad, node, sizeof *node, &e), 0);
}

/* Rows of the description that make no sense, one thing wrong at a time. */
static void test_rows_refused(void **state)
{
    struct shm_section_desc s, *section = &node->section[0], good_section = *section;
    struct shm_field_desc f, *field = &node->field[0], good_field = *field;
    const uint32_t room = section->stride - section->payload;

    (void)state;
#define BAD_SECTION(change) \
    change; \
    assert_int_equal(describe_section_at(&d, 0, &s), -EPROTO); \
    *section = good_section
    BAD_SECTION(section->offset = sizeof *node + 8);
    BAD_SECTION(section->offset += 4);
    BAD_SECTION(section->stride = 0);
    BAD_SECTION(section->stride += 4);
    BAD_SECTION(section->payload = 4);
    BAD_SECTION(section->payload = 0);
    BAD_SECTION(section->payload = section->stride + 8);
    BAD_SECTION(section->count = UINT32_MAX);
    BAD_SECTION(section->first_field = node->header.n_fields + 1);
    BAD_SECTION(section->n_fields = node->header.n_fields + 1);
    assert_int_equal(describe_section_at(&d, 0, &s), 0);
#define BAD_FIELD(change) \
    change; \
    assert_int_equal(describe_field_at(&d, &s, 0, &f), -EPROTO); \
    *field = good_field
    BAD_FIELD(field->offset = room + 1);
    BAD_FIELD(field->offset = room - 3);
    BAD_FIELD(field->offset = UINT32_MAX);
    BAD_FIELD(field->size = 0);
    BAD_FIELD(field->size = 6);
    BAD_FIELD(field->size = 65532);
    assert_int_equal(describe_field_at(&d, &s, 0, &f), 0);

    struct describe_value v;
    field->type = 77; /* of a later version */
    field->size = 3;
    assert_int_equal(describe_field_at(&d, &s, 0, &f), 0);
    assert_string_equal(describe_type_name(f.type), "?");
    describe_get(&node->process[0].word, &f, &v);
    assert_string_equal(v.str, "?");
}

static void walk_everything(const struct describe *w)
{
    static _Alignas(8) char record[1 << 20];
    struct shm_section_desc s, logs = {0};
    struct shm_field_desc f;
    struct describe_value v;
    char text[24];

    for (uint32_t i = 0; i < w->header.n_sections && i < 64; i++) {
        if (describe_section_at(w, i, &s) != 0)
            continue;
        if (s.kind == SHM_LOGS)
            logs = s;
        uint32_t picks[] = {0, s.count / 2, s.count - 1, s.count};
        for (size_t k = 0; k < 4; k++) {
            if (s.kind == SHM_LOG_LINES)
                describe_log_line(w, &logs, &s, picks[k], picks[k], record, sizeof record);
            if (describe_record(w, &s, picks[k], record, sizeof record) == -EINVAL)
                continue;
            for (uint32_t m = 0; m < s.n_fields && m < 512; m++)
                if (describe_field_at(w, &s, m, &f) == 0) {
                    describe_get(record, &f, &v);
                    describe_enum(w, f.set, (uint32_t)v.u64, text, sizeof text);
                }
        }
    }
}

/* Random words over header and description, 4,000 times: nothing is read outside (the sanitizers
 * watch), nothing loops. */
static void test_hostile_description(void **state)
{
    const size_t described = offsetof(struct shm_node, process);
    const uint64_t seed = hash_random64();
    char *saved = malloc(described);

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    memcpy(saved, node, described);
    for (uint64_t round = 0; round < 4000; round++) {
        uint64_t rnd = hash_mix(seed, round);
        for (uint64_t k = 0; k <= rnd % 6; k++) {
            uint64_t word = hash_mix(rnd, k);
            /* half of the time in the header or the first rows, where it hurts most */
            size_t at = (size_t)(word >> 8) % (word & 1 ? 512 : described - 8);
            uint64_t values[] = {hash_mix(word, 1), 0, UINT64_MAX, hash_mix(word, 2) % 512,
                                 1ull << (word >> 50) % 64};
            memcpy((char *)node + at, &values[word % 5], 1 + (word >> 4) % 8);
        }
        struct describe w;
        memcpy(&node->header.magic, saved, 4);
        if (describe_open(&w, node, sizeof *node, NULL) == 0)
            walk_everything(&w);
        memcpy(node, saved, described);
    }
    free(saved);
}

int main(void)
{
#define WITH_NODE(test) cmocka_unit_test_setup_teardown(test, make_node, free_node)
    const struct CMUnitTest tests[] = {
        WITH_NODE(test_every_row_is_sound),
        WITH_NODE(test_sections_match_structs),
        WITH_NODE(test_values),
        WITH_NODE(test_histogram_elements),
        WITH_NODE(test_torn_and_out_of_range),
        WITH_NODE(test_log_lines),
        WITH_NODE(test_open_refuses),
        WITH_NODE(test_rows_refused),
        WITH_NODE(test_hostile_description),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
