/* Log-probabilities as JSON, byte by byte. */
#include "router/api/logprobs.h"

#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct top top(const char *text, float logprob)
{
    return (struct top){.logprob = logprob, .text = text, .len = strlen(text)};
}

static struct logprobs *new_logprobs(void)
{
    struct logprobs *l = calloc(1, sizeof *l);

    assert_non_null(l);
    return l;
}

/* What was taken is JSON, and this. */
static void expect(struct buf *out, const char *text)
{
    struct json_object *root;
    struct err e;

    assert_string_equal(buf_text(out), text);
    if (json_parse(out->data, out->len, &root, &e) != 0)
        fail_msg("%s", e.text);
    json_free(&root);
    buf_clear(out);
}

static void chat(void **state)
{
    struct logprobs *l = new_logprobs();
    struct top tops[] = {top(" \"h\xc3", -0.25f), top("z", -0.1f), top("", -INFINITY)};
    struct buf out = {0};

    (void)state;
    logprobs_take_chat(l, &out);
    expect(&out, "null");
    logprobs_take_chat(NULL, &out);
    expect(&out, "null");
    logprobs_add_chat(l, tops, 3);
    logprobs_add_chat(l, &tops[1], 1);
    assert_true(logprobs_is_pending(l));
    logprobs_take_chat(l, &out);
    expect(&out,
           "{\"content\":[{\"token\":\" \\\"h\xef\xbf\xbd\",\"logprob\":-0.25,\"bytes\":[32,34,104,195],"
           "\"top_logprobs\":[{\"token\":\"z\",\"logprob\":-0.1,\"bytes\":[122]},"
           "{\"token\":\"\",\"logprob\":-9999.0,\"bytes\":[]}]},"
           "{\"token\":\"z\",\"logprob\":-0.1,\"bytes\":[122],\"top_logprobs\":[]}],\"refusal\":null}");
    assert_false(logprobs_is_pending(l));
    logprobs_free(&l);
    logprobs_free(&l);
    buf_free(&out);
}

/* Offsets count characters and go on from event to event; a map has each name once, the likelier's;
 * the token itself is in it, ranked or not; the first echoed token has nothing. */
static void completion(void **state)
{
    struct logprobs *l = new_logprobs();
    struct top first[] = {top("日本", NAN)};
    struct top ranked[] = {top("b", -1), top("a", -0.5f), top("b", -1), top("a", -2)};
    struct top beyond[] = {top("\xf0\x9f", -3), top("\xff\xff", -0.5f), top("c", -1)};
    struct top alone[] = {top("\x99\x82", -0.0f)};
    struct buf out = {0};

    (void)state;
    logprobs_add_completion(l, first, 1);
    logprobs_add_completion(l, ranked, 4);
    logprobs_take_completion(l, &out);
    expect(&out, "{\"tokens\":[\"日本\",\"b\"],\"token_logprobs\":[null,-1.0],"
                 "\"top_logprobs\":[null,{\"a\":-0.5,\"b\":-1.0}],\"text_offset\":[0,2]}");
    logprobs_add_completion(l, beyond, 3);
    logprobs_add_completion(l, alone, 1);
    logprobs_add_completion(l, &ranked[1], 1);
    logprobs_take_completion(l, &out);
    expect(&out, "{\"tokens\":[\"\xef\xbf\xbd\xef\xbf\xbd\",\"\xef\xbf\xbd\xef\xbf\xbd\",\"a\"],"
                 "\"token_logprobs\":[-3.0,-0.0,-0.5],"
                 "\"top_logprobs\":[{\"\xef\xbf\xbd\xef\xbf\xbd\":-0.5,\"c\":-1.0},"
                 "{\"\xef\xbf\xbd\xef\xbf\xbd\":-0.0},{\"a\":-0.5}],\"text_offset\":[3,4,4]}");
    logprobs_take_completion(l, &out);
    expect(&out, "null");
    logprobs_free(&l);
    buf_free(&out);
}

/* As few digits as give the same float. */
static void numbers(void **state)
{
    static const float some[] = {-0.1f, -1.0f / 3, -12.345678f, -1e-9f, -3.4e38f, -1.17549435e-38f,
                                 -16777216, -0.30000001f};

    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        struct logprobs *l = new_logprobs();
        struct top t = top("x", some[i]);
        struct buf out = {0};
        logprobs_add_completion(l, &t, 1);
        logprobs_take_completion(l, &out);
        const char *at = strstr(buf_text(&out), "\"token_logprobs\":[");
        assert_non_null(at);
        assert_true(strtof(at + 18, NULL) == some[i]);
        logprobs_free(&l);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),
        cmocka_unit_test(completion),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
