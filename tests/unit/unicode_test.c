/* Normalisation of every character as the library does it, and of long runs of marks; proxies. */
#include "worker/text/unicode.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "tests/unit/tokenizer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void normalize(enum unicode_form_name form, const char *text, size_t len, struct buf *out)
{
    static struct buf scratch; /* kept, as by a normalizer */
    size_t done = 0, begin = 0, end;

    while (unicode_next_unsettled(form, text, len, &begin, &end)) {
        assert_true(done <= begin && begin < end && end <= len);
        buf_add(out, text + done, begin - done);
        unicode_normalize(form, text + begin, end - begin, &scratch, out);
        begin = done = end;
    }
    buf_add(out, text + done, len - done);
}

static void every_character_is_normalised_like_the_library_does(void **state)
{
    static const char *const names[] = {
        [UNICODE_NFC] = "NFC",
        [UNICODE_NFD] = "NFD",
        [UNICODE_NFKC] = "NFKC",
        [UNICODE_NFKD] = "NFKD",
    };
    struct json_object *digests = fixture_json("unicode.json");

    (void)state;
    for (int form = 0; form < 4; form++) {
        struct buf out = {0};
        uint8_t expected[32], found[32];
        for (uint32_t c = 0; c < 0x110000; c++) {
            char text[16] = "a";
            if (c >= 0xd800 && c < 0xe000)
                continue;
            size_t n = 1 + utf8_encode(c, text + 1);
            memcpy(text + n, "\xcc\x81\xcc\xa3", 4);
            normalize((enum unicode_form_name)form, text, n + 4, &out);
        }
        hash_sha256(out.data, out.len, found);
        assert_int_equal(
            hash_parse_hex32(json_string(json_get(digests, names[form]), NULL), expected), 0);
        if (!hash_equal32(found, expected))
            fail_msg("%s differs", names[form]);
        buf_free(&out);
    }
    json_free(&digests);
}

static void assert_normal(enum unicode_form_name form, const char *text, const char *expected)
{
    struct buf out = {0};

    normalize(form, text, strlen(text), &out);
    assert_string_equal(buf_text(&out), expected);
    buf_free(&out);
}

static void stretches_are_found(void **state)
{
    (void)state;
    assert_normal(UNICODE_NFC, "", "");
    assert_normal(UNICODE_NFC, "plain ASCII, \xc3\xa9t\xc3\xa9", "plain ASCII, \xc3\xa9t\xc3\xa9");
    assert_normal(UNICODE_NFC, "e\xcc\x81", "\xc3\xa9");
    assert_normal(UNICODE_NFC, "\xcc\x81", "\xcc\x81");
    assert_normal(UNICODE_NFC, "xe\xcc\xa3\xcc\x82y", "x\xe1\xbb\x87y");
    assert_normal(UNICODE_NFC, "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c");
    assert_normal(UNICODE_NFC, "\xea\xb0\x80\xe1\x86\xa8", "\xea\xb0\x81");
    assert_normal(UNICODE_NFD, "\xed\x95\x9c", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab");
    assert_normal(UNICODE_NFKC, "\xef\xac\x81 \xc2\xbd", "fi 1\xe2\x81\x84\x32");
    /* U+105D2 and its composite came with Unicode 16.0, after the library's tables. */
    assert_normal(UNICODE_NFC, "\xf0\x90\x97\x92\xcc\x87", "\xf0\x90\x97\x92\xcc\x87");
}

/* Half a million marks in the worst order: sorted by class, equal ones in their order. A square of
 * their number would not end in a day. */
static void many_marks_are_sorted(void **state)
{
    struct buf text = {0}, out = {0};
    const size_t n = 1 << 18;

    (void)state;
    for (size_t i = 0; i < n; i++)
        buf_add_str(&text, i % 2 == 0 ? "\xcc\x81" : "\xcc\x80"); /* class 230 */
    for (size_t i = 0; i < n; i++)
        buf_add_str(&text, "\xcc\xa3"); /* class 220 */
    normalize(UNICODE_NFD, text.data, text.len, &out);
    assert_int_equal(out.len, text.len);
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(out.data + 2 * i, "\xcc\xa3", 2);
        assert_memory_equal(out.data + 2 * (n + i), i % 2 == 0 ? "\xcc\x81" : "\xcc\x80", 2);
    }
    buf_free(&text);
    buf_free(&out);
}

static void characters_are_classified(void **state)
{
    uint32_t to[2];

    (void)state;
    assert_true(unicode_is_space(0x85));
    assert_true(unicode_is_space(0x3000));
    assert_false(unicode_is_space(0x180e));
    assert_false(unicode_is_space(0x1c));
    assert_true(unicode_is_word('_'));
    assert_true(unicode_is_word(0x24b6));
    assert_true(unicode_is_word(0x1c89)); /* of Unicode 16.0 */
    assert_false(unicode_is_word('-'));
    assert_false(unicode_is_word(0xb2));
    assert_true(unicode_is_mark(0x301));
    assert_false(unicode_is_mark('a'));
    assert_false(unicode_is_mark(0x10ffff));
    assert_int_equal(unicode_lower(0x130, to), 2);
    assert_int_equal(to[1], 0x307);
    assert_int_equal(unicode_lower(0x3a3, to), 1);
    assert_int_equal(to[0], 0x3c3);
}

static void newer_characters_have_proxies(void **state)
{
    static const char text[] = "a \xf0\x9f\xa9\xb7\xe4\xbd\xa0 \xe1\xb2\x89!";
    struct buf out = {0};

    (void)state;
    assert_false(unicode_add_proxies("a\xf0\x9f\x98\x80\xe4\xbd\xa0", 8, &out));
    assert_int_equal(out.len, 0);
    assert_true(unicode_add_proxies(text, sizeof text - 1, &out));
    assert_int_equal(out.len, sizeof text - 1);
    assert_true(utf8_valid(out.data, out.len));
    assert_memory_equal(out.data, text, 2);
    assert_memory_not_equal(out.data + 2, text + 2, 4);
    assert_memory_equal(out.data + 6, text + 6, 4);
    assert_memory_not_equal(out.data + 10, text + 10, 3);
    assert_int_equal(out.data[13], '!');
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_normalised_like_the_library_does),
        cmocka_unit_test(stretches_are_found),
        cmocka_unit_test(many_marks_are_sorted),
        cmocka_unit_test(characters_are_classified),
        cmocka_unit_test(newer_characters_have_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
