# SPDX-License-Identifier: Apache-2.0
# The CUDA compiler and the architectures: A100, H100, B200, RTX 50, and PTX for what comes after them. One is set with
# -DCMAKE_CUDA_ARCHITECTURES=90-real.
if(NOT CMAKE_CUDA_COMPILER)
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin ENV CUDA_PATH PATH_SUFFIXES bin)
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "ITO_CUDA needs nvcc: install the CUDA Toolkit (package cuda-toolkit), or set "
                        "CMAKE_CUDA_COMPILER")
  endif()
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 120 CACHE STRING "CUDA architectures; -real: no PTX")
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc 12 and later compile C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
