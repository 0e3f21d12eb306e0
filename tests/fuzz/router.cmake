cortex_fuzzer(record_fuzz SRC record_fuzz.c LIBS cortex_record)
