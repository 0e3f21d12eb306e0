/* Models of the command line: where they are and what they are called. */
#include "supervisor/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
    const char *typed, *path, *id;
} names[] = {
    {"/data/qwen", "/data/qwen", "qwen"},
    {"qwen", "/data/qwen", "qwen"},
    {"./qwen/", "/data/qwen", "qwen"},
    /* a hub's cache */
    {"x", "/c/hub/models--Qwen--Qwen3-0.6B/snapshots/0123abc", "Qwen/Qwen3-0.6B"},
    {"x", "/c/hub/models--gpt2/snapshots/0123abc", "gpt2"},
    {"x", "/c/hub/models--a--b--c/snapshots/r", "a/b--c"},
    {"x", "/c/hub/models--Qwen--/snapshots/r", "r"},
    {"x", "/c/hub/models--/snapshots/r", "r"},
    {"x", "/c/hub/models--Qwen--Qwen3-0.6B", "models--Qwen--Qwen3-0.6B"},
    {"x", "/c/hub/models--Qwen--Qwen3-0.6B/blobs/r", "r"},
    {"x", "/c/datasets--a--b/snapshots/r", "r"},
    /* a root of models */
    {"/var/models/Qwen/Qwen3", "/var/models/Qwen/Qwen3", "Qwen/Qwen3"},
    {"/var/models/demo", "/var/models/demo", "demo"},
    {"/models/a/b", "/models/a/b", "a/b"},
    {"/models/a/b/c", "/models/a/b/c", "c"},
    {"/mymodels/a/b", "/mymodels/a/b", "b"},
    /* typed like a name */
    {"Qwen/Qwen3", "/data/Qwen/Qwen3", "Qwen/Qwen3"},
    {"Qwen/Qwen3//", "/data/Qwen/Qwen3", "Qwen/Qwen3"},
    {"./Qwen/Qwen3", "/data/Qwen/Qwen3", "Qwen3"},
    {"/Qwen/Qwen3", "/Qwen/Qwen3", "Qwen3"},
    {"a/b/c", "/data/a/b/c", "c"},
    {"a/..", "/data/b", "b"},
    {"models/demo", "/data/models/demo", "demo"},
};

static void names_of_directories(void **state)
{
    char id[CONFIG_ID_MAX];
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(options_name_model(names[i].typed, names[i].path, id, &e), 0);
        assert_string_equal(id, names[i].id);
    }
    char path[400] = "/";
    memset(path + 1, 'x', 300);
    assert_int_equal(options_name_model(path, path, id, &e), -EINVAL);
    assert_non_null(strstr(e.text, "say NAME=DIR"));
    assert_int_equal(options_name_model("/", "", id, &e), -EINVAL);
}

static char root[] = "/tmp/cortex-options-XXXXXX";

static int make_directories(void **state)
{
    (void)state;
    if (mkdtemp(root) == NULL || chdir(root) != 0)
        return -1;
    if (mkdir("org", 0700) != 0 || mkdir("org/name", 0700) != 0 || mkdir("a=b", 0700) != 0)
        return -1;
    close(open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return symlink("org/name", "link");
}

static int remove_directories(void **state)
{
    (void)state;
    unlink("link");
    unlink("file");
    rmdir("a=b");
    rmdir("org/name");
    rmdir("org");
    return rmdir(root);
}

static void models_are_added(void **state)
{
    static const struct {
        const char *text, *id, *path; /* path: behind the root */
    } rows[] = {
        {"org/name", "org/name", "/org/name"},
        {"./org//name/.", "name", "/org/name"},
        {"link", "link", "/link"}, /* its own name, not what it leads to */
        {"org/../link/../name", "name", "/org/name"},
        {"x=org/name", "x", "/org/name"},
        {"y/z=a=b", "y/z", "/a=b"},
        {"./a=b", "a=b", "/a=b"},
    };
    char path[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options o = {0};
        struct config c;
        struct err e = {0};
        if (options_add_model(&o, rows[i].text, &e) != 0)
            fail_msg("%s: %s", rows[i].text, e.text);
        options_set_listen(&o, "127.0.0.1:1");
        options_set_listen(&o, "127.0.0.1:2");
        assert_null(options_config_path(&o));
        assert_int_equal(options_load_config(&o, &c, &e), 0);
        assert_int_equal(c.n_models, 1);
        assert_string_equal(c.models[0].id, rows[i].id);
        snprintf(path, sizeof path, "%s%s", root, rows[i].path);
        assert_string_equal(c.models[0].path, path);
        assert_string_equal(c.gateway.listen, "127.0.0.1:2");
        config_free(&c);
        options_free(&o);
    }
}

static void models_that_cannot_be(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *says;
    } rows[] = {
        {"nothing", -ENOENT, "--model: nothing: No such file or directory; expected the directory"},
        {"x=nothing", -ENOENT, "--model: nothing: No such file"},
        {"file", -ENOTDIR, "--model: file: no directory"},
        {"=org/name", -EINVAL, "found a name of 0 bytes"},
        {"", -EINVAL, "--model: found nothing, expected the directory"},
        {"x=", -EINVAL, "--model: found nothing, expected the directory"},
        {"/", -EINVAL, "its name would be of 0 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options o = {0};
        struct err e = {0};
        assert_int_equal(options_add_model(&o, rows[i].text, &e), rows[i].rc);
        if (strstr(e.text, rows[i].says) == NULL)
            fail_msg("no \"%s\" in: %s", rows[i].says, e.text);
        assert_int_equal(o.words.n, 0);
        options_free(&o);
    }
}

static void not_more_than_there_can_be(void **state)
{
    struct options o = {0};
    struct err e = {0};
    char text[32];

    (void)state;
    for (int i = 0; i < CONFIG_MODELS_MAX; i++) {
        snprintf(text, sizeof text, "m%d=org/name", i);
        assert_int_equal(options_add_model(&o, text, &e), 0);
    }
    options_set_listen(&o, "127.0.0.1:1");
    assert_int_equal(options_add_model(&o, "one-more=org/name", &e), -EINVAL);
    assert_string_equal(e.text, "--model: more than 64 models");
    options_free(&o);
}

static void which_file(void **state)
{
    struct options o = {.config_path = "x.ini"};
    struct err e = {0};

    (void)state;
    assert_string_equal(options_config_path(&o), "x.ini");
    assert_int_equal(options_add_model(&o, "org/name", &e), 0);
    assert_string_equal(options_config_path(&o), "x.ini"); /* the models of both */
    options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_directories),
        cmocka_unit_test(models_are_added),
        cmocka_unit_test(models_that_cannot_be),
        cmocka_unit_test(not_more_than_there_can_be),
        cmocka_unit_test(which_file),
    };
    return cmocka_run_group_tests(tests, make_directories, remove_directories);
}
