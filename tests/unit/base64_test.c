#include "base/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Of the bytes 0 to 255, as Python's base64 has it. */
static const char all_bytes[] =
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7"
    "PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3"
    "eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKz"
    "tLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v"
    "8PHy8/T19vf4+fr7/P3+/w==";

static void expect_pair(const char *data, size_t len, const char *text, size_t text_len)
{
    struct buf out = {0};

    base64_encode(data, len, &out);
    assert_int_equal(out.len, text_len);
    assert_memory_equal(buf_text(&out), text, text_len);
    buf_clear(&out);
    assert_int_equal(base64_decode(text, text_len, &out), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(buf_text(&out), data, len);
    buf_free(&out);
}

static void writes_and_reads_what_others_do(void **state)
{
    static const char *const rfc[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                      "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; /* RFC 4648, 10 */
    char data[256];
    (void)state;

    for (size_t len = 0; len < sizeof rfc / sizeof rfc[0]; len++)
        expect_pair("foobar", len, rfc[len], strlen(rfc[len]));
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)i;
    for (size_t len = 0; len < sizeof data; len += 3)
        expect_pair(data, len, all_bytes, len / 3 * 4);
    expect_pair(data, sizeof data, all_bytes, sizeof all_bytes - 1);
}

static void appends(void **state)
{
    struct buf text = {0};
    (void)state;

    buf_add_str(&text, "a:");
    base64_encode("foob", 4, &text);
    base64_encode("", 0, &text);
    assert_string_equal(buf_text(&text), "a:Zm9vYg==");
    assert_int_equal(base64_decode("Zm9v", 4, &text), 0);
    assert_string_equal(buf_text(&text), "a:Zm9vYg==foo");
    buf_free(&text);
}

static void refuses_all_else(void **state)
{
    static const char *const texts[] = {"Z",    "Zm9",  "Zm9vY",    "Zm9v Zm8=",    "Zm=v",
                                        "====", "Z===", "Zh==",     "Zm9=",         "Zm_v",
                                        "Zm-v", "=m9v", "\n\n\n\n", "Zm9vZg==Zm9v", "Zm\xc3\xa9"};
    struct buf out = {0};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(base64_decode(texts[i], strlen(texts[i]), &out), -EINVAL);
    assert_int_equal(base64_decode("Zm\0v", 4, &out), -EINVAL);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_what_others_do),
        cmocka_unit_test(appends),
        cmocka_unit_test(refuses_all_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
