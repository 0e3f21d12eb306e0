foreach(topic IN ITEMS worker worker_faults)
    cortex_test(${topic}_torture SRC ${topic}_torture.c worker_stage.c LIBS cortex_worker
        cortex_record LABELS torture TIMEOUT 240)
    target_compile_definitions(${topic}_torture PRIVATE
        WORKER_BINARY="$<TARGET_FILE:cortex-worker>")
    add_dependencies(${topic}_torture cortex-worker)
endforeach()
