/* Slices of a text and its cuts, and cuts that move while a text is written anew. */
#include "worker/text/tokenizer_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct text_cut cuts[] = {{0, 0}, {2, 2}, {2, 2}, {4, 6}, {5, 7}, {9, 9}};

static struct text sample(void)
{
    return (struct text){.p = "0123456789",
                         .len = 10,
                         .n_first = 3,
                         .cuts = cuts,
                         .n_cuts = sizeof cuts / sizeof cuts[0]};
}

/* By the definition: some cut begins before the end and ends behind the beginning. */
static bool is_cut(size_t begin, size_t end)
{
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        if (cuts[i].low < end && cuts[i].high > begin)
            return true;
    return false;
}

static void cuts_are_found_in_any_slice(void **state)
{
    struct text t = sample();

    (void)state;
    for (size_t a = 0; a <= 10; a++)
        for (size_t b = a; b <= 10; b++) {
            struct text s = text_slice(&t, a, b);
            assert_int_equal(s.n_first, a < 3 ? (b < 3 ? b : 3) - a : 0);
            assert_int_equal(s.len, b - a);
            assert_ptr_equal(s.p, t.p + a);
            for (size_t i = a; i <= b; i++)
                for (size_t k = i + 1; k <= b; k++)
                    assert_int_equal(text_is_cut(&s, i - a, k - a), is_cut(i, k));
        }
}

static struct text write(struct buf *out, struct text_cut *moved, const struct text *from)
{
    struct text_writer w = {.out = out, .from = from, .cuts = moved};

    /* "0123456789" -> "<<01" "xyz" "6" "" "89" */
    text_put(&w, 0, 0, "<<", 2);
    text_copy(&w, 0, 2);
    text_put(&w, 2, 6, "xyz", 3);
    text_copy(&w, 6, 7);
    text_put(&w, 7, 8, NULL, 0);
    text_copy(&w, 8, 10);
    return text_finish(&w);
}

static void cuts_move_with_the_text(void **state)
{
    static const struct {
        size_t from, low, high;
    } rows[] = {
        {0, 0, 0}, /* stays before what is put in front */
        {1, 3, 3}, {2, 4, 4}, {3, 4, 7}, {5, 4, 7},    {6, 7, 7},
        {7, 8, 8}, {8, 8, 8}, {9, 9, 9}, {10, 10, 10}, {11, 10, 10},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct text_cut cut = {rows[i].from, rows[i].from}, moved;
        struct text from = {.p = "0123456789", .len = 10, .cuts = &cut, .n_cuts = 1};
        struct buf out = {0};
        struct text to = write(&out, &moved, &from);
        assert_int_equal(to.len, 10);
        assert_memory_equal(to.p, "<<01xyz689", 10);
        if (moved.low != rows[i].low || moved.high != rows[i].high)
            fail_msg("%zu: found %zu to %zu, expected %zu to %zu", rows[i].from, moved.low,
                     moved.high, rows[i].low, rows[i].high);
        buf_free(&out);
    }
}

/* What stands for several bytes comes from where the last of them came from. */
static void the_beginning_stays_the_beginning(void **state)
{
    static const size_t expected[] = {0, 3, 4, 4, 4, 4, 7, 8, 8, 9, 10};

    (void)state;
    for (size_t n = 0; n <= 10; n++) {
        struct text from = {.p = "0123456789", .len = 10, .n_first = n};
        struct buf out = {0};
        struct text to = write(&out, NULL, &from);
        assert_int_equal(to.n_first, expected[n]);
        buf_free(&out);
    }
}

/* A cut that is a stretch, in a slice that begins inside of it. */
static void wide_cuts_move_in_slices(void **state)
{
    struct text_cut cut = {1, 4}, moved;
    struct text whole = {.p = "..0123456789", .len = 12, .cuts = &cut, .n_cuts = 1};
    struct text from = text_slice(&whole, 2, 12);
    struct buf out = {0};

    (void)state;
    struct text to = write(&out, &moved, &from);
    assert_int_equal(to.n_cuts, 1);
    assert_int_equal(moved.low, 0);
    assert_int_equal(moved.high, 4);
    buf_free(&out);
}

static void broken_sequences_are_replaced(void **state)
{
    static const char bytes[] = "a\xe4\xbd\xa0\xff\xe4\xbd"
                                "b\xf0\x9f\x98\xc3";
    static const char clean[] = "a\xe4\xbd\xa0\xef\xbf\xbd\xef\xbf\xbd"
                                "b\xef\xbf\xbd\xef\xbf\xbd";
    struct text from = {.p = bytes, .len = sizeof bytes - 1};
    struct buf out = {0};
    struct text_writer w = {.out = &out, .from = &from};

    (void)state;
    text_write_clean(&w);
    struct text to = text_finish(&w);
    assert_int_equal(to.len, sizeof clean - 1);
    assert_memory_equal(to.p, clean, to.len);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_found_in_any_slice),
        cmocka_unit_test(cuts_move_with_the_text),
        cmocka_unit_test(the_beginning_stays_the_beginning),
        cmocka_unit_test(wide_cuts_move_in_slices),
        cmocka_unit_test(broken_sequences_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
