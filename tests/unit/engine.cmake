foreach(topic IN ITEMS sampler scheduler)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_engine LABELS unit)
endforeach()
