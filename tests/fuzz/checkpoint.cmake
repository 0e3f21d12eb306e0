cortex_fuzzer(safetensors_fuzz SRC safetensors_fuzz.c LIBS cortex_checkpoint)
cortex_fuzzer(config_fuzz SRC config_fuzz.c LIBS cortex_checkpoint)
