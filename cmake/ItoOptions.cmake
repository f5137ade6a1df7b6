# SPDX-License-Identifier: Apache-2.0
# Language, warnings, instruction set and sanitizers, as one interface target that everything links.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
set(CMAKE_CXX_FLAGS_RELEASE "-O3")  # no NDEBUG: our checks are not asserts, and the libraries' asserts are cheap
if(ITO_FUZZ OR ITO_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELEASE "-O1")  # a target's own option may still say otherwise
endif()

add_library(ito_options INTERFACE)
target_include_directories(ito_options INTERFACE ${PROJECT_SOURCE_DIR})
# No contraction: fused multiply-adds are written as fmaf, so that instruction-set variants agree bit for bit.
# Without the two -fno flags loops with sqrtf or a compare do not vectorise; neither changes a result.
# Device code with line information shrinks to an eighth when compressed; the driver unpacks what it loads.
target_compile_options(ito_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-ffp-contract=off;-fno-math-errno;-fno-trapping-math>"
  "$<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings;-lineinfo;--compress-mode=size;--fmad=false>"
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;--expt-extended-lambda>")
# ito_relocatable(<targets>...): what programs and shared libraries are both made of (tools/library): compiled once, for
# any address, its names its own. Not under ThreadSanitizer or for fuzzing, where there are no such libraries.
function(ito_relocatable)
  if(NOT ITO_SANITIZE STREQUAL "thread" AND NOT ITO_FUZZ)
    set_target_properties(${ARGN} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                             CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  endif()
endfunction()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(ITO_BASE_ISA -march=x86-64-v3)
  set(ITO_HIGH_ISA -march=x86-64-v4 -mprefer-vector-width=512)
endif()

if(ITO_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "ITO_FUZZ needs clang, which brings libFuzzer: use the preset fuzz (packages clang-16 and "
                        "libclang-rt-16-dev)")
  endif()
  set(fuzz_checks -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all)
  target_compile_options(ito_options INTERFACE -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link ${fuzz_checks})
  target_link_options(ito_options INTERFACE ${fuzz_checks})
elseif(ITO_SANITIZE STREQUAL "address")
  # Left out for the time that they take to compile, a third to a half of a file's: null, object-size and pointer-overflow,
  # of which AddressSanitizer sees what is read or written, vptr, of which it sees objects that are gone, and alignment,
  # which sim checks of every access that asks for it.
  target_compile_options(ito_options INTERFACE -g1 -fno-omit-frame-pointer -fsanitize=address,undefined
                         -fno-sanitize=null,vptr,object-size,pointer-overflow,alignment -fno-sanitize-recover=undefined)
  target_link_options(ito_options INTERFACE -fsanitize=address,undefined)
elseif(ITO_SANITIZE STREQUAL "thread")
  target_compile_options(ito_options INTERFACE -g1 -fno-omit-frame-pointer -fsanitize=thread)
  target_link_options(ito_options INTERFACE -fsanitize=thread)
elseif(ITO_SANITIZE)
  message(FATAL_ERROR "ITO_SANITIZE is '${ITO_SANITIZE}'; expected address, thread or nothing")
endif()
