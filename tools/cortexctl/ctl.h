/* cortexctl: reads the node segment of an instance, whatever version wrote it and whatever is left
 * of it, and prints it as text or JSON. Nothing here writes to the segment, waits for a process, or
 * believes what it reads. */
#ifndef TOOLS_CORTEXCTL_CTL_H
#define TOOLS_CORTEXCTL_CTL_H

#include "base/buf.h"
#include "shm/describe.h"

#include <stdbool.h>

/* Exit codes, stable. */
enum ctl_exit { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

/* One section of the segment and a copy of one of its records. A section that the segment does not
 * have reads as one without records, a field it does not have as 0 or "". */
struct view {
    const struct describe *d; /* borrowed */
    struct shm_section_desc section;
    char *record; /* owned */
    bool is_torn; /* the copy may mix two states of the record */
};
void view_open(struct view *v, const struct describe *d, const char *section);
void view_close(struct view *v);
/* false past the last record. */
bool view_load(struct view *v, uint32_t i);
bool view_has(const struct view *v, const char *field);
uint64_t view_u64(const struct view *v, const char *field);
/* The text of a STR or ENUM field, in buf. */
const char *view_text(const struct view *v, const char *field, char *buf, size_t size);

struct ctl {
    const char *instance;
    bool is_json;
    bool is_following;
    bool is_built_in;  /* of this program, without an instance */
    bool is_reference; /* Markdown about this program's counters */
    uint64_t lines;    /* of the log, UINT64_MAX = all there are */
    struct buf out;

    struct describe d;
    const void *base; /* owned: the mapping behind d */
    bool is_alive;    /* some supervisor holds the instance */
    uint64_t now_ns;  /* of a dead instance: its last sign of life */
    struct view process, beat, model, worker, request;
};

/* Attach to the instance, or describe this build without one. 0 or -errno with the sentence. */
int ctl_attach(struct ctl *c, struct err *e);
int ctl_attach_built_in(struct ctl *c, struct err *e);
void ctl_detach(struct ctl *c);

/* Name of process i, of worker slot i's process, of model i; never empty. */
const char *ctl_process_name(struct ctl *c, uint32_t i, char *buf, size_t size);
const char *ctl_worker_name(struct ctl *c, uint32_t slot, char *buf, size_t size);
const char *ctl_model_name(struct ctl *c, uint32_t i, char *buf, size_t size);

/* Write c->out to standard output and empty it: 0 or -errno. */
int ctl_flush(struct ctl *c);

/* Markdown of docs/reference/counters.md. */
void ctl_add_reference(struct buf *b);

/* The table of models, part of status too; that of kept weights. */
void ctl_add_models(struct ctl *c);
void ctl_add_weights(struct ctl *c);

/* The commands; one per file. 0 or -errno with the sentence. */
int ctl_status(struct ctl *c, struct err *e);
int ctl_models(struct ctl *c, struct err *e);
int ctl_workers(struct ctl *c, struct err *e);
int ctl_requests(struct ctl *c, struct err *e);
int ctl_counters(struct ctl *c, struct err *e);
int ctl_log(struct ctl *c, struct err *e);
int ctl_layout(struct ctl *c, struct err *e);

#endif
