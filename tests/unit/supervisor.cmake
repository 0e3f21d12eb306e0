add_executable(fake_child fake_child.c fake_weights.c)
target_link_libraries(fake_child PRIVATE cortex_worker cortex_shm cortex_flags)
set_target_properties(fake_child PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

foreach(topic IN ITEMS backoff child death keeper listen memory options posts spawn)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_supervisor LABELS unit)
endforeach()
