# SPDX-License-Identifier: Apache-2.0
# ito_program(<name> <kernel library> sources...): the command on one device library; the program lands in the top of
# the build tree, where the front finds it beside itself.
function(ito_program name kernels)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ito_models ito_engine ${kernels} CLI11::CLI11 fmt::fmt)
  target_compile_options(${name} PRIVATE ${ITO_BASE_ISA})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  if(TARGET ito-mpi)  # which it opens beside itself where it is one of several ranks
    add_dependencies(${name} ito-mpi)
  endif()
endfunction()
