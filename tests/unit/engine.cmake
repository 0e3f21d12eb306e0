foreach(topic IN ITEMS call_form compute memory_plan prompt sampler scheduler)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_engine LABELS unit)
    target_compile_definitions(${topic}_test PRIVATE SOURCE="${PROJECT_SOURCE_DIR}"
        CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
endforeach()
