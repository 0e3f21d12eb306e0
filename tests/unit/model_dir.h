/* For the tests of checkpoints: a directory of their own that goes away with them, and files in it.
 */
#ifndef TESTS_UNIT_MODEL_DIR_H
#define TESTS_UNIT_MODEL_DIR_H

#include "base/check.h"

#include <endian.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct model_dir {
    char path[64];
};

static inline void model_dir_make(struct model_dir *d)
{
    snprintf(d->path, sizeof d->path, "/tmp/cortex-model-XXXXXX");
    CHECK(mkdtemp(d->path) != NULL);
}

static inline const char *model_dir_path(const struct model_dir *d, const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *to = path[turn++ % 4];

    snprintf(to, sizeof path[0], "%s/%s", d->path, name);
    return to;
}

static inline void model_dir_write(const struct model_dir *d, const char *name, const void *data,
                                   size_t len)
{
    FILE *f = fopen(model_dir_path(d, name), "wb");

    CHECK(f != NULL);
    CHECK(fwrite(data, 1, len, f) == len);
    CHECK(fclose(f) == 0);
}

/* A safetensors file of this header and n_data bytes of data. */
static inline void model_dir_write_tensors(const struct model_dir *d, const char *name,
                                           const char *header, size_t n_data)
{
    size_t n = strlen(header);
    uint64_t le = htole64(n);
    char *all = calloc(1, sizeof le + n + n_data);

    CHECK(all != NULL);
    memcpy(all, &le, sizeof le);
    memcpy(all + sizeof le, header, n);
    model_dir_write(d, name, all, sizeof le + n + n_data);
    free(all);
}

static inline int model_dir_remove_one(const char *path, const struct stat *st, int kind,
                                       struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void model_dir_remove(struct model_dir *d)
{
    CHECK(nftw(d->path, model_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

#endif
