#ifndef BENCH_STREAMS_REPORT_H
#define BENCH_STREAMS_REPORT_H

#include "tools/bench/streams_run.h"

/* What a run found, as text for people or as one JSON object. */
void report_text(const struct options *o, const struct result *r);
void report_json(const struct options *o, const struct result *r);

#endif
