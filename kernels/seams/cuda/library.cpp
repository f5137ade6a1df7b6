// SPDX-License-Identifier: Apache-2.0
// Opening the two libraries, and their symbol tables. A table is whole or absent: a library that lacks one function, or
// is of another major version than the headers, is not used.
#include "kernels/seams/cuda/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/types.h"

namespace ito::cuda {
namespace {

constexpr int kToolkitMajor = CUDART_VERSION / 1000;
// As in package names: 13-0.
std::string toolkit_version() {
  return join_text(kToolkitMajor, "-", CUDART_VERSION % 1000 / 10);
}

std::string cudnn_package() {
  return join_text("libcudnn", CUDNN_MAJOR, "-cuda-", kToolkitMajor);
}

template <class F>
bool load_function(void* library, const char* name, F& function, LibraryState& state) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (!function && state.error.empty()) state.error = join_text(state.title, " at ", state.path, " has no ", name);
  return function != nullptr;
}

std::vector<std::string> search_folders() {
  return library_folders(getenv("ITO_CUDA_HOME"), getenv("ITO_CUDA_LIBRARIES"));
}

void refuse_other_major(LibraryState& state, int wanted) {
  if (atoi(state.version.c_str()) != wanted)
    state.error = join_text(state.title, " at ", state.path, " is version ", state.version, ", expected ", wanted,
                            ".x, for which this program was compiled");
}

template <class Functions>
struct Loaded {
  Functions functions;
  LibraryState state;
};

Loaded<CublasLt> load_cublas_lt() {
  Loaded<CublasLt> loaded;
  LibraryState& state = loaded.state;
  state.title = "cuBLASLt";
  void* library = open_library(join_text("libcublasLt.so.", CUBLAS_VER_MAJOR).c_str(), search_folders(),
                               ("libcublas-" + toolkit_version()).c_str(), state);
  if (!library) return loaded;
  CublasLt& f = loaded.functions;
  bool whole = true;
#define ITO_LOAD(name) whole = load_function(library, #name, f.name, state) && whole;
  ITO_CUBLASLT_FUNCTIONS(ITO_LOAD)
#undef ITO_LOAD
  if (!whole) return loaded;
  state.version = dotted_version(f.cublasLtGetVersion(), 10000);
  refuse_other_major(state, CUBLAS_VER_MAJOR);
  return loaded;
}

Loaded<Cudnn> load_cudnn() {
  Loaded<Cudnn> loaded;
  LibraryState& state = loaded.state;
  state.title = "cuDNN";
  const std::vector<std::string> folders = search_folders();
  void* library = open_library(join_text("libcudnn.so.", CUDNN_MAJOR).c_str(), folders, cudnn_package().c_str(), state);
  if (!library) return loaded;
  Cudnn& f = loaded.functions;
  bool whole = true;
#define ITO_LOAD(name) whole = load_function(library, #name, f.name, state) && whole;
  ITO_CUDNN_FUNCTIONS(ITO_LOAD)
#undef ITO_LOAD
  if (!whole) return loaded;
  state.version = dotted_version(f.cudnnGetVersion(), 10000);
  refuse_other_major(state, CUDNN_MAJOR);
  refuse_other_cuda(state, f.cudnnGetCudartVersion());
  // Engines that are compiled at run time load the compiler by its plain name: it is then already there. Without it
  // those engines refuse, and others are chosen.
  LibraryState compiler;
  open_library(join_text("libnvrtc.so.", kToolkitMajor).c_str(), folders, ("cuda-nvrtc-" + toolkit_version()).c_str(),
               compiler);
  return loaded;
}

void warn_if_missing(const LibraryState& state, const char* instead) {
  if (!state.error.empty()) warn(state.error, "; ", instead);
}

const Loaded<CublasLt>& loaded_cublas_lt() {
  static const Loaded<CublasLt> loaded = load_cublas_lt();
  return loaded;
}
const Loaded<Cudnn>& loaded_cudnn() {
  static const Loaded<Cudnn> loaded = load_cudnn();
  return loaded;
}

std::string describe(const LibraryState& state) {
  if (!state.error.empty()) return state.title + ": not used: " + state.error + "\n";
  return join_text(state.title, " ", state.version, " ", state.path, portable_only() ? " (not used: " : "",
                   portable_only() ? "ITO_PORTABLE_KERNELS=1)" : "", "\n");
}

}  // namespace

bool portable_only() {
  static const bool only = [] {
    const char* value = getenv("ITO_PORTABLE_KERNELS");
    return value && strcmp(value, "1") == 0;
  }();
  return only;
}

const CublasLt* cublas_lt() {
  if (portable_only()) return nullptr;
  const Loaded<CublasLt>& loaded = loaded_cublas_lt();
  static const bool warned =
      (warn_if_missing(loaded.state, "matrix products use the portable kernel, which is slower"), true);
  return warned && loaded.state.error.empty() ? &loaded.functions : nullptr;
}

const Cudnn* cudnn() {
  if (portable_only()) return nullptr;
  const Loaded<Cudnn>& loaded = loaded_cudnn();
  static const bool warned =
      (warn_if_missing(loaded.state, "convolutions use the portable kernels, which use no tensor cores"), true);
  return warned && loaded.state.error.empty() ? &loaded.functions : nullptr;
}

LibraryState cublas_lt_state() {
  return loaded_cublas_lt().state;
}
LibraryState cudnn_state() {
  return loaded_cudnn().state;
}

std::string describe_libraries() {
  return describe(cudnn_state()) + describe(cublas_lt_state());
}

std::string library_versions() {
  const auto used = [](const void* functions, const LibraryState& state) {
    return state.title + " " + (functions ? state.version : "none");
  };
  return used(cudnn(), cudnn_state()) + ", " + used(cublas_lt(), cublas_lt_state());
}

std::vector<std::string> library_folders(const char* cuda_home, const char* extra_folders) {
  const std::string home = cuda_home && *cuda_home ? cuda_home : "/usr/local/cuda";
  std::vector<std::string> folders = {home + "/lib64", home + "/lib", home + "/targets/x86_64-linux/lib"};
  std::string list = extra_folders ? extra_folders : "";
  while (!list.empty()) {
    const size_t end = std::min(list.find(':'), list.size());
    if (end > 0) folders.push_back(list.substr(0, end));
    list.erase(0, end + 1);
  }
  return folders;
}

void* open_library(const char* soname, const std::vector<std::string>& folders, const char* packages,
                   LibraryState& state) {
  std::vector<std::string> names = {soname};
  for (const std::string& folder : folders) names.push_back(folder + "/" + soname);
  std::string found_but;  // a file that is there and does not load says more than one that is not there
  for (const std::string& name : names) {
    if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      state.path = name;
      state.error.clear();
      char path[4096];
      if (dlinfo(library, RTLD_DI_ORIGIN, path) == 0) state.path = std::string(path) + "/" + soname;
      return library;
    }
    const char* why = dlerror();
    if (why && !strstr(why, "No such file")) found_but = why;
  }
  state.error =
      found_but.empty()
          ? join_text(state.title.empty() ? soname : state.title.c_str(), " (", soname,
                      ") was not found: install the package ", packages, ", or give its folder in ITO_CUDA_LIBRARIES")
          : join_text(state.title.empty() ? soname : state.title.c_str(), " (", soname, ") does not load: ", found_but);
  return nullptr;
}

void refuse_other_cuda(LibraryState& state, size_t cudart_version) {
  if (cudart_version / 1000 == kToolkitMajor || !state.error.empty()) return;
  state.error = join_text(state.title, " ", state.version, " at ", state.path, " is a build for CUDA ",
                          cudart_version / 1000, ", expected one for CUDA ", kToolkitMajor, ": install the package ",
                          cudnn_package(), ", or give its folder first in LD_LIBRARY_PATH");
}

std::string dotted_version(size_t version, size_t major_unit) {
  return join_text(version / major_unit, ".", version % major_unit / 100, ".", version % 100);
}

}  // namespace ito::cuda
