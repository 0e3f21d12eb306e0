/* A safetensors header of any bytes, with as many bytes of data as the first two of them say: a
 * clean refusal, or tensors that cover the data exactly and are found by their names. */
#include "base/check.h"
#include "base/size.h"
#include "worker/io/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_table(const struct safetensors *s, uint64_t start, uint64_t data_bytes)
{
    uint64_t sum = 0, end;
    char text[TENSOR_TEXT_MAX];

    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct tensor *t = &s->tensors[i];
        CHECK(t->offset >= start);
        CHECK(size_add(t->offset, t->bytes, &end) && end <= start + data_bytes);
        CHECK(safetensors_find(s, t->name) == t);
        tensor_describe(t, text);
        sum += t->bytes;
    }
    CHECK(sum == data_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct safetensors s = {0};
    struct err e = {0};

    if (size < 2)
        return 0;
    uint64_t data_bytes = bytes[0] | (uint64_t)bytes[1] << 8, start = 8 + (uint64_t)size - 2;
    char *copy = malloc(size - 1); /* of its own size: nothing behind it is read unseen */
    CHECK(copy != NULL);
    memcpy(copy, bytes + 2, size - 2);
    int rc = safetensors_add_header(&s, 0, copy, size - 2, start, data_bytes, &e);
    if (rc == 0)
        rc = safetensors_sort(&s, &e);
    CHECK((rc == 0) == (e.code == 0));
    if (rc == 0)
        check_table(&s, start, data_bytes);
    free(copy);
    safetensors_close(&s);
    return 0;
}
