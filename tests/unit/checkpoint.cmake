foreach(topic IN ITEMS root safetensors)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_checkpoint LABELS unit)
endforeach()
