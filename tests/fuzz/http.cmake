cortex_fuzzer(gate_fuzz SRC gate_fuzz.c LIBS cortex_gate http_parser)
cortex_fuzzer(chunked_fuzz SRC chunked_fuzz.c LIBS cortex_gate http_parser)
