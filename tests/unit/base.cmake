foreach(topic IN ITEMS hash base64 float32 utf8 buf names config json_check json)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_base LABELS unit)
endforeach()
