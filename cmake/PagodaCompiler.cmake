# How all our code is compiled: language, warnings, sanitizers. Directory-wide, because everything below this directory is ours.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)  # Of pagoda/nt.h's tests.
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # libpagoda.a may end up in an embedder's shared library.
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Checks in inline functions are on or off for a library and its users together, whatever NDEBUG says in theirs.
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(PAGODA_DCHECKS 1)
else()
  set(PAGODA_DCHECKS 0)
endif()
add_compile_definitions(PAGODA_DCHECKS=${PAGODA_DCHECKS})

# The compiler cache, configured here and not in its user's home: precompiled headers, and hits in every clone of this tree.
find_program(PAGODA_CCACHE ccache)
mark_as_advanced(PAGODA_CCACHE)
if(PAGODA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
                                  CCACHE_NOHASHDIR=1 ${PAGODA_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

# Warnings are errors for whoever builds Pagoda itself, never for whoever embeds its source tree.
# A designated initializer leaves out what shall be zero or its default: that is what it is for.
add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wno-missing-field-initializers -fdiagnostics-color=auto)
if(PROJECT_IS_TOP_LEVEL)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # clang counts sign conversions as -Wconversion and g++ does not: one meaning for both.
  add_compile_options(-Wno-sign-conversion -Wthread-safety -Werror=thread-safety)
  # A precompiled header is checked by content alone: the compiler cache may have made it in another clone.
  add_compile_options("SHELL:$<$<COMPILE_LANGUAGE:CXX>:-Xclang -fno-pch-timestamp>")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # The compiler cache asks for it.
  # Collecting garbage takes a tenth of the compiler's time and saves a tenth of its memory.
  add_compile_options("SHELL:--param ggc-min-heapsize=1048576")
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # False alarms in std::string's concatenation and insertion (GCC bugs 105651, 105329).
    foreach(alarm restrict stringop-overflow stringop-overread array-bounds)
      add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-${alarm}>)
    endforeach()
  endif()
endif()
add_link_options(-Wl,--as-needed)  # The binary names only those shared libraries that it calls.

if(PAGODA_SANITIZE)
  add_compile_options(-fsanitize=${PAGODA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${PAGODA_SANITIZE})
endif()
if(PAGODA_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "PAGODA_FUZZ needs clang: libFuzzer is part of it (use the preset fuzz)")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)  # Coverage in every floor; the fuzz targets alone link the driver.
endif()
