cortex_fuzzer(ring_image_fuzz SRC ring_image_fuzz.c LIBS cortex_shm)
