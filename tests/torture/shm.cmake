cortex_test(ring_torture SRC ring_torture.c ring_actor.c torture.c LIBS cortex_shm LABELS torture)
cortex_test(seqlock_torture SRC seqlock_torture.c torture.c LIBS cortex_shm LABELS torture)
