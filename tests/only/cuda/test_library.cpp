// SPDX-License-Identifier: Apache-2.0
// Finding cuDNN and cuBLASLt, and what is said where they are not. Needs no GPU.
#include "kernels/seams/cuda/library.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernels/seams/cuda/nccl_library.h"

namespace ito::test {
namespace {

using namespace cuda;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Library, AMissingOneIsToldInOneLine) {
  LibraryState state;
  state.title = "libXY";
  EXPECT_EQ(open_library("libnot_there.so.7", {"/nowhere"}, "libnot-there7", state), nullptr);
  EXPECT_TRUE(state.path.empty());
  for (const char* part : {"libXY", "libnot_there.so.7", "install the package libnot-there7", "ITO_CUDA_LIBRARIES"})
    EXPECT_TRUE(has(state.error, part)) << part << " is not in: " << state.error;
  EXPECT_FALSE(has(state.error, "\n"));
}

TEST(Library, AFileThatDoesNotLoadIsNamed) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "ito_broken_library";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "libbroken.so.1") << "not a library";
  LibraryState state;
  EXPECT_EQ(open_library("libbroken.so.1", {"/nowhere", folder.string()}, "x", state), nullptr);
  EXPECT_TRUE(has(state.error, "does not load") && has(state.error, folder.string())) << state.error;
  std::filesystem::remove_all(folder);
}

TEST(Library, LooksInTheToolkitThenInTheGivenFolders) {
  using Folders = std::vector<std::string>;
  EXPECT_EQ(library_folders("/kit", "/one::/two:"),
            (Folders{"/kit/lib64", "/kit/lib", "/kit/targets/x86_64-linux/lib", "/one", "/two"}));
  EXPECT_EQ(library_folders(nullptr, nullptr),
            (Folders{"/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/usr/local/cuda/targets/x86_64-linux/lib"}));
  EXPECT_EQ(library_folders("", "")[0], "/usr/local/cuda/lib64");
}

TEST(Library, VersionsAreDotted) {
  EXPECT_EQ(dotted_version(91900, 10000), "9.19.0");
  EXPECT_EQ(dotted_version(130102, 10000), "13.1.2");
}

TEST(Library, ABuildForAnotherCudaIsRefused) {
  LibraryState state{"cuDNN", "/folder/libcudnn.so.9", "9.19.0", ""};
  refuse_other_cuda(state, CUDART_VERSION);
  EXPECT_EQ(state.error, "");
  refuse_other_cuda(state, 12090);
  for (const char* part : {"cuDNN 9.19.0 at /folder/libcudnn.so.9", "for CUDA 12, expected one for CUDA 13", "install"})
    EXPECT_TRUE(has(state.error, part)) << part << " is not in: " << state.error;
  EXPECT_FALSE(has(state.error, "\n"));
}

TEST(Library, NcclIsThereOrMissedInOneLine) {
  try {
    int version = 0;
    ASSERT_EQ(nccl().ncclGetVersion(&version), ncclSuccess);
    EXPECT_EQ(version / 10000, NCCL_MAJOR);
  } catch (const UserError& e) {
    const std::string text = e.what();
    for (const char* part : {"need NCCL: ", "libnccl.so.2", "install the package libnccl2"})
      EXPECT_TRUE(has(text, part)) << part << " is not in: " << text;
    EXPECT_FALSE(has(text, "\n")) << text;
  }
}

TEST(Library, TellsVersionAndPath) {
  const LibraryState dnn = cudnn_state(), blas = cublas_lt_state();
  for (const LibraryState& state : {dnn, blas}) {
    if (!state.error.empty()) GTEST_SKIP() << state.error;
    EXPECT_TRUE(std::filesystem::exists(state.path)) << state.path;
    EXPECT_TRUE(has(describe_libraries(), state.title + " " + state.version + " " + state.path))
        << describe_libraries();
  }
  ASSERT_NE(cudnn(), nullptr);
  ASSERT_NE(cublas_lt(), nullptr);
  EXPECT_EQ(dnn.version, dotted_version(cudnn()->cudnnGetVersion(), 10000));
  EXPECT_EQ(blas.version, dotted_version(cublas_lt()->cublasLtGetVersion(), 10000));
  EXPECT_EQ(library_versions(), "cuDNN " + dnn.version + ", cuBLASLt " + blas.version);
  EXPECT_EQ(atoi(dnn.version.c_str()), CUDNN_MAJOR);
  EXPECT_EQ(atoi(blas.version.c_str()), CUBLAS_VER_MAJOR);
  EXPECT_EQ(cudnn()->cudnnGetCudartVersion() / 1000, CUDART_VERSION / 1000);
}

TEST(LibraryDeathTest, PortableKernelsAreAskedFor) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("ITO_PORTABLE_KERNELS", "1", 1);
        exit(!cudnn() && !cublas_lt() && library_versions() == "cuDNN none, cuBLASLt none" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace ito::test
