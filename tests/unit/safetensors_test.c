/* The table of tensors: good files, every rule broken once, truncation at every offset, every bit
 * flipped. */
#include "tests/unit/model_dir.h"
#include "worker/io/safetensors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct model_dir dir;
static struct root root;

static int make_dir(void **state)
{
    struct err e = {0};
    (void)state;

    model_dir_make(&dir);
    CHECK(root_open(&root, dir.path, &e) == 0);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    root_close(&root);
    model_dir_remove(&dir);
    return 0;
}

#define ENTRY(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

#define GOOD \
    "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY("b.weight", "BF16", "[2,3]", 0, 12) "," ENTRY( \
        "a.weight", "F32", "[5]", 12, \
        32) "," ENTRY("scalar", "F16", "[]", 32, \
                      34) "," ENTRY("empty", "F16", "[0]", 34, \
                                    34) "," ENTRY("packed", "F4", "[3,2]", 34, 37) "}  "
#define GOOD_BYTES 37

static void expect_error(int code, const char *sentence)
{
    struct safetensors s;
    struct err e = {0};
    int rc = safetensors_open(&s, &root, &e);

    if (rc != -code || strstr(e.text, sentence) == NULL)
        fail_msg("found %d \"%s\", expected %d \"%s\"", rc, e.text, -code, sentence);
    assert_null(s.tensors);
    assert_null(s.files);
}

static void reads_one_file(void **state)
{
    struct safetensors s;
    struct err e = {0};
    char text[TENSOR_TEXT_MAX];
    uint64_t start = 8 + strlen(GOOD);
    (void)state;

    expect_error(ENOENT, "found neither model.safetensors nor model.safetensors.index.json");
    model_dir_write_tensors(&dir, "model.safetensors", GOOD, GOOD_BYTES);
    assert_int_equal(safetensors_open(&s, &root, &e), 0);
    assert_int_equal(s.n_tensors, 5);
    const struct tensor *t = safetensors_find(&s, "b.weight");
    assert_non_null(t);
    assert_int_equal(t->offset, start);
    assert_int_equal(t->bytes, 12);
    tensor_describe(t, text);
    assert_string_equal(text, "BF16 [2, 3]");
    assert_int_equal(safetensors_find(&s, "a.weight")->offset, start + 12);
    assert_int_equal(safetensors_find(&s, "packed")->bytes, 3);
    tensor_describe(safetensors_find(&s, "scalar"), text);
    assert_string_equal(text, "F16 []");
    assert_null(safetensors_find(&s, "c.weight"));
    assert_null(safetensors_find(&s, "__metadata__"));
    safetensors_close(&s);
}

/* clang-format off */
static const struct { const char *header; size_t bytes; const char *sentence; } broken[] = {
    {"", 0, "header: expected a JSON object"},
    {"[]", 0, "header: expected a JSON object"},
    {" {}", 0, "header: expected a JSON object"},
    {"{", 0, "header: byte 1"},
    {"{}x", 0, "header: byte 2"},
    {"{}", 1, "found 1 bytes of data, but no tensor"},
    {"{\"__metadata__\":[]}", 0, "__metadata__: found array"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: found number as a value"},
    {"{\"a\":1}", 0, "a: expected an object of dtype, shape and data_offsets"},
    {"{\"\":1}", 0, "found a tensor name of 0 bytes"},
    {"{\"a\\u001b\":1}", 0, "control byte 0x1b at 1"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "a: expected an object of dtype, shape and"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4, "a: expected an object of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"offsets\":[0,4]}}", 4, "a: data_offsets: found null"},
    {"{\"a\":{\"dtype\":7,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "a: dtype: found number"},
    {"{" ENTRY("a", "F33", "[1]", 0, 4) "}", 4, "a: dtype: found an unknown type"},
    {"{" ENTRY("a", "F32\\u0000", "[1]", 0, 4) "}", 4, "a: dtype: found an unknown type"},
    {"{" ENTRY("a", "F32", "1", 0, 4) "}", 4, "a: shape: found number, expected an array"},
    {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "a: shape: found 9 numbers, expected at most 8"},
    {"{" ENTRY("a", "F32", "[-1]", 0, 4) "}", 4, "a: shape: element 0: expected a whole number"},
    {"{" ENTRY("a", "F32", "[1.5]", 0, 4) "}", 4, "a: shape: element 0: expected a whole number"},
    {"{" ENTRY("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4, "a: shape: found more than 2^64 elements"},
    {"{" ENTRY("a", "F32", "[4611686018427387904]", 0, 0) "}", 0, "a: shape: found more than 2^64 bits"},
    {"{" ENTRY("a", "F4", "[3]", 0, 1) "}", 1, "a: found 12 bits, expected whole bytes"},
    {"{" ENTRY("a", "F32", "[1]", 4, 0) "}", 4, "a: data_offsets: expected begin <= end <= 4"},
    {"{" ENTRY("a", "F32", "[1]", 0, 4) "}", 3, "a: data_offsets: expected begin <= end <= 3"},
    {"{" ENTRY("a", "F32", "[1]", 0, 9223372036854775807) "}", 4, "a: data_offsets: expected begin"},
    {"{" ENTRY("a", "F32", "[1]", 0, 18446744073709551615) "}", 4, "a: data_offsets: element 1"},
    {"{" ENTRY("a", "F32", "[2]", 0, 4) "}", 4, "a: found 4 bytes, expected 8 for F32 [2]"},
    {"{" ENTRY("a", "F32", "[1]", 0, 4) "}", 5, "found 5 bytes of data, expected 4"},
    {"{" ENTRY("a", "F32", "[1]", 1, 5) "}", 5, "a: found its data at 1, expected 0: the tensors leave a gap"},
    {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 0, 4) "}", 4, "the tensors overlap"},
    {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 2, 6) "}", 6, "b: found its data at 2, expected 4: the tensors overlap"},
    {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("a", "F32", "[1]", 4, 8) "}", 8, "header: byte"},
};
/* clang-format on */

static void refuses_every_broken_header(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        model_dir_write_tensors(&dir, "model.safetensors", broken[i].header, broken[i].bytes);
        expect_error(EINVAL, broken[i].sentence);
    }
    model_dir_write(&dir, "model.safetensors", "\377\377\377\377\377\377\377\377{}", 10);
    expect_error(EINVAL, "found a header of 18446744073709551615 bytes in a file of 10");
}

static void survives_truncation_at_every_offset(void **state)
{
    (void)state;
    model_dir_write_tensors(&dir, "model.safetensors", GOOD, GOOD_BYTES);
    for (size_t n = 8 + strlen(GOOD) + GOOD_BYTES; n-- > 0;) {
        assert_int_equal(truncate(model_dir_path(&dir, "model.safetensors"), (off_t)n), 0);
        expect_error(EINVAL, "model.safetensors: ");
    }
}

/* Equal but for names: what a changed name means is for the plan of weights to say. */
static bool is_equal_but_names(const struct safetensors *a, const struct safetensors *b)
{
    bool has_all = a->n_tensors == b->n_tensors;

    for (size_t i = 0; has_all && i < a->n_tensors; i++) {
        bool is_found = false;
        for (size_t j = 0; j < b->n_tensors; j++) {
            const struct tensor *x = &a->tensors[i], *y = &b->tensors[j];
            is_found |= x->dtype == y->dtype && x->n_dims == y->n_dims &&
                        memcmp(x->shape, y->shape, sizeof x->shape) == 0 &&
                        x->offset == y->offset && x->bytes == y->bytes;
        }
        has_all = is_found;
    }
    return has_all;
}

static void survives_every_flipped_bit(void **state)
{
    struct safetensors good = {0};
    struct err e = {0};
    char header[] = GOOD;
    size_t len = strlen(GOOD), n_equal = 0;
    (void)state;

    assert_int_equal(safetensors_add_header(&good, 0, GOOD, len, 8, GOOD_BYTES, &e), 0);
    for (size_t bit = 0; bit < len * 8; bit++) {
        struct safetensors s = {0};
        header[bit / 8] ^= (char)(1 << bit % 8);
        int rc = safetensors_add_header(&s, 0, header, len, 8, GOOD_BYTES, &e);
        if (rc == 0)
            rc = safetensors_sort(&s, &e);
        if (rc == 0) {
            n_equal++;
            if (!is_equal_but_names(&good, &s))
                fail_msg("bit %zu: accepted another table: %s", bit, header);
        }
        safetensors_close(&s);
        header[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(n_equal > 0 && n_equal < len * 2); /* names and metadata */
    safetensors_close(&good);
}

#define INDEX(map) "{\"metadata\":{\"total_size\":8},\"weight_map\":" map "}"
#define MAP        "{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}"

static void expect_index_error(const char *index, int code, const char *sentence)
{
    model_dir_write(&dir, "model.safetensors.index.json", index, strlen(index));
    expect_error(code, sentence);
}

static void reads_shards(void **state)
{
    struct safetensors s;
    struct err e = {0};
    (void)state;

    model_dir_write_tensors(&dir, "one.safetensors", "{" ENTRY("a", "F32", "[1]", 0, 4) "}", 4);
    model_dir_write_tensors(&dir, "two.safetensors", "{" ENTRY("b", "BF16", "[2]", 0, 4) "}", 4);
    model_dir_write(&dir, "model.safetensors.index.json", INDEX(MAP), strlen(INDEX(MAP)));
    assert_int_equal(safetensors_open(&s, &root, &e), 0);
    assert_int_equal(s.n_tensors, 2);
    assert_int_equal(s.n_files, 2);
    assert_string_equal(s.files[safetensors_find(&s, "b")->file].name, "two.safetensors");
    safetensors_close(&s);

    expect_index_error("{}", EINVAL, "weight_map: expected an object");
    expect_index_error(INDEX("{}"), EINVAL, "weight_map: expected an object");
    expect_index_error(INDEX("[1]"), EINVAL, "weight_map: expected an object");
    expect_index_error(INDEX("{\"a\":1}"), EINVAL, "a: found number, expected the name of a file");
    expect_index_error(INDEX("{\"a\":\"one.safetensors\\u0000\"}"), EINVAL, "NUL byte");
    expect_index_error(INDEX("{\"a\":\"../x\"}"), EXDEV, "leads out of the model's directory");
    expect_index_error(INDEX("{\"a\":\"three.safetensors\"}"), ENOENT, "open three.safetensors");
    expect_index_error(INDEX("{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}"), EINVAL,
                       "a: expected in two.safetensors, found in one.safetensors");
    expect_index_error(INDEX("{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}"), EINVAL,
                       "c: expected in two.safetensors, found in no file");
    model_dir_write_tensors(&dir, "two.safetensors", "{" ENTRY("a", "F32", "[1]", 0, 4) "}", 4);
    expect_index_error(INDEX(MAP), EINVAL, "a: found twice, in ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_one_file, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(refuses_every_broken_header, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(survives_truncation_at_every_offset, make_dir, remove_dir),
        cmocka_unit_test(survives_every_flipped_bit),
        cmocka_unit_test_setup_teardown(reads_shards, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
