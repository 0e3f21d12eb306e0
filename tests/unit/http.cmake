cortex_test(gate_test SRC gate_test.c LIBS cortex_gate LABELS unit)
cortex_test(chunked_test SRC chunked_test.c LIBS cortex_gate LABELS unit)
