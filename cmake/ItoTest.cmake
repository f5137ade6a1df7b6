# SPDX-License-Identifier: Apache-2.0
# ito_device_test(<source> [ONLY <device>...]): one test source becomes test_<topic>.cpu and test_<topic>.sim, and with
# ITO_CUDA a part of tests.cuda (ito_cuda_tests). It is compiled once for all, unless it holds kernels of its own.
# ito_host_test(<source>): a test that needs no device.
include(GoogleTest)

function(ito_add_test name)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

function(ito_test_options target)
  # Most of the time of a build goes into the tests' own code, which need not be fast.
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${ITO_BASE_ISA};-O1>")
  target_compile_definitions(${target} PRIVATE ITO_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               ITO_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${target} PRIVATE ito_models ito_engine GTest::gtest)
endfunction()

# Sets result to whether the source uses the dialect itself, so that it is another program on each device library.
function(ito_holds_kernels source result)
  file(STRINGS ${source} found REGEX "^#include \"(dialect\\.h|.*\\.cu)\"")
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

function(ito_device_test source)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ONLY")
  if(NOT arg_ONLY)
    set(arg_ONLY cpu sim cuda)
  endif()
  get_filename_component(topic ${source} NAME_WE)
  ito_holds_kernels(${source} own_kernels)
  set(code ${source})
  if(NOT own_kernels)
    add_library(${topic}_objects OBJECT ${source})
    ito_test_options(${topic}_objects)
    set(code $<TARGET_OBJECTS:${topic}_objects>)
    if("cuda" IN_LIST arg_ONLY)
      set_property(GLOBAL APPEND PROPERTY ITO_CUDA_TEST_CODE ${code})
    endif()
  elseif("cuda" IN_LIST arg_ONLY)
    set_property(GLOBAL APPEND PROPERTY ITO_CUDA_TEST_SOURCES ${source})
  endif()
  foreach(device cpu sim)
    if(TARGET ito_kernels_${device} AND device IN_LIST arg_ONLY)
      set(name ${topic}.${device})
      add_executable(${name} ${code})
      ito_test_options(${name})
      target_link_libraries(${name} PRIVATE ito_kernels_${device} GTest::gtest_main)
      target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/kernels/dialect/${device})
      ito_add_test(${name})
    endif()
  endforeach()
endfunction()

# ito_cuda_tests(<sources>...): all device tests and the given ones in one program, tests.cuda: a program holds every
# kernel for every architecture, too much for one a topic. Where there is no GPU it says so and is skipped (77).
function(ito_cuda_tests)
  get_property(code GLOBAL PROPERTY ITO_CUDA_TEST_CODE)
  get_property(own_kernels GLOBAL PROPERTY ITO_CUDA_TEST_SOURCES)
  set_source_files_properties(${own_kernels} PROPERTIES LANGUAGE CUDA)
  add_executable(tests.cuda ${ARGN} ${code} ${own_kernels})
  ito_test_options(tests.cuda)
  target_link_libraries(tests.cuda PRIVATE ito_kernels_cuda)
  target_include_directories(tests.cuda PRIVATE ${PROJECT_SOURCE_DIR}/kernels/dialect/cuda)
  ito_add_test(tests.cuda)
  set_tests_properties(tests.cuda PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

function(ito_host_test source)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_compile_options(${name} PRIVATE ${ITO_BASE_ISA})
  target_compile_definitions(${name} PRIVATE ITO_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ITO_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE ito_io GTest::gtest_main)
  ito_add_test(${name})
endfunction()
