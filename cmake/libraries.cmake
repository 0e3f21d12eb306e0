# Foreign libraries, one imported target each, with the package that brings it.
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Threads REQUIRED)

foreach(lib IN ITEMS "libevent_core:libevent" "json-c:json-c" "inih:inih" "libsystemd:libsystemd"
        "liburing:liburing" "libcurl:libcurl" "libpcre2-8:libpcre2-8"
        "libutf8proc:libutf8proc")
    string(REPLACE ":" ";" pair ${lib})
    list(GET pair 0 module)
    list(GET pair 1 name)
    pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
endforeach()

find_path(HTTP_PARSER_INCLUDE http_parser.h REQUIRED)
find_library(HTTP_PARSER_LIBRARY http_parser REQUIRED)
add_library(http_parser INTERFACE)
target_include_directories(http_parser SYSTEM INTERFACE ${HTTP_PARSER_INCLUDE})
target_link_libraries(http_parser INTERFACE ${HTTP_PARSER_LIBRARY})
