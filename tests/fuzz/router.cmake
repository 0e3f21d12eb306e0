cortex_fuzzer(chat_request_fuzz SRC chat_request_fuzz.c LIBS cortex_router)
cortex_fuzzer(record_fuzz SRC record_fuzz.c LIBS cortex_record)
cortex_fuzzer(responses_fuzz SRC responses_fuzz.c LIBS cortex_router)
cortex_fuzzer(messages_request_fuzz SRC messages_request_fuzz.c LIBS cortex_router)
