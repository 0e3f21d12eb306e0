# Texts as long as they may get and every character there is: seconds here, a minute under a
# sanitizer on a busy machine.
foreach(topic IN ITEMS tokenizer tokenizer_load tokenizer_limits tokenizer_text regex unicode)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_tokenizer LABELS unit TIMEOUT 600)
    target_compile_definitions(${topic}_test PRIVATE
        FIXTURES="${PROJECT_SOURCE_DIR}/tests/golden")
endforeach()

# What tests/golden/compare_tokenizer.py talks to.
add_executable(tokenizer_driver ../golden/tokenizer_driver.c)
target_link_libraries(tokenizer_driver PRIVATE cortex_tokenizer cortex_flags)
set_target_properties(tokenizer_driver PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
