cortex_test(chat_test SRC chat_test.c LIBS cortex_chat LABELS unit)
