cortex_fuzzer(jinja_fuzz SRC jinja_fuzz.c LIBS cortex_jinja)
