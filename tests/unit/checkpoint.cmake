foreach(topic IN ITEMS root safetensors reader model_config weights_plan)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_checkpoint LABELS unit)
    target_compile_definitions(${topic}_test PRIVATE
        CONFIG_FIXTURES="${PROJECT_SOURCE_DIR}/tests/golden/configs")
endforeach()
cortex_test(checkpoints_test SRC checkpoints_test.c LIBS cortex_checkpoint cortex_jinja LABELS unit)
target_compile_definitions(checkpoints_test PRIVATE
    CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
cortex_test(forward_test SRC forward_test.c LIBS cortex_model LABELS "unit;golden")
target_compile_definitions(forward_test PRIVATE
    CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
