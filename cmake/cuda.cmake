# CORTEX_CUDA: AUTO builds libcortex-kernels-cuda.so where an nvcc of 12.9 or newer is found, ON
# stops without one, OFF leaves it out.  Looked for in CUDACXX, PATH, .cuda (tools/install cuda),
# /usr/local/cuda.  Only nvcc is used: the project has no CUDA language, so that everything else
# configures without it.
set(CORTEX_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO, ON or OFF")
set_property(CACHE CORTEX_CUDA PROPERTY STRINGS AUTO ON OFF)
set(CORTEX_CUDA_TARGETS "80;86;89;90a;100f;120f" CACHE STRING
    "Compute capabilities to compile for, as nvcc spells them")
set(CORTEX_CUDA_NVCC_MIN 12.9) # the first that knows 100f and 120f

function(cortex_find_nvcc out)
    set(nvcc $ENV{CUDACXX})
    if(NOT nvcc)
        find_program(nvcc nvcc NO_CACHE
            HINTS ${PROJECT_SOURCE_DIR}/.cuda/toolkit/bin PATHS /usr/local/cuda/bin)
    endif()
    set(version "")
    if(nvcc)
        execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE said ERROR_QUIET)
        string(REGEX MATCH "release ([0-9.]+)" found "${said}")
        set(version ${CMAKE_MATCH_1})
    endif()
    if(version AND NOT version VERSION_LESS CORTEX_CUDA_NVCC_MIN)
        message(STATUS "CUDA kernels: ${nvcc}, ${version}, for ${CORTEX_CUDA_TARGETS}")
        set(${out} ${nvcc} PARENT_SCOPE)
        return()
    endif()
    set(${out} "" PARENT_SCOPE)
    set(why "no nvcc found")
    if(version)
        set(why "${nvcc} is ${version}")
    endif()
    if(CORTEX_CUDA STREQUAL "ON")
        message(FATAL_ERROR "CORTEX_CUDA=ON: ${why}, ${CORTEX_CUDA_NVCC_MIN} or newer needed; "
            "tools/install cuda fetches one into .cuda")
    endif()
    message(STATUS "CUDA kernels: left out (${why}; tools/install cuda)")
endfunction()

# The emulator of the tests compiles the kernels as C++.
if(CORTEX_TESTS)
    include(CheckLanguage)
    check_language(CXX)
    if(CMAKE_CXX_COMPILER)
        enable_language(CXX)
    else()
        message(STATUS "CUDA kernels: no C++ compiler, so no tests of them on the emulator")
    endif()
endif()
