// SPDX-License-Identifier: Apache-2.0
// Which file may include which: tools and tests -> models -> engine -> kernels' plain headers. Device libraries stay
// behind the seams, and no file above kernels/ asks for which device it is compiled.
#pragma once
#include <cctype>
#include <string>
#include <string_view>

#include "tests/tree/source_text.h"

namespace ito {

// A header whose name only a device library has, OpenMP's included.
inline bool is_device_library_header(std::string_view target) {
  const size_t slash = target.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? target : target.substr(slash + 1);
  for (const char* start : {"cuda", "cudnn", "cublas", "cufft", "nccl", "dnnl", "nvtx", "nvToolsExt"})
    if (starts_with(name, start)) return true;
  for (const char* folder : {"cuda/", "cooperative_groups", "cub/", "thrust/", "oneapi/", "nvtx3/"})
    if (starts_with(target, folder)) return true;
  return name == "mpi.h" || name == "omp.h" || name == "mma.h";
}

// kernels/seams/<device>/...: the files that call a device's libraries.
inline bool is_seam_inside(std::string_view path) {
  constexpr std::string_view kSeams = "kernels/seams/";
  return starts_with(path, kSeams) && path.find('/', kSeams.size()) != std::string_view::npos;
}

// kernels/{nn,diffusion,optim}/...
inline bool is_op_file(std::string_view path) {
  return starts_with(path, "kernels/nn/") || starts_with(path, "kernels/diffusion/") ||
         starts_with(path, "kernels/optim/");
}

// The headers of kernels/ that are plain C++: shared types, the seams' interfaces, the launchers. A header with words
// of the dialect is a .cuh.
inline bool is_plain_kernel_header(std::string_view path) {
  return starts_with(path, "kernels/") && ends_with(path, ".h") && !starts_with(path, "kernels/dialect/") &&
         !is_seam_inside(path);
}

inline bool is_io_file(std::string_view path) {
  return starts_with(path, "engine/io/") || starts_with(path, "engine/data/");
}

// Whether `path` may include `target`, a path from the repository's root.
inline bool may_include(std::string_view path, std::string_view target) {
  const auto in = [&](const char* folder) { return starts_with(target, folder); };
  if (starts_with(path, "kernels/")) return in("kernels/");
  if (is_io_file(path))
    return is_io_file(target) || target == "kernels/error.h" || target == "kernels/types.h" ||
           target == "kernels/random/philox.h";
  if (starts_with(path, "tests/"))
    return in("tests/") || in("tools/") || in("models/") || in("engine/") || in("kernels/");
  const bool below_models = in("engine/") || is_plain_kernel_header(target);
  if (starts_with(path, "engine/")) return below_models;
  if (starts_with(path, "models/")) return in("models/") || below_models;
  // Benchmarks run the tests' cases.
  if (starts_with(path, "tools/commands/bench/") && in("tests/cases/")) return true;
  return in("tools/") || in("models/") || below_models;
}

inline Violations check_include_direction(const SourceFile& file) {
  Violations found;
  for (const Include& include : views_of(file.text).includes) {
    if (!include.quoted) continue;
    if (include.target == "dialect.h" || include.target == "hopper.h") {
      if (!starts_with(file.path, "kernels/") && !starts_with(file.path, "tests/"))
        found.push_back(at_line(file.path, include.line) + "includes \"" + include.target +
                        "\", which is for kernels and their tests");
      if (include.target == "hopper.h" && starts_with(file.path, "kernels/") && !ends_with(file.path, "_sm90.cu") &&
          !ends_with(file.path, "_sm90.cuh"))
        found.push_back(at_line(file.path, include.line) +
                        "includes \"hopper.h\", whose words only a *_sm90.cu file is compiled for");
    } else if (!may_include(file.path, include.target)) {
      found.push_back(at_line(file.path, include.line) + "includes \"" + include.target +
                      "\"; includes point downward only (tools, tests -> models -> engine -> kernels' plain headers) "
                      "and are written from the repository's root");
    }
  }
  return found;
}

// engine/samplers and engine/diffusion are arithmetic on the host: of kernels/ they see errors, types, draws and the
// plain rows that they fill in, and no stream to launch on.
inline Violations check_launches_nothing(const SourceFile& file) {
  Violations found;
  if (!starts_with(file.path, "engine/samplers/") && !starts_with(file.path, "engine/diffusion/")) return found;
  const SourceViews views = views_of(file.text);
  for (const Include& include : views.includes) {
    const std::string_view target = include.target;
    if (!starts_with(target, "kernels/") || target == "kernels/error.h" || target == "kernels/types.h") continue;
    if (target == "kernels/random/philox.h" || target == "kernels/random/host_normal.h") continue;
    if (ends_with(target, "_row.h")) continue;
    found.push_back(at_line(file.path, include.line) + "includes " + include.target +
                    "; samplers and levels launch nothing, and may include rows (kernels/diffusion/*_row.h) alone");
  }
  const size_t at = find_word(views.code, "Stream");
  if (at != std::string::npos)
    found.push_back(at_line(file.path, line_of(views.code, at)) + "names a Stream; samplers and levels launch nothing");
  return found;
}

inline Violations check_device_library_headers(const SourceFile& file) {
  Violations found;
  for (const char* folder : {"kernels/dialect/cuda/", "tests/only/cuda/", "tests/injected/"})
    if (starts_with(file.path, folder)) return found;
  if (is_seam_inside(file.path)) return found;
  for (const Include& include : views_of(file.text).includes)
    if (is_device_library_header(include.target))
      found.push_back(
          at_line(file.path, include.line) + "includes the device library header " + include.target +
          "; only kernels/dialect/cuda, kernels/seams/*/ and their own tests (tests/only/cuda, tests/injected) may");
  return found;
}

// Plain headers are read by g++ and nvcc alike: no word of the dialect and no question which compiler reads them.
inline Violations check_plain_header(const SourceFile& file) {
  Violations found;
  if (!is_plain_kernel_header(file.path)) return found;
  const SourceViews views = views_of(file.text);
  for (const char* word :
       {"KERNEL",     "DEVICE",        "SHARED",    "BLOCK_LOOP", "GRID_LOOP", "WARP",     "launch",
        "for_each",   "block_sync",    "block_sum", "block_max",  "warp_sum",  "warp_max", "block_threads",
        "dyn_shared", "last_block",    "Packed",    "threadIdx",  "blockIdx",  "blockDim", "gridDim",
        "__CUDACC__", "__CUDA_ARCH__", "__host__",  "__device__", "__global__"}) {
    const size_t at = find_word(views.code, word);
    if (at != std::string::npos)
      found.push_back(at_line(file.path, line_of(views.code, at)) + "the plain header uses the word " + word +
                      "; a header with words of the dialect is a .cuh");
  }
  for (const Include& include : views.includes)
    if (include.target == "dialect.h" || include.target == "hopper.h" ||
        starts_with(include.target, "kernels/dialect/") || ends_with(include.target, ".cuh") ||
        is_seam_inside(include.target))
      found.push_back(at_line(file.path, include.line) + "the plain header includes " + include.target);
  return found;
}

// Above kernels/ no conditional asks for the device: a program's device is what it is linked with.
inline Violations check_no_device_conditional(const SourceFile& file) {
  Violations found;
  if (starts_with(file.path, "kernels/")) return found;
  const std::string code = views_of(file.text).code;
  size_t number = 0;
  for (size_t start = 0; start < code.size();) {
    const size_t end = std::min(code.find('\n', start), code.size());
    const std::string_view line = std::string_view(code).substr(start, end - start);
    ++number;
    start = end + 1;
    size_t at = line.find_first_not_of(" \t");
    if (at == std::string_view::npos || line[at] != '#') continue;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string_view::npos) continue;
    if (!starts_with(line.substr(at), "if") && !starts_with(line.substr(at), "elif")) continue;
    for (const char* word : {"ITO_CUDA", "ITO_CPU", "ITO_SIM", "__CUDACC__", "__CUDA_ARCH__"})
      if (find_word(line, word) != std::string_view::npos)
        found.push_back(at_line(file.path, number) + "asks for the device with " + word +
                        "; above kernels/ the device is decided by the link alone");
  }
  return found;
}

// engine/ and tools/ serve any architecture: no word of theirs, comments and texts included, names one.
inline Violations check_no_architecture(const SourceFile& file) {
  Violations found;
  if (!starts_with(file.path, "engine/") && !starts_with(file.path, "tools/")) return found;
  std::string text = file.text;
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (size_t at = text.find("unet"); at != std::string::npos; at = text.find("unet", text.find('\n', at)))
    found.push_back(at_line(file.path, line_of(text, at)) +
                    "names an architecture; models/ alone knows them (models/model.h)");
  return found;
}

}  // namespace ito
