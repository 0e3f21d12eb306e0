cortex_fuzzer(tokenizer_fuzz SRC tokenizer_fuzz.c LIBS cortex_tokenizer)
