#include "tools/bench/streams_report.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

/* Figures derived from a result; 0 where there is nothing to say. */
struct figures {
    double elapsed_s, answers_per_s, tokens_per_s;
    double router_cpu_s, router_cpu_share, plateau_s, plateau_cpu_share, plateau_tokens_per_s;
    double kib_per_stream;
};

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

/* The process was there from the beginning to the end. */
static bool is_measured(const struct result *r)
{
    return r->router_pid != 0 && r->baseline.rss_kib > 0 && r->end.rss_kib > 0;
}

static struct figures derive(const struct options *o, const struct result *r)
{
    struct figures f = {.elapsed_s = seconds_between(r->begun_ns, r->ended_ns)};

    f.answers_per_s = (double)r->n_completed / f.elapsed_s;
    f.tokens_per_s = (double)r->n_tokens / f.elapsed_s;
    if (r->plateau_end.at_ns != 0) {
        f.plateau_s = seconds_between(r->plateau_begin.at_ns, r->plateau_end.at_ns);
        f.plateau_tokens_per_s = (double)r->plateau_tokens / f.plateau_s;
    }
    if (!is_measured(r))
        return f;
    f.router_cpu_s = (double)(r->end.cpu_ms - r->baseline.cpu_ms) / 1e3;
    f.router_cpu_share = f.router_cpu_s / f.elapsed_s;
    if (f.plateau_s > 0 && r->plateau_end.rss_kib > 0)
        f.plateau_cpu_share =
            (double)(r->plateau_end.cpu_ms - r->plateau_begin.cpu_ms) / 1e3 / f.plateau_s;
    if (r->rss_kib_max > r->baseline.rss_kib)
        f.kib_per_stream = (double)(r->rss_kib_max - r->baseline.rss_kib) / (double)o->n_streams;
    return f;
}

static bool is_shown(const struct options *o, const struct result *r, const struct dist *d)
{
    return d->n > 0 && (d != &r->stream_gap || o->is_gaps_reported);
}

static void print_faults(const struct result *r)
{
    for (int f = FAULT_NONE + 1; f < FAULTS_N; f++)
        if (r->n_faults[f] > 0)
            printf("  %-18s %12" PRIu64 "  %s\n", fault_name((enum fault)f), r->n_faults[f],
                   fault_meaning((enum fault)f));
}

static void print_router(const struct result *r, const struct figures *f)
{
    if (!is_measured(r)) {
        printf(r->router_pid == 0 ? "router: not measured (give --router-pid or --supervisor-pid)\n"
                                  : "router: not measured (it ended during the run)\n");
        return;
    }
    printf("router (process %d)\n", r->router_pid);
    printf("  %-18s %12.2f s = %.1f %% of one core\n", "CPU", f->router_cpu_s,
           100 * f->router_cpu_share);
    if (f->plateau_s > 0)
        printf("  %-18s %12.1f %% of one core, %.1f s at %.0f tokens/s\n", "CPU, all running",
               100 * f->plateau_cpu_share, f->plateau_s, f->plateau_tokens_per_s);
    printf("  %-18s %12" PRIu64 " KiB before, %" PRIu64 " KiB at most, %" PRIu64 " KiB after\n",
           "RSS", r->baseline.rss_kib, r->rss_kib_max, r->end.rss_kib);
    if (r->plateau_end.pss_kib > 0)
        printf("  %-18s %12" PRIu64 " KiB before, %" PRIu64 " KiB all running\n", "PSS",
               r->baseline.pss_kib, r->plateau_end.pss_kib);
    printf("  %-18s %12.2f KiB per %s\n", "memory", f->kib_per_stream, "stream");
}

void report_text(const struct options *o, const struct result *r)
{
    struct figures f = derive(o, r);

    printf("%s: %" PRIu64 " of %" PRIu64 " completed in %.2f s, %" PRIu64 " errors\n",
           o->is_not_streamed ? "requests" : "streams", r->n_completed,
           o->is_not_streamed ? r->n_started : o->n_streams, f.elapsed_s, result_faults(r));
    print_faults(r);
    printf("  %-18s %12.0f /s\n", o->is_not_streamed ? "requests" : "tokens",
           o->is_not_streamed ? f.answers_per_s : f.tokens_per_s);
    printf("  %-18s %12" PRIu64 "\n", "bytes", r->n_bytes);
    if (!o->is_not_streamed)
        printf("  %-18s %12" PRIu64 "\n", "comments", r->n_comments);
    printf("%-20s %10s %10s %10s %10s\n", "milliseconds", "p50", "p99", "max", "count");
#define X(member, name, meaning) \
    if (is_shown(o, r, &r->member)) \
        printf("  %-18s %10.3f %10.3f %10.3f %10" PRIu64 "  %s\n", name, \
               (double)dist_at(&r->member, .5) / 1e6, (double)dist_at(&r->member, .99) / 1e6, \
               (double)r->member.max / 1e6, r->member.n, meaning);
    DISTS(X)
#undef X
    print_router(r, &f);
    printf("generator: %.2f s CPU = %.1f %% of one core\n", r->own_cpu_s,
           100 * r->own_cpu_s / f.elapsed_s);
}

void report_json(const struct options *o, const struct result *r)
{
    struct figures f = derive(o, r);

    printf("{\"streams\":%" PRIu64 ",\"started\":%" PRIu64 ",\"completed\":%" PRIu64
           ",\"errors\":%" PRIu64 ",\"errors_by_class\":{",
           o->n_streams, r->n_started, r->n_completed, result_faults(r));
    for (int i = FAULT_NONE + 1; i < FAULTS_N; i++)
        printf("%s\"%s\":%" PRIu64, i > FAULT_NONE + 1 ? "," : "", fault_name((enum fault)i),
               r->n_faults[i]);
    printf("},\"seconds\":%.3f,\"answers_per_s\":%.1f,\"tokens\":%" PRIu64
           ",\"tokens_per_s\":%.1f,\"bytes\":%" PRIu64 ",\"comments\":%" PRIu64,
           f.elapsed_s, f.answers_per_s, r->n_tokens, f.tokens_per_s, r->n_bytes, r->n_comments);
    printf(",\"ms\":{");
    const char *comma = "";
#define X(member, name, meaning) \
    if (is_shown(o, r, &r->member)) { \
        printf("%s\"%s\":{\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f,\"count\":%" PRIu64 "}", comma, \
               name, (double)dist_at(&r->member, .5) / 1e6, \
               (double)dist_at(&r->member, .99) / 1e6, (double)r->member.max / 1e6, r->member.n); \
        comma = ","; \
    }
    DISTS(X)
#undef X
    printf("},\"router\":");
    if (!is_measured(r))
        printf("null");
    else
        printf(
            "{\"pid\":%d,\"cpu_s\":%.2f,\"cpu_share\":%.4f,\"plateau_s\":%.3f,"
            "\"plateau_cpu_share\":%.4f,\"plateau_tokens_per_s\":%.1f,\"rss_kib_before\":%" PRIu64
            ",\"rss_kib_max\":%" PRIu64 ",\"rss_kib_after\":%" PRIu64 ",\"pss_kib_before\":%" PRIu64
            ",\"pss_kib_plateau\":%" PRIu64 ",\"kib_per_stream\":%.3f}",
            r->router_pid, f.router_cpu_s, f.router_cpu_share, f.plateau_s, f.plateau_cpu_share,
            f.plateau_tokens_per_s, r->baseline.rss_kib, r->rss_kib_max, r->end.rss_kib,
            r->baseline.pss_kib, r->plateau_end.pss_kib, f.kib_per_stream);
    printf(",\"generator_cpu_s\":%.2f}\n", r->own_cpu_s);
}
