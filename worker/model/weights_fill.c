/* From the files into the block: the reader's ranges, and what takes their pieces. */
#include "base/check.h"
#include "worker/model/weights_pack.h"
#include "worker/model/weights_touch.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct filling {
    const struct weights_fill *fill;
    struct weights_pack *pack;
    struct reader_source *sources; /* [n_files] */
    struct reader_range *ranges;   /* [layout->n_sources] */
};

static int take_piece(void *to, uint32_t range, uint64_t offset, const void *data, size_t len,
                      struct err *e)
{
    return weights_pack_piece(((struct filling *)to)->pack, range, offset, data, len, e);
}

static bool tell_progress(void *to, uint64_t bytes_done, uint64_t bytes_all)
{
    const struct weights_fill *f = ((struct filling *)to)->fill;

    return f->progress != NULL && f->progress(f->to, bytes_done, bytes_all);
}

/* io_uring reads past the page cache where the file system can. */
static int open_sources(struct filling *p, struct err *e)
{
    const struct safetensors *s = p->fill->tensors;

    for (size_t i = 0; i < s->n_files; i++)
        p->sources[i] = (struct reader_source){.name = s->files[i].name,
                                               .fd = s->files[i].file.fd,
                                               .direct_fd = -1,
                                               .size = s->files[i].file.size};
    for (size_t i = 0; p->fill->mode == READER_URING && i < s->n_files; i++) {
        int fd = root_open_direct(p->fill->root, s->files[i].name, &s->files[i].file, e);
        if (fd < 0 && fd != -EOPNOTSUPP)
            return fd;
        p->sources[i].direct_fd = fd < 0 ? -1 : fd;
    }
    return 0;
}

static void close_sources(struct filling *p)
{
    for (size_t i = 0; i < p->fill->tensors->n_files; i++)
        if (p->sources[i].direct_fd != -1)
            close(p->sources[i].direct_fd);
}

static void list_ranges(struct filling *p)
{
    const struct weights_layout *l = p->fill->layout;

    for (uint32_t i = 0; i < l->n_sources; i++) {
        const struct tensor *t = l->sources[i].tensor;
        p->ranges[i] =
            (struct reader_range){.source = t->file, .offset = t->offset, .bytes = t->bytes};
    }
}

static int read_ranges(struct filling *p, struct reader_stats *stats, struct err *e)
{
    const struct weights_fill *f = p->fill;
    struct reader_plan plan = {
        .mode = f->mode,
        .sources = p->sources,
        .ranges = p->ranges,
        .n_sources = (uint32_t)f->tensors->n_files,
        .n_ranges = f->layout->n_sources,
        .piece_bytes = READER_PIECE,
        .depth = READER_DEPTH,
        .sink = take_piece,
        .progress = tell_progress,
        .to = p,
    };

    struct weights_touch *touch = NULL;
    int rc = 0;

    if (f->touch_threads > 0)
        rc = weights_touch_start(&touch, f->dest, f->layout->bytes, f->touch_threads, e);
    if (rc != 0)
        return rc;
    p->pack = weights_pack_new(f->layout, f->tensors, f->dest);
    rc = reader_run(&plan, stats, e);
    CHECK(rc != 0 || weights_pack_waiting(p->pack) == 0);
    weights_pack_free(&p->pack);
    weights_touch_stop(&touch);
    return rc;
}

int weights_fill(const struct weights_fill *f, struct reader_stats *stats, struct err *e)
{
    struct filling p = {
        .fill = f,
        .sources = calloc(f->tensors->n_files, sizeof *p.sources),
        .ranges = calloc(f->layout->n_sources, sizeof *p.ranges),
    };

    CHECK(p.sources != NULL);
    CHECK(p.ranges != NULL);
    *stats = (struct reader_stats){0};
    list_ranges(&p);
    int rc = open_sources(&p, e);
    if (rc == 0)
        rc = read_ranges(&p, stats, e);
    close_sources(&p);
    free(p.ranges);
    free(p.sources);
    return rc;
}
