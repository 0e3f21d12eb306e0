cortex_fuzzer(safetensors_fuzz SRC safetensors_fuzz.c LIBS cortex_checkpoint)
