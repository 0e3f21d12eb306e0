/* The model's directory: what opens, and that nothing else does. */
#include "tests/unit/model_dir.h"
#include "worker/io/root.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct model_dir dir;

static int make_dir(void **state)
{
    (void)state;
    model_dir_make(&dir);
    model_dir_write(&dir, "secret", "s", 1);
    CHECK(mkdir(model_dir_path(&dir, "model"), 0700) == 0);
    CHECK(mkdir(model_dir_path(&dir, "model/sub"), 0700) == 0);
    model_dir_write(&dir, "model/config.json", "0123456789", 10);
    model_dir_write(&dir, "model/sub/file", "in sub", 6);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    model_dir_remove(&dir);
    return 0;
}

static void open_model(struct root *r)
{
    struct err e = {0};

    if (root_open(r, model_dir_path(&dir, "model"), &e) != 0)
        fail_msg("%s", e.text);
}

static void expect_refused(const struct root *r, const char *name, int code, const char *sentence)
{
    struct root_file f;
    struct err e = {0};

    assert_int_equal(root_open_file(r, name, &f, &e), -code);
    assert_int_equal(f.fd, -1);
    if (strstr(e.text, sentence) == NULL)
        fail_msg("%s: found \"%s\", expected \"%s\"", name, e.text, sentence);
}

static void reads_regular_files(void **state)
{
    struct root r;
    struct root_file f;
    struct err e = {0};
    struct buf text = {0};
    char four[4];
    (void)state;

    open_model(&r);
    assert_int_equal(root_read_all(&r, "config.json", 10, &text, &e), 0);
    assert_string_equal(buf_text(&text), "0123456789");
    assert_int_equal(text.len, 10);
    assert_int_equal(root_read_all(&r, "config.json", 9, &text, &e), -EFBIG);
    assert_non_null(strstr(e.text, "found 10 bytes, expected at most 9"));
    assert_int_equal(text.len, 10);
    buf_clear(&text);
    assert_int_equal(root_read_all(&r, "sub/file", 100, &text, &e), 0);
    assert_string_equal(buf_text(&text), "in sub");
    assert_int_equal(root_open_file(&r, "config.json", &f, &e), 0);
    assert_int_equal(f.size, 10);
    assert_int_equal(root_read(&f, "config.json", 6, four, 4, &e), 0);
    assert_memory_equal(four, "6789", 4);
    assert_int_equal(root_read(&f, "config.json", 7, four, 4, &e), -EIO);
    assert_int_equal(root_read(&f, "config.json", UINT64_MAX, four, 4, &e), -EIO);
    assert_int_equal(truncate(model_dir_path(&dir, "model/config.json"), 8), 0);
    assert_int_equal(root_read(&f, "config.json", 6, four, 4, &e), -EIO);
    assert_non_null(strstr(e.text, "found its end at offset 8, expected 10 bytes"));
    root_close_file(&f);
    buf_free(&text);
    root_close(&r);
}

static void refuses_every_way_out(void **state)
{
    struct root r;
    char absolute[600], name[300];
    (void)state;

    open_model(&r);
    snprintf(absolute, sizeof absolute, "%s", model_dir_path(&dir, "secret"));
    expect_refused(&r, "../secret", EXDEV, "leads out of the model's directory");
    expect_refused(&r, "sub/../../secret", EXDEV, "leads out of the model's directory");
    expect_refused(&r, absolute, EXDEV, "leads out of the model's directory");
    expect_refused(&r, "nothing", ENOENT, "open nothing in ");
    expect_refused(&r, "sub", EINVAL, "found a directory, expected a regular file");
    expect_refused(&r, ".", EINVAL, "found a directory, expected a regular file");
    expect_refused(&r, "", EINVAL, "found a name of 0 bytes");
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    expect_refused(&r, name, EINVAL, "found a name of 299 bytes");
    expect_refused(&r, "a\033[2J", EINVAL, "control byte 0x1b at 1");

    const char *link = model_dir_path(&dir, "model/link");
    const char *targets[] = {"../secret", absolute,          "config.json",       "sub/file",
                             "link",      "../../blobs/abc", "/proc/self/environ"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_int_equal(symlink(targets[i], link), 0);
        expect_refused(&r, "link", ELOOP, "found a symbolic link, expected a regular file");
        assert_int_equal(unlink(link), 0);
    }
    assert_int_equal(symlink("sub", link), 0);
    expect_refused(&r, "link/file", ELOOP, "found a symbolic link on the way");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(mkfifo(link, 0600), 0);
    expect_refused(&r, "link", EINVAL, "found a pipe, expected a regular file");
    root_close(&r);
}

static void opens_the_same_file_past_the_cache(void **state)
{
    struct root r;
    struct root_file f;
    struct err e = {0};
    (void)state;

    open_model(&r);
    assert_int_equal(root_open_file(&r, "config.json", &f, &e), 0);
    int fd = root_open_direct(&r, "config.json", &f, &e);
    if (fd != -EOPNOTSUPP) {
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(rename(model_dir_path(&dir, "model/sub/file"),
                                model_dir_path(&dir, "model/config.json")),
                         0);
        assert_int_equal(root_open_direct(&r, "config.json", &f, &e), -ESTALE);
        assert_non_null(strstr(e.text, "found another file than before"));
        assert_int_equal(root_open_direct(&r, "../secret", &f, &e), -EXDEV);
    }
    root_close_file(&f);
    root_close(&r);
}

static void refuses_what_is_no_directory(void **state)
{
    struct root r;
    struct err e = {0};
    (void)state;

    assert_int_equal(root_open(&r, model_dir_path(&dir, "model/config.json"), &e), -ENOTDIR);
    assert_int_equal(r.fd, -1);
    assert_non_null(strstr(e.text, "expected the directory of a model"));
    assert_int_equal(root_open(&r, model_dir_path(&dir, "none"), &e), -ENOENT);
}

/* models--org--name/{blobs,snapshots/REVISION}, as huggingface_hub lays it out. */
static void follows_a_hub_cache_into_its_blobs(void **state)
{
    struct root r;
    struct err e = {0};
    struct buf text = {0};
    (void)state;

    CHECK(mkdir(model_dir_path(&dir, "blobs"), 0700) == 0);
    CHECK(mkdir(model_dir_path(&dir, "snapshots"), 0700) == 0);
    CHECK(mkdir(model_dir_path(&dir, "snapshots/rev"), 0700) == 0);
    model_dir_write(&dir, "blobs/abc", "a blob", 6);
    CHECK(symlink("../secret", model_dir_path(&dir, "blobs/evil")) == 0);
    const char *targets[][2] = {
        {"good", "../../blobs/abc"},
        {"out", "../../blobs/../secret"},
        {"deep", "../../blobs/x/y"},
        {"chain", "../../blobs/evil"},
        {"dot", "../../blobs/.."},
        {"self", "../../blobs/"},
        {"missing", "../../blobs/gone"},
        {"beside", "../../secret"},
        {"1_Pooling/config.json", "../../../blobs/abc"},
        {"1_Pooling/short", "../../blobs/abc"},
    };
    CHECK(mkdir(model_dir_path(&dir, "snapshots/rev/1_Pooling"), 0700) == 0);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        char link[600];
        snprintf(link, sizeof link, "%s/snapshots/rev/%s", dir.path, targets[i][0]);
        CHECK(symlink(targets[i][1], link) == 0);
    }
    assert_int_equal(root_open(&r, model_dir_path(&dir, "snapshots/rev"), &e), 0);
    assert_int_equal(root_read_all(&r, "good", 100, &text, &e), 0);
    assert_string_equal(buf_text(&text), "a blob");
    assert_int_equal(root_read_all(&r, "1_Pooling/config.json", 100, &text, &e), 0);
    assert_string_equal(buf_text(&text), "a bloba blob");
    expect_refused(&r, "1_Pooling/short", ELOOP, "expected a regular file or a hub cache's link");
    expect_refused(&r, "out", ELOOP, "expected a regular file or a hub cache's link");
    expect_refused(&r, "deep", ELOOP, "expected a regular file or a hub cache's link");
    expect_refused(&r, "dot", ELOOP, "expected a regular file or a hub cache's link");
    expect_refused(&r, "self", ELOOP, "expected a regular file or a hub cache's link");
    expect_refused(&r, "beside", ELOOP, "expected a regular file or a hub cache's link");
    expect_refused(&r, "chain", ELOOP, "a link to ../../blobs/evil");
    expect_refused(&r, "missing", ENOLINK, "a link to ../../blobs/gone: No such file");
    root_close(&r);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_regular_files, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(refuses_every_way_out, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(opens_the_same_file_past_the_cache, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_directory, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(follows_a_hub_cache_into_its_blobs, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
