/* Stop strings over a text that arrives in pieces.
 *
 * Bytes go in, in pieces cut anywhere, also inside a UTF-8 sequence; what may be shown comes out,
 * whole sequences only. A tail that may be the beginning of a stop string is held back until it is
 * decided. The text ends before the stop string that is complete first; of several that end at the
 * same byte the longest counts. What is shown in all does not depend on how the text was cut, and
 * what is shown after k pieces depends on these k pieces only: feeding them again to a fresh state
 * rebuilds it.
 */
#ifndef WORKER_TEXT_STOP_H
#define WORKER_TEXT_STOP_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STOPS_MAX    32
#define STOP_LEN_MAX 1024

/* The stop strings of one request: not empty, well-formed UTF-8, at most STOP_LEN_MAX bytes. */
struct stop_list {
    struct buf text; /* owned: all strings, one after another */
    uint16_t len[STOPS_MAX];
    uint32_t n;
    uint32_t len_max;
};

/* 0, -EINVAL for a string that is empty or not UTF-8, -E2BIG for one that is too long or too many.
 */
int stop_list_add(struct stop_list *list, const char *text, size_t len);
void stop_list_free(struct stop_list *list);

struct stop {
    const struct stop_list *list; /* borrowed */
    struct buf hold;              /* owned: at most len_max - 1 bytes between calls */
    uint8_t n_partial;
    bool is_over;
    uint32_t which;  /* of the list: what is complete, when it is over */
    char partial[4]; /* beginning of a UTF-8 sequence */
};

void stop_init(struct stop *s, const struct stop_list *list);
void stop_free(struct stop *s);

/* Append to out what may be shown now. 1 when a stop string is complete: the text is over, and
 * whatever comes later is dropped. Bytes that cannot be UTF-8 are shown as U+FFFD. */
int stop_push(struct stop *s, const char *text, size_t len, struct buf *out);

/* The text ends here: append what was held back. */
void stop_flush(struct stop *s, struct buf *out);

#endif
