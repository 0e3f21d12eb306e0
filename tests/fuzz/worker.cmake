cortex_fuzzer(calls_fuzz SRC calls_fuzz.c LIBS cortex_worker)
