foreach(topic IN ITEMS ring control seqlock counters node describe panic eventlog)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_shm LABELS unit)
endforeach()
