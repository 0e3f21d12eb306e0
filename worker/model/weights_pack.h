/* Inside weights_*.c: pieces of tensors, in any order, into the block.
 *
 * A tensor is packed by bands: KERN_BLOCK rows that lie in one block of a matrix, or a whole
 * vector. A band that a piece holds from end to end is packed from there; else its bytes wait in a
 * buffer until the last of them has come. Each end of a piece cuts one band, so as many buffers are
 * in use as pieces are under way: the reader's depth and a few, however large the model is.
 */
#ifndef WORKER_MODEL_WEIGHTS_PACK_H
#define WORKER_MODEL_WEIGHTS_PACK_H

#include "worker/model/weights_layout.h"

struct weights_pack;

/* Range i of the reader is source i of the layout. The three are borrowed. */
struct weights_pack *weights_pack_new(const struct weights_layout *l, const struct safetensors *s,
                                      void *block);
/* A reader_sink, to is the weights_pack. -EINVAL: a value that is not a finite number. */
int weights_pack_piece(void *to, uint32_t range, uint64_t offset, const void *data, size_t len,
                       struct err *e);
/* Bands that wait for bytes; 0 when all pieces have come. */
uint32_t weights_pack_waiting(const struct weights_pack *p);
/* Buffers that were ever needed at once. */
uint32_t weights_pack_buffers(const struct weights_pack *p);
void weights_pack_free(struct weights_pack **p);

#endif
