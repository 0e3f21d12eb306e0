foreach(topic IN ITEMS root safetensors reader model_config pooling weights_plan)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_checkpoint LABELS unit)
    target_compile_definitions(${topic}_test PRIVATE
        CONFIG_FIXTURES="${PROJECT_SOURCE_DIR}/tests/golden/configs")
endforeach()
cortex_test(checkpoints_test SRC checkpoints_test.c LIBS cortex_checkpoint cortex_jinja LABELS unit)
target_compile_definitions(checkpoints_test PRIVATE
    CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints")
foreach(topic IN ITEMS weights forward_golden forward_bits embedding)
    cortex_test(${topic}_test SRC ${topic}_test.c golden_util.c LIBS cortex_model
        LABELS "unit;golden")
    target_compile_definitions(${topic}_test PRIVATE
        CHECKPOINTS="${PROJECT_SOURCE_DIR}/tests/golden/checkpoints"
        EMBEDDING="${PROJECT_SOURCE_DIR}/tests/golden/embedding")
endforeach()
target_link_options(forward_bits_test PRIVATE # it counts what a forward pass takes
    -Wl,--wrap=mmap,--wrap=munmap,--wrap=malloc,--wrap=calloc,--wrap=realloc)
