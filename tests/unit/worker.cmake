foreach(topic IN ITEMS stop calls sim_words sim_schedule sim_fault sim_script sim_engine worker_answer
        worker_params worker_heritage worker_keeper worker_tokenize)
    cortex_test(${topic}_test SRC ${topic}_test.c LIBS cortex_worker LABELS unit)
endforeach()
