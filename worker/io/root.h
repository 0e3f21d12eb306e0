/* A model's directory: the only way to its files. Names resolve beneath it with openat2, symbolic
 * links are not followed, and nothing but a regular file is opened. One layout is let through: in a
 * snapshot of a Hugging Face hub cache (.../snapshots/REVISION) every file is a link to
 * ../../blobs/HASH (in a folder of it, to ../../../blobs/HASH), and such a link is followed by hand,
 * beneath that blobs directory. */
#ifndef WORKER_IO_ROOT_H
#define WORKER_IO_ROOT_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct root {
    int fd;
    int blobs_fd;   /* of the hub cache this is a snapshot of; -1: it is none */
    char path[512]; /* as it was given, for sentences; cut when longer */
};

/* An open file and what it was when it was opened: a cache of its content is keyed by the rest. */
struct root_file {
    int fd;
    uint64_t size;
    uint64_t dev, ino;
    int64_t mtime_ns;
};

#define ROOT_NAME_MAX 255 /* bytes of a name, its folders included */

/* path is the operator's and may itself be a link. On failure there is nothing to close. */
int root_open(struct root *r, const char *path, struct err *e);
void root_close(struct root *r);

/* Open name for reading. -ENOENT when there is none; every error has its sentence, with the name
 * made printable. On failure f->fd is -1. */
int root_open_file(const struct root *r, const char *name, struct root_file *f, struct err *e);
void root_close_file(struct root_file *f);

/* The file that f is, once more, past the page cache (O_DIRECT). The fd; -EOPNOTSUPP when its file
 * system has no such reads, -ESTALE when the name has become another file. */
int root_open_direct(const struct root *r, const char *name, const struct root_file *f,
                     struct err *e);

/* Exactly len bytes at offset; -EIO when the file ends before. name is for the sentence. */
int root_read(const struct root_file *f, const char *name, uint64_t offset, void *to, size_t len,
              struct err *e);

/* The whole of a small file, NUL-terminated behind its length; -EFBIG when it has more than max
 * bytes. On failure out holds nothing of it. */
int root_read_all(const struct root *r, const char *name, size_t max, struct buf *out,
                  struct err *e);

#endif
