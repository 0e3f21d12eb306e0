foreach(topic IN ITEMS ring control seqlock counters node describe panic eventlog cortexctl)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_shm LABELS unit)
endforeach()
target_compile_definitions(cortexctl_test PRIVATE CORTEXCTL_PATH="$<TARGET_FILE:cortexctl>")
add_dependencies(cortexctl_test cortexctl)

# The layout of the shared memory is an ABI: it does not change by accident.
add_test(NAME shm_layout_golden COMMAND sh -c
    "$<TARGET_FILE:cortexctl> layout --built-in | diff -u tests/golden/shm_layout.txt - || { \
     echo 'The layout of the shared memory changed. If that is meant: bump SHM_VERSION and run'; \
     echo '  cortexctl layout --built-in > tests/golden/shm_layout.txt'; exit 1; }"
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(shm_layout_golden PROPERTIES LABELS unit TIMEOUT 30)
