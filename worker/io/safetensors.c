#include "worker/io/safetensors.h"

#include "base/check.h"
#include "base/json.h"
#include "base/size.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME  "model.safetensors.index.json"

#define X(constant, name, bits) {name, bits},
static const struct {
    const char *name;
    unsigned bits;
} dtypes[TENSOR_DTYPES_N] = {TENSOR_DTYPES(X)};
#undef X

const char *tensor_dtype_name(enum tensor_dtype dtype)
{
    CHECK((unsigned)dtype < TENSOR_DTYPES_N);
    return dtypes[dtype].name;
}

void tensor_describe(const struct tensor *t, char out[TENSOR_TEXT_MAX])
{
    int n = snprintf(out, TENSOR_TEXT_MAX, "%s [", tensor_dtype_name(t->dtype));

    for (uint32_t i = 0; i < t->n_dims; i++)
        n += snprintf(out + n, (size_t)(TENSOR_TEXT_MAX - n), "%s%" PRIu64, i > 0 ? ", " : "",
                      t->shape[i]);
    snprintf(out + n, (size_t)(TENSOR_TEXT_MAX - n), "]");
}

/* --- one entry of a header --- */

static int check_tensor_name(const char *name, struct err *e)
{
    size_t len = strlen(name);

    if (len == 0 || len > SAFETENSORS_NAME_MAX)
        return err_set(e, EINVAL, "found a tensor name of %zu bytes, expected 1 to %d", len,
                       SAFETENSORS_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f)
            return err_set(e, EINVAL,
                           "found a tensor name with control byte 0x%02x at %zu, expected "
                           "printable text",
                           c, i);
    }
    return 0;
}

static int parse_dtype(struct tensor *t, const struct json_object *o, struct err *e)
{
    if (json_type_of(o) != JSON_STRING)
        return err_set(e, EINVAL, "%s: dtype: found %s, expected a string", t->name,
                       json_type_name(json_type_of(o)));
    size_t len;
    const char *name = json_string(o, &len);
    for (unsigned i = 0; i < TENSOR_DTYPES_N; i++) {
        if (len == strlen(dtypes[i].name) && memcmp(name, dtypes[i].name, len) == 0) {
            t->dtype = (enum tensor_dtype)i;
            return 0;
        }
    }
    return err_set(e, EINVAL,
                   "%s: dtype: found an unknown type, expected F32, F16, BF16 or another "
                   "of the format",
                   t->name);
}

/* An array of at most max whole numbers >= 0. */
static int parse_numbers(const struct json_object *o, uint64_t *out, size_t max, size_t *n,
                         const char *tensor, const char *field, struct err *e)
{
    if (json_type_of(o) != JSON_ARRAY)
        return err_set(e, EINVAL, "%s: %s: found %s, expected an array", tensor, field,
                       json_type_name(json_type_of(o)));
    *n = json_length(o);
    if (*n > max)
        return err_set(e, EINVAL, "%s: %s: found %zu numbers, expected at most %zu", tensor, field,
                       *n, max);
    for (size_t i = 0; i < *n; i++) {
        const struct json_object *v = json_at(o, i);
        if (json_type_of(v) != JSON_NUMBER || !json_is_integer(v) || json_integer(v) < 0)
            return err_set(e, EINVAL, "%s: %s: element %zu: expected a whole number from 0 to 2^63",
                           tensor, field, i);
        out[i] = (uint64_t)json_integer(v);
    }
    return 0;
}

static int count_bytes(const struct tensor *t, uint64_t *bytes, struct err *e)
{
    uint64_t n = 1;

    for (uint32_t i = 0; i < t->n_dims; i++)
        if (!size_mul(n, t->shape[i], &n))
            return err_set(e, EINVAL, "%s: shape: found more than 2^64 elements", t->name);
    if (!size_mul(n, dtypes[t->dtype].bits, &n))
        return err_set(e, EINVAL, "%s: shape: found more than 2^64 bits", t->name);
    if (n % 8 != 0)
        return err_set(e, EINVAL, "%s: found %" PRIu64 " bits, expected whole bytes", t->name, n);
    *bytes = n / 8;
    return 0;
}

static int parse_entry(struct tensor *t, const struct json_object *o, uint64_t data_bytes,
                       struct err *e)
{
    uint64_t ends[2], bytes = 0;
    size_t n, n_ends;
    char text[TENSOR_TEXT_MAX];

    if (json_type_of(o) != JSON_OBJECT || json_length(o) != 3)
        return err_set(e, EINVAL, "%s: expected an object of dtype, shape and data_offsets",
                       t->name);
    int rc = parse_dtype(t, json_get(o, "dtype"), e);
    if (rc == 0)
        rc =
            parse_numbers(json_get(o, "shape"), t->shape, TENSOR_DIMS_MAX, &n, t->name, "shape", e);
    if (rc == 0)
        rc = parse_numbers(json_get(o, "data_offsets"), ends, 2, &n_ends, t->name, "data_offsets",
                           e);
    if (rc != 0)
        return rc;
    t->n_dims = (uint32_t)n;
    if (n_ends != 2 || ends[0] > ends[1] || ends[1] > data_bytes)
        return err_set(e, EINVAL,
                       "%s: data_offsets: expected begin <= end <= %" PRIu64
                       ", the bytes behind the header; is the file complete?",
                       t->name, data_bytes);
    rc = count_bytes(t, &bytes, e);
    if (rc != 0)
        return rc;
    tensor_describe(t, text);
    if (ends[1] - ends[0] != bytes)
        return err_set(e, EINVAL, "%s: found %" PRIu64 " bytes, expected %" PRIu64 " for %s",
                       t->name, ends[1] - ends[0], bytes, text);
    t->offset = ends[0];
    t->bytes = bytes;
    return 0;
}

/* --- one header --- */

static struct tensor *add_tensor(struct safetensors *s, const char *name)
{
    if (s->n_tensors == s->cap) {
        s->cap = s->cap == 0 ? 256 : s->cap * 2;
        s->tensors = reallocarray(s->tensors, s->cap, sizeof *s->tensors);
        CHECK(s->tensors != NULL); /* bounded by JSON_NODES_MAX per file */
    }
    struct tensor *t = &s->tensors[s->n_tensors++];
    *t = (struct tensor){.name = strdup(name)};
    CHECK(t->name != NULL);
    return t;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors of one file, offsets still counted from the start of the data. */
static int check_cover(struct tensor *t, size_t n, uint64_t data_bytes, struct err *e)
{
    uint64_t end = 0;

    qsort(t, n, sizeof *t, compare_offsets);
    for (size_t i = 0; i < n; i++) {
        if (t[i].offset != end)
            return err_set(e, EINVAL,
                           "%s: found its data at %" PRIu64 ", expected %" PRIu64 ": the tensors "
                           "%s",
                           t[i].name, t[i].offset, end,
                           t[i].offset < end ? "overlap" : "leave a gap");
        end += t[i].bytes;
    }
    if (end != data_bytes)
        return err_set(e, EINVAL,
                       "found %" PRIu64 " bytes of data, expected %" PRIu64
                       ", the end of the last tensor",
                       data_bytes, end);
    return 0;
}

static int check_metadata(const struct json_object *o, struct err *e)
{
    if (json_type_of(o) != JSON_OBJECT)
        return err_set(e, EINVAL, "__metadata__: found %s, expected an object",
                       json_type_name(json_type_of(o)));
    struct json_iterator it = json_members(o);
    while (json_next(&it))
        if (json_type_of(it.value) != JSON_STRING)
            return err_set(e, EINVAL, "__metadata__: found %s as a value, expected strings",
                           json_type_name(json_type_of(it.value)));
    return 0;
}

static int add_entries(struct safetensors *s, uint32_t file, const struct json_object *root,
                       uint64_t data_bytes, struct err *e)
{
    struct json_iterator it = json_members(root);
    int rc = 0;

    while (rc == 0 && json_next(&it)) {
        if (strcmp(it.key, "__metadata__") == 0) {
            rc = check_metadata(it.value, e);
            continue;
        }
        rc = check_tensor_name(it.key, e);
        if (rc != 0)
            return rc;
        struct tensor *t = add_tensor(s, it.key);
        t->file = file;
        rc = parse_entry(t, it.value, data_bytes, e);
    }
    return rc;
}

int safetensors_add_header(struct safetensors *s, uint32_t file, const char *json, size_t len,
                           uint64_t data_start, uint64_t data_bytes, struct err *e)
{
    struct json_object *root = NULL;
    size_t first = s->n_tensors;
    uint64_t end;

    if (!size_add(data_start, data_bytes, &end))
        return err_set(e, EINVAL, "found more than 2^64 bytes");
    if (len == 0 || json[0] != '{')
        return err_set(e, EINVAL, "header: expected a JSON object that starts at its first byte");
    int rc = json_parse(json, len, &root, e);
    if (rc != 0) {
        err_prefix(e, "header");
        return rc;
    }
    rc = add_entries(s, file, root, data_bytes, e);
    json_free(&root);
    if (rc == 0 && s->n_tensors > first)
        rc = check_cover(s->tensors + first, s->n_tensors - first, data_bytes, e);
    else if (rc == 0 && data_bytes > 0)
        rc = err_set(e, EINVAL, "found %" PRIu64 " bytes of data, but no tensor", data_bytes);
    for (size_t i = first; rc == 0 && i < s->n_tensors; i++)
        s->tensors[i].offset += data_start;
    return rc;
}

/* --- the files --- */

static int read_header(const struct root_file *f, const char *name, char **json, uint64_t *len,
                       struct err *e)
{
    uint64_t n;

    if (f->size < sizeof n)
        return err_set(e, EINVAL, "%s: found %" PRIu64 " bytes, expected a header length of 8",
                       name, f->size);
    int rc = root_read(f, name, 0, &n, sizeof n, e);
    if (rc != 0)
        return rc;
    n = le64toh(n);
    if (n > SAFETENSORS_HEADER_MAX || n > f->size - sizeof n)
        return err_set(e, EINVAL,
                       "%s: found a header of %" PRIu64 " bytes in a file of %" PRIu64
                       ", expected at most %d and all of it; is the file complete?",
                       name, n, f->size, SAFETENSORS_HEADER_MAX);
    *json = malloc((size_t)n + 1);
    if (*json == NULL)
        return err_set(e, ENOMEM, "%s: no memory for a header of %" PRIu64 " bytes", name, n);
    rc = root_read(f, name, sizeof n, *json, (size_t)n, e);
    *len = n;
    return rc;
}

static int add_file(struct safetensors *s, const struct root *root, const char *name, struct err *e)
{
    struct safetensors_file *f = &s->files[s->n_files];
    char *json = NULL;
    uint64_t len = 0;
    int rc = root_open_file(root, name, &f->file, e);

    if (rc != 0)
        return rc;
    f->name = strdup(name);
    CHECK(f->name != NULL);
    s->n_files++;
    rc = read_header(&f->file, name, &json, &len, e);
    if (rc == 0) {
        uint64_t start = sizeof(uint64_t) + len;
        rc = safetensors_add_header(s, (uint32_t)(s->n_files - 1), json, (size_t)len, start,
                                    f->file.size - start, e);
        if (rc != 0)
            err_prefix(e, "%s", name);
    }
    free(json);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

int safetensors_sort(struct safetensors *s, struct err *e)
{
    if (s->n_tensors == 0)
        return 0;
    qsort(s->tensors, s->n_tensors, sizeof *s->tensors, compare_names);
    for (size_t i = 1; i < s->n_tensors; i++) {
        const struct tensor *a = &s->tensors[i - 1], *b = &s->tensors[i];
        if (strcmp(a->name, b->name) != 0)
            continue;
        bool has_names = a->file < s->n_files && b->file < s->n_files;
        return err_set(e, EINVAL, "%s: found twice, in %s and in %s, expected once", a->name,
                       has_names ? s->files[a->file].name : "a file",
                       has_names ? s->files[b->file].name : "a file");
    }
    return 0;
}

const struct tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    struct tensor key = {.name = (char *)(uintptr_t)name};

    if (s->n_tensors == 0)
        return NULL;
    return bsearch(&key, s->tensors, s->n_tensors, sizeof *s->tensors, compare_names);
}

/* --- shards --- */

static int find_file(const struct safetensors *s, const char *name)
{
    for (size_t i = 0; i < s->n_files; i++)
        if (strcmp(s->files[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int add_shards(struct safetensors *s, const struct root *root, const struct json_object *map,
                      struct err *e)
{
    struct json_iterator it = json_members(map);
    int rc = 0;

    while (rc == 0 && json_next(&it)) {
        size_t len;
        rc = check_tensor_name(it.key, e);
        if (rc != 0)
            break;
        if (json_type_of(it.value) != JSON_STRING)
            return err_set(e, EINVAL, "%s: found %s, expected the name of a file", it.key,
                           json_type_name(json_type_of(it.value)));
        const char *name = json_string(it.value, &len);
        if (strlen(name) != len)
            return err_set(e, EINVAL, "%s: found a file name with a NUL byte", it.key);
        if (find_file(s, name) != -1)
            continue;
        if (s->n_files == SAFETENSORS_FILES_MAX)
            return err_set(e, E2BIG, "found more than %d files", SAFETENSORS_FILES_MAX);
        rc = add_file(s, root, name, e);
    }
    return rc;
}

static int check_map(const struct safetensors *s, const struct json_object *map, struct err *e)
{
    struct json_iterator it = json_members(map);

    while (json_next(&it)) {
        const struct tensor *t = safetensors_find(s, it.key);
        size_t len;
        const char *name = json_string(it.value, &len); /* add_shards has checked it */
        if (t == NULL)
            return err_set(e, EINVAL, "%s: expected in %s, found in no file", it.key, name);
        if (strcmp(s->files[t->file].name, name) != 0)
            return err_set(e, EINVAL, "%s: expected in %s, found in %s", it.key, name,
                           s->files[t->file].name);
    }
    return 0;
}

static int open_shards(struct safetensors *s, const struct root *root, struct err *e)
{
    struct buf text = {0};
    struct json_object *index = NULL;
    int rc = root_read_all(root, INDEX_NAME, SAFETENSORS_INDEX_MAX, &text, e);

    if (rc == -ENOENT)
        return err_set(e, ENOENT,
                       "open %s: found neither " SINGLE_NAME " nor " INDEX_NAME ", expected one",
                       root->path);
    if (rc != 0)
        return rc;
    rc = json_parse(text.data, text.len, &index, e);
    buf_free(&text);
    const struct json_object *map = rc == 0 ? json_get(index, "weight_map") : NULL;
    if (rc == 0 && (json_type_of(map) != JSON_OBJECT || json_length(map) == 0))
        rc = err_set(e, EINVAL, "weight_map: expected an object of tensor and file names");
    if (rc == 0)
        rc = add_shards(s, root, map, e);
    if (rc == 0)
        rc = safetensors_sort(s, e);
    if (rc == 0)
        rc = check_map(s, map, e);
    if (rc != 0)
        err_prefix(e, INDEX_NAME);
    json_free(&index);
    return rc;
}

int safetensors_open(struct safetensors *s, const struct root *root, struct err *e)
{
    *s = (struct safetensors){0};
    s->files = calloc(SAFETENSORS_FILES_MAX, sizeof *s->files);
    CHECK(s->files != NULL);
    int rc = add_file(s, root, SINGLE_NAME, e);
    if (rc == 0)
        rc = safetensors_sort(s, e);
    else if (rc == -ENOENT)
        rc = open_shards(s, root, e);
    if (rc != 0)
        safetensors_close(s);
    return rc;
}

void safetensors_close(struct safetensors *s)
{
    for (size_t i = 0; i < s->n_tensors; i++)
        free(s->tensors[i].name);
    for (size_t i = 0; i < s->n_files; i++) {
        root_close_file(&s->files[i].file);
        free(s->files[i].name);
    }
    free(s->tensors);
    free(s->files);
    *s = (struct safetensors){0};
}
