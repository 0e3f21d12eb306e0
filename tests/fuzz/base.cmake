cortex_fuzzer(json_check_fuzz SRC json_check_fuzz.c LIBS cortex_base)
