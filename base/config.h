/* Configuration: one table of keys (X lists below) over inih, with environment overrides.
 *
 * The supervisor alone reads the file and the environment; children get the effective
 * configuration as text in a sealed memfd (config_print -> config_parse), so that all processes
 * see the same one. docs/reference/configuration.md and `cortex check-config` come from the same
 * rows. An unknown section or key is an error that names the nearest known one.
 *
 * Precedence: default < file < environment CORTEX_<SECTION>__<KEY> (upper case; sections with a
 * name, like [model "x"], cannot be overridden) < command line. A variable CORTEX_*__* that names no key is an
 * error too.
 *
 * Text form: UTF-8 without control bytes; one `key = value` a line, `;` or `#` first on a line is a
 * comment, and so is a `;` after white space. A value with such a `;`, or with spaces at its ends,
 * goes in double quotes, where \" and \\ stand for " and \; config_print quotes where needed. Lines
 * are not continued. A section and a key stand at most once.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_STR_MAX     256
#define CONFIG_MODELS_MAX  64
#define CONFIG_KEYS_MAX    256
#define CONFIG_ALIASES_MAX 64
#define CONFIG_TEXT_MAX    (1 << 20) /* bytes of a file */

/* clang-format off */

/* Words of the keys whose values are a set; the enums are made where they are used.
 * X(constant, word) */
#define CONFIG_IO_MODES(X)      X(READER_URING, "io_uring") X(READER_PREAD, "pread")
#define CONFIG_WEIGHTS_MODES(X) X(WEIGHTS_AUTO, "auto") X(WEIGHTS_BF16, "bf16") X(WEIGHTS_F32, "f32")
#define CONFIG_KV_MODES(X)      X(KV_AUTO, "auto") X(KV_BF16, "bf16") X(KV_F32, "f32")

/* X(key, type, default, min, max, unit, reload, help)
 * type: STR INT BOOL. Bounds are for INT. reload: LIVE = at the next SIGHUP, WORKER = its workers
 * are drained and replaced, RESTART = only a restart changes it (a reload says so). */

#define CONFIG_INSTANCE(X)                                                                         \
    X(name, STR, "default", 0, 0, "", RESTART, "Instance; names the segment /dev/shm/cortex.<name>")\
    X(log_format, STR, "auto", 0, 0, "", RESTART, "auto, text or json")                            \
    X(log_level, STR, "info", 0, 0, "", RESTART, "debug, info, warning or error")                  \
    X(segment_group, STR, "", 0, 0, "", RESTART, "Group that may read the segment (cortexctl)")

#define CONFIG_GATEWAY(X)                                                                          \
    X(listen, STR, "127.0.0.1:31313", 0, 0, "", RESTART, "Address of the client API")              \
    X(metrics_listen, STR, "127.0.0.1:31314", 0, 0, "", RESTART, "Address of /metrics; empty = off")\
    X(allow_anonymous, BOOL, "no", 0, 0, "", RESTART,                                              \
      "Serve another address than loopback although no [key] is configured")                       \
    X(hosts, STR, "", 0, 0, "", LIVE, "Further names accepted in Host, separated by spaces; * = any")\
    X(tls_cert, STR, "", 0, 0, "", LIVE, "PEM certificate chain; with tls_key the client API is TLS")\
    X(tls_key, STR, "", 0, 0, "", LIVE, "PEM private key")                                         \
    X(body_max_mb, INT, "64", 1, 190, "MiB", LIVE, "Largest request body")                        \
    X(responses_store_mb, INT, "256", 0, 1048576, "MiB", LIVE,                                     \
      "Memory for responses that clients may continue or ask for again; 0 = none are kept")        \
    X(responses_store_max, INT, "10000", 1, 1000000, "", LIVE, "And how many, at most")            \
    X(max_connections, INT, "16384", 1, 1000000, "", LIVE, "Client connections at once")           \
    X(connections_per_address, INT, "256", 1, 1000000, "", LIVE,                                   \
      "Connections of one remote address at once; loopback is not limited")                        \
    X(max_requests, INT, "16384", 1, 16384, "", RESTART, "Requests in flight at once")             \
    X(queue_depth, INT, "1024", 0, 16384, "", LIVE, "Requests of one model that may wait")         \
    X(queue_timeout_s, INT, "600", 1, 86400, "s", LIVE, "Longest wait for a worker")               \
    X(request_timeout_s, INT, "3600", 1, 86400, "s", LIVE, "Longest life of a request")            \
    X(replay_mb, INT, "64", 0, 65536, "MiB", LIVE,                                                 \
      "Memory for answers with tool calls that clients send back; 0 = off")                        \
    X(head_timeout_s, INT, "10", 1, 600, "s", LIVE, "Time to send a request head")                 \
    X(idle_timeout_s, INT, "60", 1, 86400, "s", LIVE, "Time a kept-alive connection may be idle")  \
    X(write_timeout_s, INT, "60", 1, 86400, "s", LIVE, "Time a client may read nothing")           \
    X(tls_timeout_s, INT, "10", 1, 600, "s", LIVE, "Time for the TLS handshake")

#define CONFIG_SUPERVISOR(X)                                                                       \
    X(hang_ms, INT, "1000", 200, 600000, "ms", LIVE, "No progress for this long means hung")       \
    X(load_stall_s, INT, "60", 1, 86400, "s", LIVE, "The same while a model loads")                \
    X(backoff_max_ms, INT, "30000", 0, 3600000, "ms", LIVE, "Longest wait before a restart")       \
    X(fault_budget, INT, "5", 1, 100000, "", LIVE, "Faults before the circuit opens")              \
    X(fault_forgive_s, INT, "300", 1, 86400, "s", LIVE, "One fault is forgiven in this time")      \
    X(circuit_open_ms, INT, "60000", 10, 86400000, "ms", LIVE, "Time the circuit stays open")      \
    X(proved_ms, INT, "60000", 0, 86400000, "ms", LIVE,                                            \
      "Ready this long, with a finished request, clears the back-off")                             \
    X(drain_timeout_s, INT, "30", 0, 86400, "s", LIVE, "Time running requests get when draining")  \
    X(stop_timeout_ms, INT, "5000", 10, 600000, "ms", LIVE, "SIGTERM to SIGKILL")

/* [model "org/name"] */
#define CONFIG_MODEL(X)                                                                            \
    X(path, STR, "", 0, 0, "", WORKER, "Checkpoint directory")                                     \
    X(workers, INT, "1", 1, 64, "", WORKER, "Instances, one process each")                         \
    X(seats, INT, "256", 1, 16384, "", WORKER,                                                     \
      "Requests one worker runs at once, at most; fewer when memory_mb has no room for their states") \
    X(limit_context, INT, "32768", 1, 16777216, "tokens", WORKER,                                  \
      "Longest prompt and answer; never more than the model's own limit")                          \
    X(io, STR, "io_uring", 0, 0, "", WORKER, "How weights are read: io_uring or pread")            \
    X(weights, STR, "auto", 0, 0, "", WORKER,                                                      \
      "How matrices are kept: auto = as the files have them (F16 as f32), bf16 or f32")            \
    X(kv, STR, "auto", 0, 0, "", WORKER,                                                           \
      "How keys and values are kept: auto = as the matrices, bf16 or f32")                         \
    X(memory_mb, INT, "0", 0, 16777216, "MiB", WORKER,                                             \
      "Memory of one worker, weights included; 0 = three quarters of the machine's, shared by all workers") \
    X(prefix_cache_percent, INT, "25", 0, 90, "%", WORKER,                                         \
      "Share of the memory for sequences that is kept for the prefixes of earlier prompts; 0 = no prefix cache") \
    X(threads, INT, "0", 0, 256, "", WORKER, "Threads that compute; 0 = one for each CPU of the process") \
    X(batch_tokens, INT, "512", 16, 8192, "tokens", WORKER, "Tokens of one step, at most")         \
    X(decode_stall_ms, INT, "50", 1, 10000, "ms", WORKER,                                          \
      "How long the reading of a prompt may hold up the others' next token")                       \
    X(simulate, BOOL, "no", 0, 0, "", WORKER, "Simulated worker: made-up tokens, no model file")   \
    X(simulate_rate, INT, "50", 0, 1000000, "tok/s", WORKER, "Tokens a second and request; 0 = as fast as possible") \
    X(simulate_prefill_ms, INT, "0", 0, 3600000, "ms", WORKER, "Time before the first token")      \
    X(simulate_load_ms, INT, "0", 0, 3600000, "ms", WORKER, "Time to load")                        \
    X(simulate_tokens, INT, "64", 0, 1000000, "tokens", WORKER, "Answer length; max_tokens caps it") \
    X(simulate_script, STR, "", 0, 0, "", WORKER, "JSON file with the exact answer, see docs/simulate.md") \
    X(simulate_fault, STR, "", 0, 0, "", WORKER, "Faults on demand, see docs/simulate.md")

/* [key "name"] */
#define CONFIG_KEY(X)                                                                              \
    X(sha256, STR, "", 0, 0, "", LIVE, "SHA-256 of the key, 64 hexadecimal digits")                \
    X(models, STR, "*", 0, 0, "", LIVE, "Models it may use, separated by spaces; * = all")

/* [alias]: any key, its value the model meant. */

/* Sections with one row set and no name; X(section, list) */
#define CONFIG_SECTIONS(X)                                                                         \
    X(instance, CONFIG_INSTANCE) X(gateway, CONFIG_GATEWAY) X(supervisor, CONFIG_SUPERVISOR)
/* Sections with a name: X(section, list, member, max) */
#define CONFIG_NAMED_SECTIONS(X)                                                                   \
    X(model, CONFIG_MODEL, models, CONFIG_MODELS_MAX) X(key, CONFIG_KEY, keys, CONFIG_KEYS_MAX)

#define CONFIG_ID_MAX 128 /* name of a section, alias, model; with the NUL */

#define CONFIG_MEMBER_STR(key)  char key[CONFIG_STR_MAX];
#define CONFIG_MEMBER_INT(key)  int64_t key;
#define CONFIG_MEMBER_BOOL(key) bool key;
#define CONFIG_MEMBER(key, type, def, min, max, unit, reload, help) CONFIG_MEMBER_##type(key)

#define X(section, list)                                                                           \
    struct config_##section {                                                                      \
        list(CONFIG_MEMBER)                                                                        \
    };
CONFIG_SECTIONS(X)
#undef X
#define X(section, list, member, max)                                                              \
    struct config_##section {                                                                      \
        char id[CONFIG_ID_MAX];                                                                    \
        list(CONFIG_MEMBER)                                                                        \
    };
CONFIG_NAMED_SECTIONS(X)
#undef X

struct config_alias {
    char id[CONFIG_ID_MAX];
    char model[CONFIG_ID_MAX];
};

struct config {
#define X(section, list) struct config_##section section;
    CONFIG_SECTIONS(X)
#undef X
#define X(section, list, member, max)                                                              \
    struct config_##section *member; /* owned */                                                   \
    size_t n_##member;
    CONFIG_NAMED_SECTIONS(X)
#undef X
    struct config_alias *aliases; /* owned */
    size_t n_aliases;
};

/* clang-format on */

/* The file that is read when nobody names one, or NULL when it does not exist. */
#define CONFIG_PATH "/etc/cortex/cortex.ini"
const char *config_default_path(void);

/* One key as the command line sets it. A named section is a new one; the others have id NULL. */
struct config_word {
    const char *section, *id, *key, *value; /* borrowed */
};
struct config_words {
    struct config_word word[CONFIG_MODELS_MAX + 1]; /* a path for each model, and where to listen */
    size_t n;
};

/* Read path (NULL = no file: defaults), then the environment, then words (NULL = none). The sentence
 * of an error names file and line. Whole-configuration rules are checked too: config_validate. On an
 * error *c is empty. */
int config_load(struct config *c, const char *path, const struct config_words *words,
                struct err *e);

/* Parse INI text of a given name, without the environment and without config_validate (children,
 * whose text has passed it; tests). */
int config_parse(struct config *c, const char *name, const char *text, size_t len, struct err *e);

/* Rules over several keys: a non-loopback listen address without a [key] and without
 * allow_anonymous; tls_cert without tls_key or the reverse; a model with neither path nor simulate;
 * an alias that hides a model or points nowhere; a digest that is not one; a listen address that is
 * not one; a log level or format of another name; an instance name unfit for a file name. */
int config_validate(const struct config *c, struct err *e);

/* The effective configuration as INI text that config_parse takes back, comments with units and
 * ranges when is_commented. Digests of keys are part of it; keys themselves are never known. */
void config_print(const struct config *c, struct buf *out, bool is_commented);

/* Markdown reference of every key, generated from the table. */
void config_print_reference(struct buf *out);

void config_free(struct config *c);

/* What a reload from one configuration to another means. `restart_keys` gets the RESTART keys that
 * differ, separated by ", " ("" = none); model_action[i] for each model of `to`: 0 unchanged,
 * 1 new, 2 its workers must be replaced. Models of `from` missing in `to` are for the caller. */
void config_diff(const struct config *from, const struct config *to, char *restart_keys,
                 size_t size, uint8_t model_action[CONFIG_MODELS_MAX]);

/* The model a client's name means: direct, or through an alias. Index or -1. */
int config_find_model(const struct config *c, const char *name);

/* Split "host:port" or "[v6]:port" (host may be empty = any; port 0 = one the kernel chooses).
 * 0 or -EINVAL with the sentence. */
int config_split_address(const char *address, char *host, size_t host_size, uint16_t *port,
                         struct err *e);
/* 1 when the host part is loopback (127/8, ::1, localhost). */
int config_is_loopback(const char *address);

#endif
