cortex_fuzzer(schema_fuzz SRC schema_fuzz.c LIBS cortex_grammar)
