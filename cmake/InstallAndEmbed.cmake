# The test install_and_embed: installs this build below itself, then builds and runs examples/embed against what was installed, as
# somebody who never saw this tree would.
#
#   cmake -D BUILD_DIR=... -D EXAMPLE_DIR=... -D CXX=... -D VERSION=... -P InstallAndEmbed.cmake
cmake_minimum_required(VERSION 3.25)

set(prefix ${BUILD_DIR}/install-test)
set(example_build ${BUILD_DIR}/install-test-embed)
file(REMOVE_RECURSE ${prefix} ${example_build})  # A header that is no longer installed must not survive from the last run.

execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(
  COMMAND ${CMAKE_COMMAND} -S ${EXAMPLE_DIR} -B ${example_build} -G Ninja -D CMAKE_BUILD_TYPE=Release
          -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_PREFIX_PATH=${prefix}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${example_build} -j2 COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${example_build}/embed OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
message("${output}")
string(FIND "${output}" "${VERSION}" position)
if(position EQUAL -1)
  message(FATAL_ERROR "the example ran, but does not name version ${VERSION}")
endif()
execute_process(COMMAND ${example_build}/share OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
message("${output}")
if(NOT output MATCHES "after it wrote: +its own")
  message(FATAL_ERROR "the example of the native API does not keep a written page to itself")
endif()
