foreach(topic IN ITEMS ring control seqlock counters)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_shm LABELS unit)
endforeach()
