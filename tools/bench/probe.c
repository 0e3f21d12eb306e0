#include "tools/bench/probe.h"

int probe_read(struct kern_thread *th, void *arg)
{
    typedef uint64_t wide __attribute__((vector_size(64)));
    struct probe *probe = arg;
    int64_t from, to;
    wide sum[8] = {{0}};

    kern_split(th, (int64_t)(probe->bytes / 512), &from, &to);
    const wide *p = probe->data;
    for (int64_t i = from * 8; i < to * 8; i += 8)
        for (int j = 0; j < 8; j++) {
            __builtin_prefetch(p + i + j + 64, 0, 3);
            sum[j] ^= p[i + j];
        }
    for (int j = 1; j < 8; j++)
        sum[0] ^= sum[j];
    probe->sink[th->rank * 8] = sum[0][0];
    return 0;
}
