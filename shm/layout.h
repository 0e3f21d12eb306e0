/* The node segment: everything cortexctl can know about a node, in one shared-memory object.
 *
 * This header is the ABI. Every struct below is laid out by an X list, so that the struct, the
 * description stored in the segment itself, `cortexctl layout` and the golden file come from one
 * place. Rules for all of it:
 *
 *  - one writing process per field, named at the section; nobody else stores there, ever;
 *  - no pointers, no locks; nothing here carries control: a process that scribbles over the
 *    segment can spoil what people see, never what clients get;
 *  - records of several words are published through a sequence lock (shm/seqlock.h), counters are
 *    relaxed atomics with one writer each, log rings are written by their own process only;
 *  - readers trust nothing: strings are bounded, enums may be out of range.
 *
 * The segment is created under a temporary name, filled, header last, then renamed to
 * /dev/shm/cortex.<instance>: nobody can open half a segment. It outlives its supervisor when that
 * is killed, so that cortexctl can read what happened, and the next start replaces it.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include "shm/counters.h"
#include "shm/seqlock.h"
#include "shm/states.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC   0x31787463u /* "ctx1" */
#define SHM_VERSION 1           /* bump when the meaning of a field changes */

#define CACHELINE 64

#define SHM_WORKERS_MAX   64
#define SHM_PROCESSES_MAX (2 + SHM_WORKERS_MAX) /* 0 supervisor, 1 router, 2 + slot workers */
#define SHM_MODELS_MAX    64
#define SHM_REQUESTS_MAX  16384
#define SHM_WEIGHTS_MAX   128 /* old and new ones of every model while they are replaced */
#define SHM_LOG_RECORDS   256
#define SHM_SECTIONS_MAX  24
#define SHM_FIELDS_MAX    384
#define SHM_ENUMS_MAX     96

#define SHM_PROC_SUPERVISOR 0
#define SHM_PROC_ROUTER     1
#define SHM_PROC_WORKER(slot) (2 + (slot))

/* Field types of the records: X(type, name, dimension or 1, enum set or "", help) */
#define SHM_FIELD_TYPES(X)                                                                         \
    X(U32, uint32_t) X(U64, uint64_t) X(I32, int32_t) X(I64, int64_t) X(ENUM, uint32_t) X(STR, char)

enum shm_field_type {
#define X(type, ctype) SHM_##type,
    SHM_FIELD_TYPES(X)
#undef X
};

#define SHM_MEMBER_U32(name, dim)  uint32_t name;
#define SHM_MEMBER_U64(name, dim)  uint64_t name;
#define SHM_MEMBER_I32(name, dim)  int32_t name;
#define SHM_MEMBER_I64(name, dim)  int64_t name;
#define SHM_MEMBER_ENUM(name, dim) uint32_t name;
#define SHM_MEMBER_STR(name, dim)  char name[dim];
#define SHM_MEMBER(type, name, dim, set, help) SHM_MEMBER_##type(name, dim)

/* ---- records: written through a sequence lock ---- */

/* One process of the tree. Writer: the supervisor. */
#define PROCESS_RECORD(X)                                                                          \
    X(ENUM, kind, 1, "process_kind", "what it is")                                                 \
    X(ENUM, state, 1, "child_state", "state as the supervisor sees it")                            \
    X(I32, pid, 1, "", "process id, 0 when there is none")                                         \
    X(U32, spawns, 1, "", "times started since the supervisor started")                            \
    X(U64, epoch, 1, "", "incarnation, never reused")                                              \
    X(U64, spawned_ns, 1, "", "monotonic time of the last fork")                                   \
    X(U64, ready_ns, 1, "", "monotonic time it became ready, 0 = not yet")                         \
    X(U64, gone_ns, 1, "", "monotonic time the last incarnation was reaped")                       \
    X(U64, next_start_ns, 1, "", "monotonic time of the next start while backing off")             \
    X(U32, faults, 1, "", "faults not yet forgiven")                                               \
    X(ENUM, exit_class, 1, "exit_class", "class of the last death")                                \
    X(I32, exit_status, 1, "", "wait status of the last death")                                    \
    X(U32, model, 1, "", "index of its model, workers only")                                       \
    X(STR, name, 64, "", "router, or model#instance")                                              \
    X(STR, reason, 208, "", "last obituary")

/* One model of the catalogue. Writer: the supervisor. */
#define MODEL_RECORD(X)                                                                            \
    X(STR, name, 128, "", "id, as clients say it")                                                 \
    X(ENUM, state, 1, "model_state", "absent, loading, ready, failed, draining")                   \
    X(U32, workers, 1, "", "workers wanted")                                                       \
    X(U32, workers_ready, 1, "", "workers ready")                                                  \
    X(U32, context, 1, "", "context limit in tokens, 0 = not known yet")                           \
    X(U32, has_text, 1, "", "1 when it generates text")                                            \
    X(U32, has_chat, 1, "", "1 when it has a chat template")                                       \
    X(U32, has_tools, 1, "", "1 when it takes tools")                                              \
    X(U32, has_reasoning, 1, "", "1 when it reasons before it answers")                            \
    X(U32, has_embedding, 1, "", "1 when it makes embeddings")                                     \
    X(U64, retry_ns, 1, "", "monotonic time of the next attempt when failed, 0 = none")            \
    X(STR, reason, 240, "", "why it failed, one sentence")

/* One worker. Writer: the worker in that slot. */
#define WORKER_RECORD(X)                                                                           \
    X(STR, model, 128, "", "model it serves")                                                      \
    X(STR, device, 32, "", "device it computes on")                                                \
    X(U64, epoch, 1, "", "its incarnation")                                                        \
    X(ENUM, phase, 1, "worker_phase", "what it is doing")                                          \
    X(U32, seats, 1, "", "requests it takes at once")                                              \
    X(U32, active, 1, "", "requests it runs")                                                      \
    X(U32, paused, 1, "", "of these, waiting for credit")                                          \
    X(U64, load_bytes, 1, "", "bytes loaded so far")                                               \
    X(U64, load_bytes_total, 1, "", "bytes to load")                                               \
    X(U64, load_ns, 1, "", "time loading took so far")                                             \
    X(U64, weights_bytes, 1, "", "memory of the weights, shared by all workers that have them")    \
    X(U64, kv_bytes, 1, "", "memory planned for keys and values")                                  \
    X(U64, state_bytes, 1, "", "memory planned for recurrent states")                              \
    X(U64, work_bytes, 1, "", "memory planned for activations and sampling")

/* One request in flight. Writer: the router. A slot with id 0 is free. */
#define REQUEST_RECORD(X)                                                                          \
    X(U64, id, 1, "", "request id, never reused")                                                  \
    X(STR, name, 48, "", "id as the client sees it")                                               \
    X(U64, session, 1, "", "conversation it belongs to (hash)")                                    \
    X(ENUM, dialect, 1, "dialect", "API it came through")                                          \
    X(ENUM, state, 1, "request_state", "where it is in its life")                                  \
    X(U32, model, 1, "", "index of its model")                                                     \
    X(I32, worker, 1, "", "slot of its worker, -1 = none")                                         \
    X(U32, attempts, 1, "", "workers it has run on")                                               \
    X(U32, prompt_tokens, 1, "", "tokens of the prompt")                                           \
    X(U32, cached_tokens, 1, "", "of these, found in the prefix cache")                            \
    X(U32, generated_tokens, 1, "", "tokens journaled")                                            \
    X(U32, is_stream, 1, "", "1 when the client streams")                                          \
    X(U64, accepted_ns, 1, "", "monotonic time of acceptance")                                     \
    X(U64, submitted_ns, 1, "", "monotonic time it left the queue")                                \
    X(U64, first_token_ns, 1, "", "monotonic time of the first token")                             \
    X(U64, last_token_ns, 1, "", "monotonic time of the last token")

/* Memory kept for weights (supervisor/keeper.h). Writer: the supervisor. A place in state none is
 * free. */
#define WEIGHTS_RECORD(X)                                                                          \
    X(U64, key, 1, "", "what is in it: the worker's hash of files and layout")                     \
    X(U64, bytes, 1, "", "its size")                                                               \
    X(ENUM, state, 1, "kept_state", "none, wanted, filling, filled")                               \
    X(U32, model, 1, "", "index of a model that uses it")                                          \
    X(U32, users, 1, "", "workers that have it")                                                   \
    X(U32, waiting, 1, "", "workers that wait for it")                                             \
    X(U64, filled_ns, 1, "", "monotonic time it was filled, 0 = not yet")

/* Where the node listens, as bound: a port 0 of the configuration is the kernel's choice here.
 * Writer: the supervisor, before the first child starts. */
#define GATEWAY_RECORD(X)                                                                          \
    X(STR, listen, 80, "", "numeric address and port of the client API")                           \
    X(STR, metrics_listen, 80, "", "the same of /metrics, empty = off")

#define SHM_RECORDS(X)                                                                             \
    X(process, PROCESS_RECORD, SHM_PROCESSES_MAX)                                                  \
    X(model, MODEL_RECORD, SHM_MODELS_MAX)                                                         \
    X(worker, WORKER_RECORD, SHM_WORKERS_MAX)                                                      \
    X(request, REQUEST_RECORD, SHM_REQUESTS_MAX)                                                   \
    X(weights, WEIGHTS_RECORD, SHM_WEIGHTS_MAX)                                                    \
    X(gateway, GATEWAY_RECORD, 1)

#define X(record, fields, count)                                                                   \
    struct record##_record {                                                                       \
        fields(SHM_MEMBER)                                                                         \
    } __attribute__((aligned(8)));                                                                 \
    SEQLOCK_SLOT(record##_slot, struct record##_record);
SHM_RECORDS(X)
#undef X

/* ---- plain atomics ---- */

/* Sign of life. Writer: the process in that slot. The supervisor reads it: no change of `progress`
 * for hang_ms (load_stall_s while loading) means hung. */
struct shm_beat {
    _Alignas(CACHELINE) _Atomic uint64_t progress; /* moves at least every 250 ms */
    _Atomic uint64_t at_ns;                        /* monotonic time of the last move */
    _Atomic uint32_t phase;                        /* enum worker_phase */
};

/* Event log of one process: the last SHM_LOG_RECORDS lines. Writer: that process. `written` counts
 * all lines ever written and is stored (release) after the record; a reader copies a record and
 * then re-reads `written` to see that it was not overtaken. */
struct shm_log_record {
    uint64_t wall_ns; /* CLOCK_REALTIME */
    uint64_t request; /* request id, 0 = none */
    uint32_t tag;     /* enum log_tag */
    uint32_t level;   /* enum log_level */
    char text[232];   /* NUL-terminated */
};
static_assert(sizeof(struct shm_log_record) == 256, "ABI: bump SHM_VERSION");

struct shm_log {
    _Alignas(CACHELINE) _Atomic uint64_t written;
    struct {
        _Atomic uint64_t word[sizeof(struct shm_log_record) / 8];
    } record[SHM_LOG_RECORDS];
};

/* Last words of a process. Writer: that process, from CHECK or a fatal signal, async-signal-safe;
 * cleared by the supervisor before the process in the slot starts. Valid when filled == 1. */
#define SHM_PANIC_FRAMES 24
struct shm_panic {
    _Alignas(CACHELINE) _Atomic uint32_t filled;
    int32_t pid;
    int32_t signal; /* 0 for a CHECK */
    int32_t line;
    uint64_t address; /* faulting address of a signal */
    char file[64];
    char func[64];
    char cond[128];
    uint32_t n_frames;
    uint32_t reserved;
    uint64_t frame[SHM_PANIC_FRAMES];
};

/* ---- description ---- */

/* X(constant, text). LOG_LINES describes the lines of log 0; those of log i lie i strides of the LOGS
 * section further. */
#define SHM_SECTION_KINDS(X)                                                                       \
    X(SHM_SEQLOCKED, "seqlocked") X(SHM_COUNTERS, "counters") X(SHM_HISTOGRAMS, "histograms")      \
    X(SHM_BEATS, "beats") X(SHM_LOGS, "logs") X(SHM_LOG_LINES, "log-lines") X(SHM_PANICS, "panics")

#define X(constant, text) constant,
enum shm_section_kind { SHM_SECTION_KINDS(X) SHM_SECTION_KINDS_N };
#undef X

struct shm_field_desc {
    char name[28];
    uint32_t offset; /* from the start of the record (after the sequence number) */
    uint16_t size;   /* a multiple of the type's size: an array */
    uint16_t type;   /* enum shm_field_type */
    char set[20];    /* for ENUM: which set of shm_enum_desc; in COUNTERS: counter or gauge */
};

struct shm_section_desc {
    char name[24];
    uint32_t kind; /* enum shm_section_kind */
    uint32_t count;
    uint64_t offset; /* from the start of the segment */
    uint32_t stride;
    uint32_t payload; /* offset of the record inside the stride */
    uint32_t first_field;
    uint32_t n_fields;
    uint32_t writer; /* enum process_kind */
    uint32_t reserved;
};

/* One value of a set of shm/states.h or base/log.h. The set histogram_bound_us holds the upper bounds
 * of the buckets of every histogram in microseconds, in order. */
struct shm_enum_desc {
    char set[20];
    uint32_t value;
    char text[24];
};

struct shm_header {
    uint32_t magic;
    uint16_t version;
    uint16_t header_size;
    uint64_t total_size;
    uint64_t boot_id;     /* one start of the supervisor */
    uint64_t layout_hash; /* of the description: names, types, offsets, sizes, enum values */
    int32_t owner_pid;
    uint32_t n_sections;
    uint32_t n_fields;
    uint32_t n_enums;
    uint64_t created_wall_ns;
    char instance[32];
    char program_version[16];
    uint32_t sections_at; /* offsets of the three tables of the description, */
    uint32_t fields_at;
    uint32_t enums_at;
    uint16_t section_size; /* and the sizes of their rows */
    uint16_t field_size;
    uint16_t enum_size;
    uint8_t reserved[6];
};
static_assert(sizeof(struct shm_header) == 128, "ABI: bump SHM_VERSION");
static_assert(sizeof(struct shm_section_desc) == 64, "ABI: bump SHM_VERSION");
static_assert(sizeof(struct shm_field_desc) == 56, "ABI: bump SHM_VERSION");
static_assert(sizeof(struct shm_enum_desc) == 48, "ABI: bump SHM_VERSION");

struct shm_node {
    struct shm_header header;
    struct shm_section_desc section[SHM_SECTIONS_MAX];
    struct shm_field_desc field[SHM_FIELDS_MAX];
    struct shm_enum_desc enums[SHM_ENUMS_MAX];

    struct process_slot process[SHM_PROCESSES_MAX]; /* writer: supervisor */
    struct model_slot model[SHM_MODELS_MAX];        /* writer: supervisor */
    struct worker_slot worker[SHM_WORKERS_MAX];     /* writer: the worker in the slot */
    struct request_slot request[SHM_REQUESTS_MAX];  /* writer: router */
    struct weights_slot weights[SHM_WEIGHTS_MAX];   /* writer: supervisor */
    struct gateway_slot gateway;                    /* writer: supervisor */
    struct shm_beat beat[SHM_PROCESSES_MAX];        /* writer: the process in the slot */

    struct supervisor_counters supervisor_counters;              /* writer: supervisor */
    struct router_counters router_counters;                      /* writer: router */
    struct model_counters model_counters[SHM_MODELS_MAX];        /* writer: router */
    struct worker_counters worker_counters[SHM_WORKERS_MAX];     /* writer: the worker */
    struct model_histograms model_histograms[SHM_MODELS_MAX];    /* writer: router */
    struct router_histograms router_histograms;                  /* writer: router */

    struct shm_log log[SHM_PROCESSES_MAX];     /* writer: the process in the slot */
    struct shm_panic panic[SHM_PROCESSES_MAX]; /* writer: the process in the slot */
};

#endif
