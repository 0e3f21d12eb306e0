/* Inside weights_*.c: threads that have the kernel back memory with pages while somebody else fills
 * it. A new page costs more than what is written to it, above all in a memfd or a virtual machine,
 * and that cost can be divided where the packing is one thread's. No byte changes. */
#ifndef WORKER_MODEL_WEIGHTS_TOUCH_H
#define WORKER_MODEL_WEIGHTS_TOUCH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct weights_touch;

/* n threads, at least 1. 0 or -errno; then nothing runs. */
int weights_touch_start(struct weights_touch **out, void *from, uint64_t bytes, int32_t n,
                        struct err *e);
/* Ends the threads, done or not. */
void weights_touch_stop(struct weights_touch **t);

#endif
