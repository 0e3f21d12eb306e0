cortex_test(deadline_test SRC deadline_test.c LIBS cortex_router LABELS unit)
cortex_test(params_test SRC params_test.c LIBS cortex_router LABELS unit)
cortex_test(dispatch_test SRC dispatch_test.c LIBS cortex_router LABELS unit)
