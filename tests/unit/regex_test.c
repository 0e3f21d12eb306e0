/* Patterns against what Oniguruma found, by the library; refusals; limits. */
#include "worker/text/regex.h"

#include "base/check.h"
#include "tests/unit/tokenizer_fixture.h"
#include "worker/text/tokenizer_pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct regex_work *work;

static int make_work(void **state)
{
    (void)state;
    work = regex_work_new();
    return 0;
}

static int free_work(void **state)
{
    (void)state;
    regex_work_free(&work);
    return 0;
}

/* The subject with each match replaced. */
static void replace_all(const struct pattern *p, const struct json_object *subject, const char *by,
                        struct buf *out)
{
    struct pattern_walk k;
    struct buf proxies = {0};
    size_t len, done = 0, begin, end;
    const char *text = json_string(subject, &len);
    int rc;

    buf_clear(out);
    pattern_begin(&k, p, work, text, len, &proxies);
    while ((rc = pattern_next(&k, &begin, &end, NULL)) == 1) {
        buf_add(out, text + done, begin - done);
        buf_add_str(out, by);
        done = end;
    }
    assert_int_equal(rc, 0);
    buf_add(out, text + done, len - done);
    buf_free(&proxies);
}

static void matches_are_onigurumas(void **state)
{
    struct json_object *root = fixture_json("regex.json");
    const struct json_object *subjects = json_get(root, "subjects");
    const struct json_object *rows = json_get(root, "patterns");
    static const char *const by[] = {"\xc2\xa7", ""};
    struct buf found = {0};

    (void)state;
    assert_true(json_length(rows) > 100);
    for (size_t i = 0; i < json_length(rows); i++) {
        size_t len;
        const char *text = json_string(json_at(json_at(rows, i), 0), &len);
        struct pattern p;
        struct err e = {0};
        if (pattern_from_regex(&p, text, len, &e) != 0)
            fail_msg("%s: %s", text, e.text);
        for (size_t s = 0; s < json_length(subjects); s++) {
            const struct json_object *expected = json_at(json_at(json_at(rows, i), 1), s);
            for (size_t k = 0; k < 2; k++) {
                replace_all(&p, json_at(subjects, s), by[k], &found);
                if (strcmp(buf_text(&found), json_string(json_at(expected, k), NULL)) != 0)
                    fail_msg("%s in \"%s\": found \"%s\", expected \"%s\"", text,
                             json_string(json_at(subjects, s), NULL), buf_text(&found),
                             json_string(json_at(expected, k), NULL));
            }
        }
        pattern_free(&p);
    }
    buf_free(&found);
    json_free(&root);
}

static void what_oniguruma_refuses_is_refused(void **state)
{
    struct json_object *root = fixture_json("regex.json");
    const struct json_object *rows = json_get(root, "refused");

    (void)state;
    assert_true(json_length(rows) > 5);
    for (size_t i = 0; i < json_length(rows); i++) {
        size_t len;
        const char *text = json_string(json_at(rows, i), &len);
        struct regex *r;
        struct err e = {0};
        if (regex_new(text, len, &r, &e) != -EINVAL)
            fail_msg("%s was let through", text);
        assert_null(r);
    }
    json_free(&root);
}

static void refusals_say_where(void **state)
{
    static const struct {
        const char *pattern, *sentence;
    } rows[] = {
        {"a\\X", "byte 1: found this escape, expected a construct that is known here"},
        {"(a)\\1", "byte 3: found this escape"},
        {"\\k<a>", "byte 0: found this escape"},
        {"ab\\", "byte 2: found a backslash at the end"},
        {"(?x)a", "byte 0: found a kind of group"},
        {"(?~a)", "byte 0: found a kind of group"},
        {"(?i", "byte 0: found a group without its end"},
        {"(?(1)a)", "byte 0: found a kind of group"},
        {"x(?<a", "byte 1: found a group without a name"},
        {"(?#a", "byte 0: found a comment without its end"},
        {"a**", "byte 2: found a repeat of a repeat"},
        {"a{2}{3}", "byte 4: found a repeat of a repeat"},
        {"a{3,2}", "byte 1: found a repeat of fewer than its least"},
        {"^*", "byte 1: found a repeat of what matches no character"},
        {"(?=a)+", "byte 5: found a repeat of what matches no character"},
        {"*", "byte 0: found a repeat of nothing"},
        {"\\pL", "byte 0: found a property without braces"},
        {"\\p{Alnum}", "byte 0: found a property"},
        {"\\p{L", "byte 0: found a property"},
        {"(?i:\\p{Lu})", "byte 4: found a property under (?i)"},
        {"(?i:a\xc3\x9f)", "byte 5: found a character beyond ASCII under (?i)"},
        {"(?i:strasse)", "byte 5: found letters under (?i) that fold to one character"},
        {"(?i:[\xc3\x9f])", "byte 5: found a character beyond ASCII under (?i)"},
        {"[[:alpha:]]", "byte 0: found a bracket of POSIX"},
        {"[]a]", "byte 0: found a class that is empty or begins with ']'"},
        {"[a", "byte 0: found a class without its end"},
        {"[a\\", "byte 2: found a backslash at the end"},
        {"[a-\\d]", "byte 1: found a range that ends in a set"},
        {"[a-c-e]", "byte 4: found a '-' in the middle of a class"},
        {"[&&a]", "byte 0: found an intersection with nothing"},
        {"[a&&]", "byte 0: found an intersection with nothing"},
        {"\\x{110000}", "byte 0: found an escape that is no character"},
        {"\\x{d800}", "byte 0: found an escape that is no character"},
        {"\\x{41", "byte 0: found \\x{ without its end"},
        {"\\xe9", "byte 0: found a byte beyond ASCII"},
        {"\\u12", "byte 0: found an escape that is no character"},
        {"(?<=a+)b", "PCRE2 refused it: lookbehind assertion is not fixed length"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct regex *r;
        struct err e = {0};
        assert_int_equal(regex_new(rows[i].pattern, strlen(rows[i].pattern), &r, &e), -EINVAL);
        if (strncmp(e.text, rows[i].sentence, strlen(rows[i].sentence)) != 0)
            fail_msg("%s: found \"%s\", expected \"%s\"", rows[i].pattern, e.text,
                     rows[i].sentence);
    }
}

static void patterns_are_limited(void **state)
{
    struct buf b = {0};
    struct regex *r;
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < 100; i++)
        buf_add_char(&b, '(');
    assert_int_equal(regex_new(b.data, b.len, &r, &e), -E2BIG);
    buf_clear(&b);
    for (size_t i = 0; i < 100; i++)
        buf_add_char(&b, '[');
    assert_int_equal(regex_new(b.data, b.len, &r, &e), -EINVAL);
    buf_clear(&b);
    for (size_t i = 0; i < 20000; i++)
        buf_add_char(&b, 'a');
    assert_int_equal(regex_new(b.data, b.len, &r, &e), -E2BIG);
    assert_int_equal(regex_new("((a{999}){999}){999}", 20, &r, &e), -EINVAL);
    buf_free(&b);
}

/* Searches that take exponential time end, and the work can be used again. */
static void searches_are_limited(void **state)
{
    static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct regex *bomb, *good;
    struct err e = {0};
    size_t begin, end;

    (void)state;
    assert_int_equal(regex_new("(?:(?:a|a)+)+[bc]", 17, &bomb, NULL), 0);
    assert_int_equal(regex_new("a+", 2, &good, NULL), 0);
    regex_work_begin(work);
    assert_int_equal(regex_find(bomb, work, text, 60, 0, &begin, &end, &e), -E2BIG);
    assert_non_null(strstr(e.text, "the text is too much for a pattern of the tokenizer"));
    /* What is left of the budget does not keep a usual search from its end. */
    assert_int_equal(regex_find(good, work, text, 60, 3, &begin, &end, &e), 1);
    assert_int_equal(begin, 3);
    assert_int_equal(end, 60);
    assert_int_equal(regex_find(good, work, text, 60, 60, &begin, &end, &e), 0);
    regex_free(&bomb);
    regex_free(&good);
    regex_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_are_onigurumas),
        cmocka_unit_test(what_oniguruma_refuses_is_refused),
        cmocka_unit_test(refusals_say_where),
        cmocka_unit_test(patterns_are_limited),
        cmocka_unit_test(searches_are_limited),
    };
    return cmocka_run_group_tests(tests, make_work, free_work);
}
