foreach(topic IN ITEMS stop sim_words sim_schedule sim_fault sim_script worker_answer worker_params
        sim_engine)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_worker LABELS unit)
endforeach()
