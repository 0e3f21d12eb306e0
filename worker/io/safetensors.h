/* The tensors of a checkpoint in safetensors: one file, or shards with an index. Opening reads and
 * checks the headers; no tensor data is read.
 *
 *   byte 0        header length n, little endian
 *   byte 8        JSON: {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...}
 *   byte 8 + n    data; the tensors cover it exactly, none overlaps another
 */
#ifndef WORKER_IO_SAFETENSORS_H
#define WORKER_IO_SAFETENSORS_H

#include "base/err.h"
#include "worker/io/root.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(constant, name in the file, bits of an element) */
#define TENSOR_DTYPES(X) \
    X(TENSOR_F32, "F32", 32) \
    X(TENSOR_F16, "F16", 16) \
    X(TENSOR_BF16, "BF16", 16) \
    X(TENSOR_F64, "F64", 64) \
    X(TENSOR_F8_E4M3, "F8_E4M3", 8) \
    X(TENSOR_F8_E5M2, "F8_E5M2", 8) \
    X(TENSOR_F8_E8M0, "F8_E8M0", 8) \
    X(TENSOR_F6_E2M3, "F6_E2M3", 6) \
    X(TENSOR_F6_E3M2, "F6_E3M2", 6) \
    X(TENSOR_F4, "F4", 4) \
    X(TENSOR_BOOL, "BOOL", 8) \
    X(TENSOR_U8, "U8", 8) \
    X(TENSOR_I8, "I8", 8) \
    X(TENSOR_U16, "U16", 16) \
    X(TENSOR_I16, "I16", 16) \
    X(TENSOR_U32, "U32", 32) \
    X(TENSOR_I32, "I32", 32) \
    X(TENSOR_U64, "U64", 64) \
    X(TENSOR_I64, "I64", 64) \
    X(TENSOR_C64, "C64", 64)

#define X(constant, name, bits) constant,
enum tensor_dtype { TENSOR_DTYPES(X) TENSOR_DTYPES_N };
#undef X

const char *tensor_dtype_name(enum tensor_dtype dtype);

#define TENSOR_DIMS_MAX        8
#define SAFETENSORS_NAME_MAX   255 /* bytes of a tensor's name */
#define SAFETENSORS_HEADER_MAX 100000000
#define SAFETENSORS_INDEX_MAX  (64u << 20)
#define SAFETENSORS_FILES_MAX  512 /* all are held open */

struct tensor {
    char *name; /* owned by the table; printable UTF-8 */
    enum tensor_dtype dtype;
    uint32_t n_dims;
    uint64_t shape[TENSOR_DIMS_MAX];
    uint32_t file;   /* index into safetensors.files */
    uint64_t offset; /* from the start of the file */
    uint64_t bytes;  /* offset + bytes <= the file's size */
};

struct safetensors_file {
    char *name;
    struct root_file file; /* open for reading as long as the table lives */
};

struct safetensors {
    struct tensor *tensors; /* sorted by name, no name twice */
    size_t n_tensors, cap;
    struct safetensors_file *files;
    size_t n_files;
};

/* model.safetensors if there is one, else the shards of model.safetensors.index.json. -ENOENT when
 * there is neither; on failure nothing is left to close. */
int safetensors_open(struct safetensors *s, const struct root *root, struct err *e);
void safetensors_close(struct safetensors *s);

/* The tensor of that name, or NULL. */
const struct tensor *safetensors_find(const struct safetensors *s, const char *name);

/* "BF16 [64, 128]" into out, for sentences. */
#define TENSOR_TEXT_MAX 200
void tensor_describe(const struct tensor *t, char out[TENSOR_TEXT_MAX]);

/* The header alone, for a file whose data is data_bytes long and starts at data_start: its tensors
 * into the table, unsorted. Exported for the fuzzer; safetensors_open calls it for every file. */
int safetensors_add_header(struct safetensors *s, uint32_t file, const char *json, size_t len,
                           uint64_t data_start, uint64_t data_bytes, struct err *e);
/* Sort by name and refuse duplicates, after the last header. */
int safetensors_sort(struct safetensors *s, struct err *e);

#endif
