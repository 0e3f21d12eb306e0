/* Small file-descriptor helpers. 0 or -errno. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "base/buf.h"
#include "base/err.h"

int fd_set_nonblocking(int fd);
int fd_set_cloexec(int fd, int on);

/* A memfd with this content, sealed against any change. The fd or -errno. */
int fd_sealed_text(const char *name, const char *text, size_t len, struct err *e);

/* Whole content of a regular file or memfd, at most max bytes, NUL-terminated by buf_text. */
int fd_read_all(int fd, struct buf *out, size_t max, struct err *e);

#endif
