foreach(topic IN ITEMS memory_plan prefix prompt sampler scheduler)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_engine LABELS unit)
    target_compile_definitions(${topic}_test PRIVATE
        CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
endforeach()
