#include "worker/sim/script.h"

#include "base/buf.h"
#include "shm/protocol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int parse(struct script *s, const char *text, struct err *e)
{
    struct json_object *root;

    assert_int_equal(json_parse(text, strlen(text), &root, e), 0);
    return script_parse(s, root, e);
}

static void one_answer(void **state)
{
    struct script s;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&s,
                           "{\"pieces\": [\"<\", {\"text\": \"hm\\u0000\", \"channel\": "
                           "\"reasoning\", \"delay_ms\": 40}, \"\", {\"bytes\": [240, 159]}],"
                           " \"finish\": \"tool_calls\", \"delay_ms\": 7}",
                           &e),
                     0);
    assert_int_equal(s.n_answers, 1);
    const struct script_answer *a = &s.answer[0];
    assert_int_equal(a->match_len, 0);
    assert_int_equal(a->finish, FINISH_TOOL_CALLS);
    assert_int_equal(a->delay_ms, 7);
    assert_int_equal(a->n_pieces, 4);
    assert_string_equal(a->piece[0].text, "<");
    assert_int_equal(a->piece[0].channel, CHANNEL_CONTENT);
    assert_int_equal(a->piece[1].len, 3);
    assert_memory_equal(a->piece[1].text, "hm", 3);
    assert_int_equal(a->piece[1].channel, CHANNEL_REASONING);
    assert_int_equal(a->piece[1].delay_ms, 40);
    assert_int_equal(a->piece[2].len, 0);
    assert_int_equal(a->piece[3].len, 2);
    assert_memory_equal(a->piece[3].text, "\xf0\x9f", 2);
    script_free(&s);
}

static void several_answers(void **state)
{
    struct script s;
    struct err e = {0};

    (void)state;
    assert_int_equal(parse(&s,
                           "[{\"match\": \"weather\", \"pieces\": [\"rain\"]},"
                           " {\"finish\": \"length\", \"pieces\": []}]",
                           &e),
                     0);
    assert_int_equal(s.n_answers, 2);
    assert_string_equal(s.answer[0].match, "weather");
    assert_int_equal(s.answer[0].finish, FINISH_STOP);
    assert_int_equal(s.answer[1].finish, FINISH_LENGTH);
    assert_int_equal(s.answer[1].n_pieces, 0);
    script_free(&s);
}

static const struct {
    const char *text, *says;
} bad[] = {
    {"{\"pieces\": [{\"bytes\": [1, 256]}]}", "bytes[1]: expected an integer from 0 to 255"},
    {"{\"pieces\": [{\"bytes\": \"x\"}]}", "bytes: found string"},
    {"{\"pieces\": [{\"bytes\": [1], \"text\": \"x\"}]}", "there is text, too"},
    {"7", "answer 0: found number, expected object"},
    {"[]", "no answer"},
    {"{}", "pieces: expected an array"},
    {"{\"pieces\": {}}", "pieces: expected an array"},
    {"{\"piece\": []}", "did you mean pieces?"},
    {"{\"pieces\": [{\"txt\": \"\"}]}", "did you mean text?"},
    {"{\"pieces\": [\"a\", {\"channel\": \"content\"}]}", "pieces[1]: text: missing"},
    {"{\"pieces\": [{\"text\": 7}]}", "text: found number"},
    {"{\"pieces\": [{\"text\": \"\", \"channel\": \"thought\"}]}", "\"thought\" not known"},
    {"{\"pieces\": [], \"finish\": \"end\"}", "\"end\" not known"},
    {"{\"pieces\": [], \"delay_ms\": -1}", "delay_ms"},
    {"{\"pieces\": [], \"delay_ms\": 0.5}", "delay_ms"},
    {"{\"pieces\": [], \"match\": []}", "match: found array"},
    {"[{\"pieces\": []}, null]", "answer 1: found null"},
};

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct script s;
        struct err e = {0};
        assert_int_equal(parse(&s, bad[i].text, &e), -EINVAL);
        if (strstr(e.text, bad[i].says) == NULL)
            fail_msg("%s: says \"%s\", expected \"%s\"", bad[i].text, e.text, bad[i].says);
        assert_null(s.root);
    }
}

static void longest_text(void **state)
{
    (void)state;
    for (size_t len = TOKEN_TEXT_MAX; len <= TOKEN_TEXT_MAX + 1; len++) {
        struct script s;
        struct err e = {0};
        struct buf b = {0};
        buf_add_str(&b, "{\"pieces\":[\"");
        for (size_t i = 0; i < len; i++)
            buf_add_char(&b, 'x');
        buf_add_str(&b, "\"]}");
        assert_int_equal(parse(&s, buf_text(&b), &e), len <= TOKEN_TEXT_MAX ? 0 : -EINVAL);
        script_free(&s);
        buf_free(&b);
    }
}

static void from_file(void **state)
{
    char path[] = "/tmp/cortex-script-XXXXXX";
    static const char text[] = "{\"pieces\": [\"a\"]}";
    struct script s;
    struct err e = {0};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(script_load(&s, path, &e), 0);
    assert_int_equal(s.answer[0].n_pieces, 1);
    script_free(&s);
    assert_int_equal(write(fd, "}", 1), 1);
    assert_true(script_load(&s, path, &e) < 0);
    assert_non_null(strstr(e.text, path));
    close(fd);
    unlink(path);
    assert_int_equal(script_load(&s, path, &e), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_answer), cmocka_unit_test(several_answers),
        cmocka_unit_test(refused),    cmocka_unit_test(longest_text),
        cmocka_unit_test(from_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
