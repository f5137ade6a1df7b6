# SPDX-License-Identifier: Apache-2.0
# Every package ito uses, each with the Debian package that brings it.
function(ito_require found package reason)
  if(NOT ${found})
    message(FATAL_ERROR "${reason} is missing: install the package ${package} (apt-get install ${package})")
  endif()
endfunction()

option(ITO_STATIC "Link the packages' libraries statically, and into CUDA programs the C++ runtime too" OFF)
if(ITO_STATIC)  # archives where there are any; oneDNN has none and is the cpu programs' alone
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
endif()

find_package(nlohmann_json QUIET)
ito_require(nlohmann_json_FOUND nlohmann-json3-dev "nlohmann-json (JSON files)")
find_package(Eigen3 QUIET)
ito_require(Eigen3_FOUND libeigen3-dev "Eigen (singular values of small matrices)")
find_package(CLI11 QUIET)
ito_require(CLI11_FOUND libcli11-dev "CLI11 (command lines)")
if(ITO_STATIC)  # Debian has no archive of fmt
  find_path(ITO_FMT_INCLUDE fmt/format-inl.h)
  ito_require(ITO_FMT_INCLUDE libfmt-dev "fmt (text)")
  add_library(ito_fmt STATIC ${CMAKE_CURRENT_LIST_DIR}/fmt_archive.cpp)
  target_include_directories(ito_fmt SYSTEM PUBLIC ${ITO_FMT_INCLUDE})
  target_compile_definitions(ito_fmt PUBLIC FMT_SHARED)  # what the package file says, so that objects are the same
  target_compile_features(ito_fmt PUBLIC cxx_std_20)
  add_library(fmt::fmt ALIAS ito_fmt)
else()
  find_package(fmt QUIET)
  ito_require(fmt_FOUND libfmt-dev "fmt (text)")
endif()
find_package(PNG QUIET)
ito_require(PNG_FOUND libpng-dev "libpng (PNG images)")
find_package(JPEG QUIET)
ito_require(JPEG_FOUND libjpeg62-turbo-dev "libjpeg-turbo (JPEG images)")
find_package(ZLIB QUIET)
ito_require(ZLIB_FOUND zlib1g-dev "zlib (compressed IDX files)")
# zlib's own reader and writer of zip archives, which has no package file.
find_path(ITO_MINIZIP_INCLUDE minizip/unzip.h)
find_library(ITO_MINIZIP_LIBRARY minizip)
ito_require(ITO_MINIZIP_LIBRARY libminizip-dev "minizip (npz archives)")
# Imported, so that CMake knows that the archive stands before zlib on every link line.
add_library(ito_minizip UNKNOWN IMPORTED GLOBAL)
set_target_properties(ito_minizip PROPERTIES IMPORTED_LOCATION ${ITO_MINIZIP_LIBRARY}
                                             INTERFACE_INCLUDE_DIRECTORIES ${ITO_MINIZIP_INCLUDE}
                                             INTERFACE_LINK_LIBRARIES ZLIB::ZLIB)
# By hand: its package file asks for every library that it was built with, of which reading a plain tar needs none.
find_path(ITO_LIBARCHIVE_INCLUDE archive.h)
find_library(ITO_LIBARCHIVE_LIBRARY archive)
ito_require(ITO_LIBARCHIVE_LIBRARY libarchive-dev "libarchive (tar archives)")
add_library(ito_libarchive UNKNOWN IMPORTED GLOBAL)
set_target_properties(ito_libarchive PROPERTIES IMPORTED_LOCATION ${ITO_LIBARCHIVE_LIBRARY}
                                                INTERFACE_INCLUDE_DIRECTORIES ${ITO_LIBARCHIVE_INCLUDE})
find_package(Threads REQUIRED)
if(ITO_CPU)
  find_package(OpenMP QUIET)
  ito_require(OpenMP_CXX_FOUND g++ "OpenMP (the cpu executor)")
  # By hand: Debian's package file asks for OpenCL, which a CPU build of oneDNN does not need.
  find_path(ITO_DNNL_INCLUDE dnnl.hpp)
  find_library(ITO_DNNL_LIBRARY dnnl)
  ito_require(ITO_DNNL_LIBRARY libdnnl-dev "oneDNN (convolution and GEMM on the CPU)")
  add_library(ito_dnnl INTERFACE)
  target_include_directories(ito_dnnl SYSTEM INTERFACE ${ITO_DNNL_INCLUDE})
  target_link_libraries(ito_dnnl INTERFACE ${ITO_DNNL_LIBRARY})
endif()
# Optional, for runs of several ranks: a module beside the programs is compiled against it, and no program needs it.
set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI QUIET COMPONENTS CXX)
# Optional, for Nsight: NVTX is headers alone, and comes with the CUDA Toolkit.
find_path(ITO_NVTX_INCLUDE nvtx3/nvToolsExt.h HINTS /usr/local/cuda/include)
if(ITO_CUDA)
  find_package(CUDAToolkit 13.0 QUIET)
  ito_require(CUDAToolkit_FOUND cuda-toolkit "the CUDA Toolkit, 13.0 or later (ITO_CUDA)")
  find_path(ITO_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  ito_require(ITO_NCCL_INCLUDE libnccl-dev "NCCL's header (several ranks on GPUs)")
endif()
if(ITO_TESTS)
  find_package(GTest QUIET)
  ito_require(GTest_FOUND libgtest-dev "GoogleTest")
endif()
