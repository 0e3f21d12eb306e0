# What tests/scenario/test_grammar.py talks to.
add_executable(grammar_driver ../golden/grammar_driver.c)
target_link_libraries(grammar_driver PRIVATE cortex_grammar cortex_tokenizer cortex_flags)
set_target_properties(grammar_driver PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

cortex_test(schema_test SRC schema_test.c LIBS cortex_grammar LABELS unit)
cortex_test(grammar_test SRC grammar_test.c LIBS cortex_grammar LABELS unit)
