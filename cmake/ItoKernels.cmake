# SPDX-License-Identifier: Apache-2.0
# ito_kernel_library(<target> DIALECT <cpu|sim> [ISA flags...]): every kernel file compiled as C++ through one dialect,
# with that device's seams. All kernel files are found by pattern: a new one needs no line here.
function(ito_kernel_library target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "DIALECT" "ISA")
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/nn/*.cu ${PROJECT_SOURCE_DIR}/kernels/diffusion/*.cu
                                      ${PROJECT_SOURCE_DIR}/kernels/optim/*.cu)
  file(GLOB seams CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/seams/host/*.cpp
                                    ${PROJECT_SOURCE_DIR}/kernels/seams/${arg_DIALECT}/*.cpp
                                    ${PROJECT_SOURCE_DIR}/kernels/dialect/${arg_DIALECT}/*.cpp)
  add_library(${target} STATIC ${kernels} ${seams})
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX)  # CMake adds -x c++
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/kernels/dialect/${arg_DIALECT})
  target_compile_options(${target} PRIVATE ${arg_ISA})
  target_link_libraries(${target} PUBLIC ito_options)
endfunction()
