foreach(topic IN ITEMS tokenizer tokenizer_load tokenizer_limits tokenizer_text regex unicode)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_tokenizer LABELS unit)
    target_compile_definitions(${topic}_test PRIVATE
        FIXTURES="${PROJECT_SOURCE_DIR}/tests/golden")
endforeach()
