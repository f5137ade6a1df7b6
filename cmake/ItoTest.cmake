# SPDX-License-Identifier: Apache-2.0
# ito_device_test(<source> [ONLY cpu|sim]): one test source becomes test_<topic>.cpu and test_<topic>.sim.
# ito_host_test(<source>): a test that needs no device.
include(GoogleTest)

function(ito_add_test name)
  target_compile_options(${name} PRIVATE ${ITO_BASE_ISA})
  target_compile_definitions(${name} PRIVATE ITO_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ITO_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

function(ito_device_test source)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ONLY" "")
  get_filename_component(topic ${source} NAME_WE)
  foreach(device cpu sim)
    if(TARGET ito_kernels_${device} AND (NOT arg_ONLY OR arg_ONLY STREQUAL device))
      set(name ${topic}.${device})
      add_executable(${name} ${source})
      target_link_libraries(${name} PRIVATE ito_models ito_engine ito_kernels_${device} GTest::gtest_main)
      target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/kernels/dialect/${device})
      ito_add_test(${name})
    endif()
  endforeach()
endfunction()

function(ito_host_test source)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ito_io GTest::gtest_main)
  ito_add_test(${name})
endfunction()
