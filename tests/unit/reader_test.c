/* The reader: odd sizes, both modes byte by byte the same, errors, cancellation. */
#include "tests/unit/model_dir.h"
#include "worker/io/reader.h"
#include "worker/io/root.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#define FILES_N  3
#define RANGES_N 64

static const size_t sizes[FILES_N] = {1, 4096 * 5 + 77, 300001};

static struct model_dir dir;
static struct root root;
static struct root_file files[FILES_N];
static struct reader_source sources[FILES_N];
static unsigned char *contents[FILES_N];
static bool has_direct;

static int make_files(void **state)
{
    struct err e = {0};
    (void)state;

    model_dir_make(&dir);
    CHECK(root_open(&root, dir.path, &e) == 0);
    for (unsigned i = 0; i < FILES_N; i++) {
        char name[] = "file0";
        name[4] = (char)('0' + i);
        contents[i] = malloc(sizes[i]);
        for (size_t b = 0; b < sizes[i]; b++)
            contents[i][b] = (unsigned char)((b * 2654435761u + i) >> 13);
        model_dir_write(&dir, name, contents[i], sizes[i]);
        CHECK(root_open_file(&root, name, &files[i], &e) == 0);
        int direct_fd = root_open_direct(&root, name, &files[i], &e);
        CHECK(direct_fd >= 0 || direct_fd == -EOPNOTSUPP);
        has_direct = direct_fd >= 0;
        sources[i] =
            (struct reader_source){"file", files[i].fd, has_direct ? direct_fd : -1, files[i].size};
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FILES_N; i++) {
        root_close_file(&files[i]);
        if (sources[i].direct_fd != -1)
            close(sources[i].direct_fd);
        free(contents[i]);
    }
    root_close(&root);
    model_dir_remove(&dir);
    return 0;
}

/* --- a sink that checks --- */

struct check {
    const struct reader_range *ranges;
    unsigned char seen[FILES_N][300001];
    size_t n_pieces, fail_at, cancel_at;
};

static int check_piece(void *to, uint32_t range, uint64_t offset, const void *data, size_t len,
                       struct err *e)
{
    struct check *c = to;
    const struct reader_range *r = &c->ranges[range];

    assert_true(len > 0 && offset + len <= r->bytes);
    assert_memory_equal(data, contents[r->source] + r->offset + offset, len);
    for (uint64_t i = r->offset + offset; i < r->offset + offset + len; i++)
        c->seen[r->source][i]++;
    if (++c->n_pieces == c->fail_at)
        return err_set(e, ENOSPC, "the sink is full");
    return 0;
}

static bool ask_cancel(void *to, uint64_t bytes_done, uint64_t bytes_all)
{
    struct check *c = to;

    assert_true(bytes_done <= bytes_all);
    return c->n_pieces == c->cancel_at;
}

static struct check check;

static struct reader_plan plan(enum reader_mode mode, const struct reader_range *ranges, uint32_t n)
{
    check = (struct check){.ranges = ranges, .fail_at = SIZE_MAX, .cancel_at = SIZE_MAX};
    return (struct reader_plan){
        .mode = mode,
        .sources = sources,
        .ranges = ranges,
        .n_sources = FILES_N,
        .n_ranges = n,
        .piece_bytes = 8192,
        .depth = 4,
        .sink = check_piece,
        .progress = ask_cancel,
        .to = &check,
    };
}

/* The kernel here may have no io_uring for us; that is its own sentence, and no other mode. */
static bool has_mode(enum reader_mode mode)
{
    struct reader_plan p = plan(mode, NULL, 0);
    struct reader_stats stats;
    struct err e = {0};
    int rc = reader_run(&p, &stats, &e);

    if (rc != 0) {
        assert_non_null(strstr(e.text, "set io = pread"));
        print_message("%s\n", e.text);
    }
    return rc == 0;
}

static void expect_all(const struct reader_plan *p)
{
    struct reader_stats stats;
    struct err e = {0};
    uint64_t bytes = 0;
    static unsigned char wanted[FILES_N][300001];

    memset(wanted, 0, sizeof wanted);
    for (uint32_t i = 0; i < p->n_ranges; i++) {
        bytes += p->ranges[i].bytes;
        memset(wanted[p->ranges[i].source] + p->ranges[i].offset, 1, p->ranges[i].bytes);
    }
    if (reader_run(p, &stats, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(stats.bytes, bytes);
    assert_memory_equal(check.seen, wanted, sizeof wanted);
    assert_true(stats.bytes_direct + stats.bytes_cached + stats.bytes_through >= bytes);
    assert_true(p->mode == READER_URING || stats.bytes_through >= bytes);
    assert_true(p->mode != READER_URING || !has_direct || stats.bytes_through < 4096);
}

static void drop_cache(void)
{
    for (unsigned i = 0; i < FILES_N; i++) {
        CHECK(fdatasync(files[i].fd) == 0);
        CHECK(posix_fadvise(files[i].fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    }
}

static const enum reader_mode modes[] = {READER_URING, READER_PREAD};

static void reads_whole_files(void **state)
{
    const struct reader_range whole[] = {
        {0, 0, sizes[0]}, {1, 0, sizes[1]}, {2, 0, 0}, {2, 0, sizes[2]}};
    (void)state;

    for (unsigned m = 0; m < 2; m++) {
        if (!has_mode(modes[m]))
            continue;
        for (size_t piece = 4096; piece <= 1 << 20; piece *= 4)
            for (uint32_t depth = 1; depth <= 16; depth *= 4) {
                struct reader_plan p = plan(modes[m], whole, 4);
                p.piece_bytes = piece;
                p.depth = depth;
                if (depth == 4)
                    drop_cache();
                expect_all(&p);
            }
    }
}

/* Ranges of any cut, with gaps, from a generator with a fixed seed. */
static uint32_t cut_ranges(struct reader_range *ranges, uint32_t *seed)
{
    uint32_t n = 0;

    for (uint32_t f = 0; f < FILES_N; f++) {
        uint64_t at = 0;
        while (at < sizes[f] && n < RANGES_N * (f + 1) / FILES_N) {
            *seed = *seed * 1664525 + 1013904223;
            uint64_t bytes = (*seed >> 8) % ((*seed & 7) == 0 ? 40000 : 3000);
            if (bytes > sizes[f] - at)
                bytes = sizes[f] - at;
            ranges[n++] = (struct reader_range){f, at, bytes};
            at += bytes + ((*seed & 48) == 0 ? (*seed >> 20) * 8 : 0);
        }
    }
    return n;
}

static void reads_any_cut(void **state)
{
    struct reader_range ranges[RANGES_N];
    uint32_t seed = 1;
    (void)state;

    for (unsigned turn = 0; turn < 60; turn++) {
        uint32_t n = cut_ranges(ranges, &seed);
        for (unsigned m = 0; m < 2; m++) {
            if (!has_mode(modes[m]))
                continue;
            struct reader_plan p = plan(modes[m], ranges, n);
            p.piece_bytes = (size_t)4096 << turn % 4;
            p.depth = 1 + turn % 7;
            if (turn % 4 == 0)
                drop_cache();
            expect_all(&p);
        }
    }
}

static void expect_error(struct reader_plan *p, int code, const char *sentence)
{
    struct reader_stats stats;
    struct err e = {0};
    int rc = reader_run(p, &stats, &e);

    if (rc != -code || strstr(e.text, sentence) == NULL)
        fail_msg("found %d \"%s\", expected %d \"%s\"", rc, e.text, -code, sentence);
}

static void stops_at_errors(void **state)
{
    const struct reader_range whole[] = {{1, 0, sizes[1]}, {2, 0, sizes[2]}};
    (void)state;

    for (unsigned m = 0; m < 2; m++) {
        if (!has_mode(modes[m]))
            continue;
        struct reader_plan p = plan(modes[m], whole, 2);
        check.fail_at = 3;
        expect_error(&p, ENOSPC, "the sink is full");
        assert_int_equal(check.n_pieces, 3);
        p = plan(modes[m], whole, 2);
        check.cancel_at = 4;
        expect_error(&p, ECANCELED, "cancelled after");
        assert_int_equal(check.n_pieces, 4);

        struct reader_source bad[FILES_N];
        memcpy(bad, sources, sizeof bad);
        int pipe_fd[2];
        assert_int_equal(pipe(pipe_fd), 0);
        bad[2].fd = pipe_fd[1]; /* not open for reading */
        bad[2].direct_fd = -1;
        p = plan(modes[m], whole, 2);
        p.sources = bad;
        expect_error(&p, m == 0 ? EBADF : ESPIPE, "read file at offset 0: ");
        close(pipe_fd[0]);
        close(pipe_fd[1]);
    }
}

static void never_changes_its_mode_by_itself(void **state)
{
    const struct reader_range whole[] = {{1, 0, sizes[1]}};
    struct rlimit before, none;
    (void)state;

    if (!has_mode(READER_URING))
        skip();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3; /* no descriptor for a ring */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct reader_plan p = plan(READER_URING, whole, 1);
    expect_error(&p, EMFILE, "allow it, or set io = pread");
    assert_int_equal(check.n_pieces, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void sees_a_file_that_shrank(void **state)
{
    const struct reader_range whole[] = {{1, 0, sizes[1]}, {2, 0, sizes[2]}};
    (void)state;

    for (unsigned m = 0; m < 2; m++) {
        if (!has_mode(modes[m]))
            continue;
        assert_int_equal(truncate(model_dir_path(&dir, "file2"), 200003), 0);
        struct reader_plan p = plan(modes[m], whole, 2);
        expect_error(&p, EIO, "read file: found its end at offset 200003, expected 300001 bytes");
    }
}

static void refuses_plans_that_make_no_sense(void **state)
{
    const struct reader_range beyond[] = {{1, 1, sizes[1]}}, over[] = {{1, UINT64_MAX, 2}},
                              none[] = {{FILES_N, 0, 1}}, back[] = {{1, 5, 5}, {1, 9, 1}},
                              files_back[] = {{1, 5, 5}, {0, 0, 1}};
    const struct reader_range *const bad[] = {beyond, over, none};
    (void)state;

    for (unsigned i = 0; i < 3; i++) {
        struct reader_plan p = plan(READER_PREAD, bad[i], 1);
        expect_error(&p, EINVAL, "expected it inside its file");
    }
    struct reader_plan p = plan(READER_PREAD, back, 2);
    expect_error(&p, EINVAL, "expected them sorted");
    p = plan(READER_PREAD, files_back, 2);
    expect_error(&p, EINVAL, "expected them sorted");
    p.piece_bytes = 4097;
    expect_error(&p, EINVAL, "expected a power of two from 4096");
    p.piece_bytes = 4096;
    p.depth = 0;
    expect_error(&p, EINVAL, "found a depth of 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_whole_files, make_files, remove_files),
        cmocka_unit_test_setup_teardown(reads_any_cut, make_files, remove_files),
        cmocka_unit_test_setup_teardown(stops_at_errors, make_files, remove_files),
        cmocka_unit_test_setup_teardown(never_changes_its_mode_by_itself, make_files, remove_files),
        cmocka_unit_test_setup_teardown(sees_a_file_that_shrank, make_files, remove_files),
        cmocka_unit_test_setup_teardown(refuses_plans_that_make_no_sense, make_files, remove_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
