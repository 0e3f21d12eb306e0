/* The validator, json-c behind it, and the writer, over any bytes. The first two bytes say how the
 * document is cut, the rest is the document.
 *
 * The verdict and its sentence do not depend on the cut; json-c parses whatever the validator
 * accepts; what the writer makes of the tree is accepted again, gives an equal tree, and is written
 * the same again in slices of any size. */
#include "base/check.h"
#include "base/json.h"
#include "base/json_check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Through a copy of its own size, so that nothing is read behind a piece unseen. */
static int feed_copy(struct json_reader *r, const char *data, size_t len, struct err *e)
{
    char *copy = malloc(len + 1);

    CHECK(copy != NULL);
    memcpy(copy + 1, data, len);
    int rc = json_reader_feed(r, copy + 1, len, e);
    free(copy);
    return rc;
}

static int read_in_pieces(struct json_reader *r, const char *text, size_t len, size_t first,
                          size_t step, struct json_object **root, struct err *e)
{
    size_t at = 0, n = first < len ? first : len;
    int rc = 0;

    *root = NULL;
    while (rc == 0 && at < len) {
        rc = feed_copy(r, text + at, n, e);
        at += n;
        n = len - at < step ? len - at : step;
    }
    if (rc == 0)
        rc = json_reader_finish(r, root, e);
    return rc;
}

static int check_alone(const char *text, size_t len, struct err *e)
{
    struct json_check *c = json_check_new();
    int rc = json_check_feed(c, text, len, e);

    if (rc == 0)
        rc = json_check_finish(c, e);
    json_check_free(&c);
    return rc;
}

static void check_equal(const struct json_object *a, const struct json_object *b);

static void check_equal_members(const struct json_object *a, const struct json_object *b)
{
    struct json_iterator in_a = json_members(a), in_b = json_members(b);

    while (json_next(&in_a)) {
        CHECK(json_next(&in_b));
        CHECK(strcmp(in_a.key, in_b.key) == 0);
        CHECK(json_get(b, in_a.key) == in_b.value); /* every key is found, none twice */
        check_equal(in_a.value, in_b.value);
    }
    CHECK(!json_next(&in_b));
}

static void check_equal(const struct json_object *a, const struct json_object *b)
{
    size_t len_a, len_b;
    const char *text_a, *text_b;

    CHECK(json_type_of(a) == json_type_of(b));
    switch (json_type_of(a)) {
    case JSON_NULL:
        return;
    case JSON_BOOL:
        CHECK(json_bool(a) == json_bool(b));
        return;
    case JSON_NUMBER:
        CHECK(json_number(a) - json_number(b) == 0); /* fails for infinities and NaN */
        CHECK(json_is_integer(a) == json_is_integer(b));
        CHECK(!json_is_integer(a) || json_integer(a) == json_integer(b));
        return;
    case JSON_STRING:
        text_a = json_string(a, &len_a);
        text_b = json_string(b, &len_b);
        CHECK(len_a == len_b && memcmp(text_a, text_b, len_a) == 0);
        return;
    case JSON_ARRAY:
        CHECK(json_length(a) == json_length(b));
        for (size_t i = 0; i < json_length(a); i++)
            check_equal(json_at(a, i), json_at(b, i));
        return;
    case JSON_OBJECT:
        CHECK(json_length(a) == json_length(b));
        check_equal_members(a, b);
        return;
    }
}

static void write_in_slices(const struct json_object *root, size_t budget, struct buf *out)
{
    struct json_writer *w = json_writer_new(root);

    while (!json_writer_step(w, out, budget))
        continue;
    json_writer_free(&w);
}

static void check_written(const struct json_object *root, size_t budget)
{
    struct buf text = {0}, again = {0};
    struct json_object *copy;
    struct err e = {0};

    json_write(root, &text);
    CHECK(json_parse(text.data, text.len, &copy, &e) == 0);
    check_equal(root, copy);
    write_in_slices(copy, budget, &again);
    CHECK(again.len == text.len && memcmp(again.data, text.data, text.len) == 0);
    json_free(&copy);
    buf_free(&text);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct json_reader *reader; /* used again and again, as the router does */
    struct json_object *whole, *pieces;
    struct err e_check = {0}, e_whole = {0}, e_pieces = {0};

    if (size < 2)
        return 0;
    if (reader == NULL)
        reader = json_reader_new();
    const char *text = (const char *)bytes + 2;
    size_t len = size - 2, first = bytes[0], step = 1 + (size_t)bytes[1];
    int verdict = check_alone(text, len, &e_check);

    CHECK(read_in_pieces(reader, text, len, len, len, &whole, &e_whole) == verdict);
    json_reader_reset(reader);
    CHECK(read_in_pieces(reader, text, len, first, step, &pieces, &e_pieces) == verdict);
    json_reader_reset(reader);
    CHECK(strcmp(e_check.text, e_whole.text) == 0 && strcmp(e_check.text, e_pieces.text) == 0);
    CHECK((verdict == 0) == (e_check.code == 0));
    if (verdict == 0) {
        check_equal(whole, pieces);
        check_written(whole, step);
    }
    json_free(&whole);
    json_free(&pieces);
    return 0;
}
