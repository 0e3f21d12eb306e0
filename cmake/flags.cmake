# Warnings, sanitizers and include root shared by every target of the tree.
add_library(cortex_flags INTERFACE)
target_compile_definitions(cortex_flags INTERFACE _GNU_SOURCE CORTEX_VERSION="${PROJECT_VERSION}")
target_include_directories(cortex_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(cortex_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion
    -Wswitch-enum -Wvla -Wformat=2 -Werror -fno-common -fstack-protector-strong)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    # Sentences are cut to their fields on purpose; snprintf is how.
    target_compile_options(cortex_flags INTERFACE -Wno-format-truncation)
endif()
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    # X lists are used with empty arguments and __VA_ARGS__.
    target_compile_options(cortex_flags INTERFACE -Wno-gnu-zero-variadic-macro-arguments)
endif()
if(CORTEX_SANITIZE)
    target_compile_options(cortex_flags INTERFACE
        -fsanitize=${CORTEX_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(cortex_flags INTERFACE -fsanitize=${CORTEX_SANITIZE})
    if(CORTEX_SANITIZE MATCHES thread AND CMAKE_C_COMPILER_ID STREQUAL GNU)
        target_compile_options(cortex_flags INTERFACE -Wno-tsan)  # fences: see shm/ring.h
    endif()
endif()
if(CORTEX_FUZZ)
    target_compile_options(cortex_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
