# The floors of the house as CMake targets.
#
#   pagoda_floor(<name> [COLD] [DEPENDS <lower floors>] [LIBS <imported targets>])
#     src/pagoda/<name>/**/*.cpp       -> library pagoda_<name>; an interface library while there is no source yet; COLD: its
#                                         speed does not matter, so that it is compiled quickly
#     src/pagoda/<name>/**/*_test.cpp  -> executable pagoda_<name>_test, its cases registered with CTest, label <name>;
#                                         *_test.c files become part of it
#   pagoda_check_floors()              -> stops when src/pagoda has a folder that no pagoda_floor() names
#   pagoda_test(<target> SOURCES <files> LIBS <targets> LABEL <label>)
#   pagoda_library(<target> FLOORS <floors>)
#     -> libpagoda.a with the objects of all these floors, and all that find_package(pagoda) needs
#
# A new source file needs no edit here: the globs are looked at again by every build.

# Seconds. A single test case that takes longer hangs; sanitizers slow code down by about 10 on a loaded machine.
set(PAGODA_TEST_TIMEOUT 600)

# The .cpp files below `directory` that are neither tests nor a program's main file.
function(pagoda_glob out_sources directory)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${directory}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cpp$")
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()

function(pagoda_glob_tests out_sources directory)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${directory}/*_test.cpp
       ${PROJECT_SOURCE_DIR}/${directory}/*_test.c)  # In C: tests of headers that are C.
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()

# Compiles a target of this tree without much optimisation.
function(pagoda_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O1>)
endfunction()

# How test programs' own sources are optimised, and their precompiled header: not at all, because GoogleTest and RapidCheck take the
# optimiser longer than the tests run, with sanitizers twice as long. What is tested stays as it is.
function(pagoda_optimise_as_test target)
  if(PAGODA_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  else()
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O0>)
  endif()
endfunction()

# The owners of the precompiled headers of cmake/pch. Targets that are compiled with the same options reuse them.
function(pagoda_precompiled_header owner header)
  cmake_parse_arguments(PARSE_ARGV 2 OWNER "" "" "LIBS")
  add_library(${owner} OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/cmake/pch/owner.cpp)
  target_link_libraries(${owner} PRIVATE ${OWNER_LIBS})
  target_include_directories(${owner} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)
  target_compile_features(${owner} PRIVATE cxx_std_23)
  target_precompile_headers(${owner} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch/${header})
endfunction()

# Compiles a target as test programs are: for them alone, so that a library can be part of several.
function(pagoda_compile_as_test target)
  pagoda_optimise_as_test(${target})
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIE)
  endif()
  if(TARGET pagoda_pch_test)
    target_precompile_headers(${target} REUSE_FROM pagoda_pch_test)
  endif()
endfunction()

function(pagoda_floor name)
  cmake_parse_arguments(PARSE_ARGV 1 FLOOR "COLD" "" "DEPENDS;LIBS")
  set(target pagoda_${name})
  set(directory src/pagoda/${name})
  pagoda_glob(sources ${directory})
  pagoda_glob_tests(tests ${directory})

  if(sources)
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
    if(FLOOR_COLD)
      pagoda_compile_quickly(${target})
      target_precompile_headers(${target} REUSE_FROM pagoda_pch_cold)
    else()
      target_precompile_headers(${target} REUSE_FROM pagoda_pch)
    endif()
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)
  target_compile_features(${target} ${scope} cxx_std_23)
  target_link_libraries(${target} ${scope} ${FLOOR_LIBS})
  foreach(lower IN LISTS FLOOR_DEPENDS)
    target_link_libraries(${target} ${scope} pagoda_${lower})
  endforeach()

  set_property(GLOBAL APPEND PROPERTY PAGODA_FLOORS ${name})
  set_property(GLOBAL PROPERTY PAGODA_FLOOR_LIBS_${name} "${FLOOR_LIBS}")

  if(tests AND PAGODA_BUILD_TESTS AND NOT PAGODA_FUZZ)
    pagoda_test(${target}_test SOURCES ${tests} LIBS ${target} LABEL ${name})
  endif()
endfunction()

function(pagoda_check_floors)
  get_property(floors GLOBAL PROPERTY PAGODA_FLOORS)
  file(GLOB folders CONFIGURE_DEPENDS LIST_DIRECTORIES true RELATIVE ${PROJECT_SOURCE_DIR}/src/pagoda
       ${PROJECT_SOURCE_DIR}/src/pagoda/*)
  foreach(folder IN LISTS folders)
    if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/src/pagoda/${folder} AND NOT folder IN_LIST floors)
      message(FATAL_ERROR "src/pagoda/${folder} is no floor that CMakeLists.txt knows: add a pagoda_floor(${folder} ...)")
    endif()
  endforeach()
endfunction()

function(pagoda_test target)
  cmake_parse_arguments(PARSE_ARGV 1 TEST "" "LABEL" "SOURCES;LIBS")
  # Sources in C are a library of their own: the precompiled header is C++.
  set(c_sources ${TEST_SOURCES})
  list(FILTER c_sources INCLUDE REGEX "\\.c$")
  list(FILTER TEST_SOURCES EXCLUDE REGEX "\\.c$")
  add_executable(${target} ${TEST_SOURCES})
  if(c_sources)
    add_library(${target}_c OBJECT ${c_sources})
    target_link_libraries(${target}_c PRIVATE ${TEST_LIBS})
    target_link_libraries(${target} PRIVATE ${target}_c)
  endif()
  target_link_libraries(${target} PRIVATE ${TEST_LIBS} rapidcheck_gtest rapidcheck GTest::gmock GTest::gtest_main)
  pagoda_compile_as_test(${target})
  # For tests that read the tree itself (floors, scenarios, recorded data).
  target_compile_definitions(${target} PRIVATE PAGODA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # PRE_TEST: a test program that crashes while listing its cases fails ctest and not the build.
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120 WORKING_DIRECTORY ${PROJECT_BINARY_DIR}
                       PROPERTIES LABELS ${TEST_LABEL} TIMEOUT ${PAGODA_TEST_TIMEOUT})
endfunction()

function(pagoda_library target)
  cmake_parse_arguments(PARSE_ARGV 1 LIBRARY "" "" "FLOORS")
  add_library(${target} STATIC ${PROJECT_SOURCE_DIR}/cmake/library.cpp)
  add_library(pagoda::pagoda ALIAS ${target})
  foreach(floor IN LISTS LIBRARY_FLOORS)
    get_target_property(type pagoda_${floor} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:pagoda_${floor}>)
    endif()
    get_property(libs GLOBAL PROPERTY PAGODA_FLOOR_LIBS_${floor})
    target_link_libraries(${target} PUBLIC ${libs})
    install(DIRECTORY src/pagoda/${floor} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pagoda FILES_MATCHING PATTERN "*.h")
  endforeach()
  target_include_directories(
    ${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} PUBLIC cxx_std_23)
  target_compile_definitions(${target} INTERFACE PAGODA_DCHECKS=${PAGODA_DCHECKS})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME pagoda EXPORT_NAME pagoda)

  include(CMakePackageConfigHelpers)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/pagoda)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/generated/pagoda DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  file(GLOB umbrella_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/pagoda/*.h)
  install(FILES ${umbrella_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pagoda)
  install(TARGETS ${target} EXPORT pagodaTargets)
  install(EXPORT pagodaTargets NAMESPACE pagoda:: DESTINATION ${package_dir})
  configure_package_config_file(cmake/pagodaConfig.cmake.in pagodaConfig.cmake INSTALL_DESTINATION ${package_dir})
  write_basic_package_version_file(pagodaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/pagodaConfig.cmake ${PROJECT_BINARY_DIR}/pagodaConfigVersion.cmake
          DESTINATION ${package_dir})
endfunction()
