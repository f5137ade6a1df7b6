# SPDX-License-Identifier: Apache-2.0
# ito_kernel_library(<target> DIALECT <cpu|sim|cuda> [ISA flags...]): every kernel file compiled through one dialect, with
# that device's seams: as CUDA for cuda, as C++ otherwise. All kernel files are found by pattern: a new file or folder of
# kernels needs no line here. A file has one language a folder, so cuda's library is made in a folder of its own
# (kernels/seams/cuda).
# A file's name says where it is compiled: *_sm80.cu need warps of 32 lanes and tensor cores, so they are for sim and
# cuda; *_sm90.cu use Hopper's own instructions, so on cuda they are compiled for sm_90a alone, whatever else is built.
function(ito_kernel_library target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "DIALECT" "ISA")
  set(root ${PROJECT_SOURCE_DIR}/kernels)
  file(GLOB_RECURSE kernels CONFIGURE_DEPENDS ${root}/*.cu)
  list(FILTER kernels EXCLUDE REGEX "^${root}/(seams|dialect)/")
  set(hopper)
  if(arg_DIALECT STREQUAL "cpu")
    list(FILTER kernels EXCLUDE REGEX "_sm[0-9]+\\.cu$")
  elseif(arg_DIALECT STREQUAL "cuda")
    set(hopper ${kernels})
    list(FILTER hopper INCLUDE REGEX "_sm90\\.cu$")
    list(FILTER kernels EXCLUDE REGEX "_sm90\\.cu$")
  endif()
  set(folders common ${arg_DIALECT})
  if(NOT arg_DIALECT STREQUAL "cuda")
    list(APPEND folders host)
  endif()
  if(NOT arg_DIALECT STREQUAL "cpu")
    list(APPEND folders lanes)
  endif()
  list(TRANSFORM folders PREPEND ${root}/seams/)
  list(TRANSFORM folders APPEND /*.cpp)
  file(GLOB seams CONFIGURE_DEPENDS ${folders} ${root}/dialect/${arg_DIALECT}/*.cpp)
  if(arg_DIALECT STREQUAL "cuda")
    file(GLOB cuda_seams CONFIGURE_DEPENDS ${root}/seams/cuda/*.cu)
    set_source_files_properties(${kernels} ${cuda_seams} PROPERTIES LANGUAGE CUDA)
    list(APPEND seams ${cuda_seams})
  else()
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX)  # CMake adds -x c++
  endif()
  add_library(${target} STATIC ${kernels} ${seams})
  target_include_directories(${target} PRIVATE ${root}/dialect/${arg_DIALECT})
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${arg_ISA}>")
  target_link_libraries(${target} PUBLIC ito_options)
  if(hopper)
    set_source_files_properties(${hopper} PROPERTIES LANGUAGE CUDA)
    add_library(${target}_sm90 OBJECT ${hopper})
    set_target_properties(${target}_sm90 PROPERTIES
                          CUDA_ARCHITECTURES 90a-real
                          RULE_LAUNCH_COMPILE ${PROJECT_SOURCE_DIR}/cmake/refuse_serialised_wgmma.sh)
    target_include_directories(${target}_sm90 PRIVATE ${root}/dialect/${arg_DIALECT})
    target_link_libraries(${target}_sm90 PRIVATE ito_options)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_sm90>)
  endif()
  if(ITO_NVTX_INCLUDE)  # headers alone; they look for a profiler when the program starts
    target_include_directories(${target} SYSTEM PRIVATE ${ITO_NVTX_INCLUDE})
    target_compile_definitions(${target} PRIVATE ITO_NVTX=1)
    target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
  endif()
endfunction()
