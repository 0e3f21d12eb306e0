/* Command line of the load generator: one table row per option. */
#ifndef BENCH_STREAMS_OPTIONS_H
#define BENCH_STREAMS_OPTIONS_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* X(long name, member, type, argument, default, least, most, help)
 * type: NUMBER (uint64_t), SECONDS (double), STRING or FLAG */
/* clang-format off */
#define STREAMS_OPTIONS(X)                                                                         \
    X("streams", n_streams, NUMBER, "M", 100, 1, 1000000, "Connections, one stream each")          \
    X("tokens", n_tokens, NUMBER, "N", 100, 1, 1000000, "max_tokens, and tokens expected")         \
    X("rate", rate, NUMBER, "R", 0, 0, 1000000, "Tokens a second of the model; enables added latency") \
    X("prefill-ms", prefill_ms, NUMBER, "MS", 0, 0, 3600000, "Time the model takes before token 0")\
    X("ramp", ramp_s, SECONDS, "S", 0, 0, 86400, "Spread the starts of the streams over this time")\
    X("seed", seed, NUMBER, "BASE", 1, 0, 1ull << 62, "Stream i has the seed BASE + i")            \
    X("model", model, STRING, "NAME", "demo", 0, 0, "Model, which must be simulated")              \
    X("prompt", prompt, STRING, "TEXT", "Count your words.", 0, 0, "Text of the user's message")   \
    X("key", key, STRING, "KEY", NULL, 0, 0, "API key")                                            \
    X("finish", finish, STRING, "REASON", "length", 0, 0, "Expected finish_reason; any = whatever")\
    X("completions", is_completions, FLAG, NULL, 0, 0, 0, "/v1/completions, not chat")             \
    X("no-stream", is_not_streamed, FLAG, NULL, 0, 0, 0,                                           \
      "Short answers over kept-alive connections, as fast as they come")                           \
    X("seconds", seconds, SECONDS, "S", 5, 0.01, 86400, "With --no-stream: how long")              \
    X("timeout", timeout_s, SECONDS, "S", 0, 0, 86400,                                             \
      "End of the run; 0 = ramp + 3 x tokens/rate + 60 s")                                         \
    X("stamp", stamp, STRING, "FILE", NULL, 0, 0, "Time of the server's last event: see README.md")\
    X("cpu", cpu, NUMBER, "CPU", UINT64_MAX, 0, 4095, "Stay on this CPU")                          \
    X("router-pid", router_pid, NUMBER, "PID", 0, 1, 1ull << 31, "Process whose CPU and memory count") \
    X("supervisor-pid", supervisor_pid, NUMBER, "PID", 0, 1, 1ull << 31, "The cortex it is a child of") \
    X("report-gaps", is_gaps_reported, FLAG, NULL, 0, 0, 0,                                        \
      "Longest gap between tokens of each stream: p50, p99, max over the streams")                 \
    X("json", is_json, FLAG, NULL, 0, 0, 0, "One JSON object instead of text")
/* clang-format on */

struct options {
    uint64_t n_streams, n_tokens, rate, prefill_ms, seed, cpu, router_pid, supervisor_pid;
    double ramp_s, seconds, timeout_s;
    const char *model, *prompt, *key, *finish, *stamp; /* borrowed: argv */
    bool is_completions, is_not_streamed, is_gaps_reported, is_json;
    struct sockaddr_in address;
};

/* 0, 1 after printing the help, or -errno with the sentence. */
int options_parse(struct options *o, int argc, char **argv, struct err *e);

#endif
