#include "base/base64.h"

#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void writes_what_openssl_writes_and_reads_it_back(void **state)
{
    unsigned char data[200];
    char expected[300];
    (void)state;

    for (size_t len = 0; len <= sizeof data; len++) {
        struct buf text = {0}, back = {0};
        for (size_t i = 0; i < len; i++)
            data[i] = (unsigned char)hash_mix(len, i);
        int n = EVP_EncodeBlock((unsigned char *)expected, data, (int)len);
        base64_encode(data, len, &text);
        assert_int_equal(text.len, n);
        assert_memory_equal(buf_text(&text), expected, (size_t)n);
        assert_int_equal(base64_decode(text.data, text.len, &back), 0);
        assert_int_equal(back.len, len);
        assert_memory_equal(buf_text(&back), data, len);
        buf_free(&text);
        buf_free(&back);
    }
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
        cmocka_unit_test(writes_what_openssl_writes_and_reads_it_back),
        cmocka_unit_test(appends),
        cmocka_unit_test(refuses_all_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
