foreach(topic IN ITEMS call_form compute memory_plan prefix prompt sampler scheduler)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_engine LABELS unit)
    target_compile_definitions(${topic}_test PRIVATE SOURCE="${PROJECT_SOURCE_DIR}"
        CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
endforeach()
cortex_test(prefix_bits_test SRC prefix_bits_test.c golden_util.c LIBS cortex_engine
    LABELS "unit;golden")
target_compile_definitions(prefix_bits_test PRIVATE
    CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
