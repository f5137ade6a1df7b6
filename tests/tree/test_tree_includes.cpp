// SPDX-License-Identifier: Apache-2.0
// Include direction, device-library headers, plain headers and device conditionals: each rule on planted violations, on
// clean counterparts and on the tree.
#include "tests/tree/expect_rule.h"
#include "tests/tree/include_rules.h"

namespace ito {
namespace {

FileRule cpp_only(Violations (*rule)(const SourceFile&)) {
  return [rule](const SourceFile& file) { return is_cpp(file.path) ? rule(file) : Violations{}; };
}

const FileRule kDirection = cpp_only(check_include_direction);
const FileRule kLaunches = cpp_only(check_launches_nothing);
const FileRule kLibraries = cpp_only(check_device_library_headers);
const FileRule kPlain = cpp_only(check_plain_header);
const FileRule kArchitecture = cpp_only(check_no_architecture);
const FileRule kConditional = cpp_only(check_no_device_conditional);

std::string including(const std::string& target) {
  return "#include \"" + target + "\"\n";
}

TEST(IncludeDirection, UpwardIsRefused) {
  for (const auto& [path, target] :
       std::vector<std::pair<std::string, std::string>>{{"kernels/nn/conv.cu", "engine/program/program.h"},
                                                        {"kernels/seams/cpu/gemm.cpp", "models/unet/unet.h"},
                                                        {"engine/training/trainer.cpp", "models/unet/unet.h"},
                                                        {"engine/training/trainer.cpp", "tools/train.h"},
                                                        {"engine/program/program.h", "tests/ref/conv.h"},
                                                        {"models/unet/unet.cpp", "tools/train.h"},
                                                        {"tools/commands/train.cpp", "tests/ref/conv.h"},
                                                        {"tools/commands/bench/kernels.cpp", "tests/ref/conv.h"}})
    expect_refused(kDirection, path, including(target));
}

TEST(IncludeDirection, TheInsideOfKernelsIsRefused) {
  for (const char* path : {"engine/program/program.cpp", "models/unet/unet.cpp", "tools/commands/train.cpp"})
    for (const char* target :
         {"kernels/dialect/math.h", "kernels/dialect/sim/executor.h", "kernels/seams/host/stream.h",
          "kernels/seams/cpu/onednn.h", "kernels/nn/rows.cuh", "dialect.h"})
      expect_refused(kDirection, path, including(target));
}

TEST(IncludeDirection, HoppersWordsInOtherFilesAreRefused) {
  for (const char* path :
       {"kernels/nn/conv.cu", "kernels/nn/conv_sm80.cu", "kernels/nn/rows.cuh", "engine/ops/conv2d.cpp"})
    expect_refused(kDirection, path, including("hopper.h"));
}

TEST(IncludeDirection, FormatsKnowNoDevice) {
  for (const char* path : {"engine/io/image.cpp", "engine/data/dataset.h"})
    for (const char* target :
         {"kernels/seams/device.h", "kernels/nn/conv.h", "engine/program/program.h", "engine/diffusion/schedule.h"})
      expect_refused(kDirection, path, including(target));
}

TEST(IncludeDirection, PathsStartAtTheRoot) {
  expect_refused(kDirection, "engine/training/trainer.cpp", including("trainer.h"));
  expect_refused(kDirection, "kernels/nn/conv.cu", including("../types.h"));
}

TEST(IncludeDirection, DownwardIsAccepted) {
  for (const auto& [path, target] : std::vector<std::pair<std::string, std::string>>{
           {"kernels/nn/conv.cu", "dialect.h"},
           {"kernels/nn/conv_sm90.cu", "hopper.h"},
           {"tests/only/lanes/test_words_sm90.cpp", "hopper.h"},
           {"kernels/nn/conv.cu", "kernels/nn/rows.cuh"},
           {"kernels/seams/cpu/conv.cpp", "kernels/seams/cpu/onednn.h"},
           {"engine/io/image.cpp", "kernels/error.h"},
           {"engine/data/order.cpp", "kernels/random/philox.h"},
           {"engine/data/dataset.h", "engine/io/image.h"},
           {"engine/training/trainer.cpp", "engine/data/dataset.h"},
           {"engine/training/trainer.cpp", "kernels/seams/device.h"},
           {"engine/ops/conv2d.cpp", "kernels/nn/conv.h"},
           {"models/unet/unet.cpp", "engine/program/program.h"},
           {"tools/commands/train.cpp", "models/unet/unet.h"},
           {"tools/commands/bench/kernels.cpp", "tests/cases/conv.h"},
           {"tests/kernels/nn/test_conv.cpp", "dialect.h"},
           {"tests/only/sim/test_executor.cpp", "kernels/dialect/sim/executor.h"}})
    expect_accepted(kDirection, path, including(target));
  expect_accepted(kDirection, "engine/training/trainer.cpp",
                  "// #include \"models/unet/unet.h\"\nconst char* s = \"#include \\\"models/unet/unet.h\\\"\";\n"
                  "/*\n#include \"models/unet/unet.h\"\n*/\n#include <vector>\n");
}

TEST(IncludeDirection, HoldsInTheTree) {
  expect_tree_accepted(kDirection);
}

TEST(SamplersAndLevels, LaunchingIsRefused) {
  for (const char* path : {"engine/samplers/ddpm.cpp", "engine/diffusion/levels.h"}) {
    for (const char* target : {"kernels/diffusion/noising.h", "kernels/nn/pointwise.h", "kernels/seams/device.h",
                               "kernels/diffusion/pack.h"})
      expect_refused(kLaunches, path, including(target));
    expect_refused(kLaunches, path, "void f(Stream& stream);\n");
  }
}

TEST(SamplersAndLevels, RowsAndArithmeticAreAccepted) {
  for (const char* target : {"kernels/diffusion/reverse_row.h", "kernels/error.h", "kernels/types.h",
                             "kernels/random/philox.h", "engine/diffusion/levels.h"})
    expect_accepted(kLaunches, "engine/samplers/ddpm.cpp", including(target));
  expect_accepted(kLaunches, "engine/samplers/ddpm.cpp", "// on a Stream\nint upstream;\n");
  expect_accepted(kLaunches, "engine/reverse/row_loop.cpp", including("kernels/diffusion/noising.h"));
}

TEST(SamplersAndLevels, HoldsInTheTree) {
  expect_tree_accepted(kLaunches);
}

TEST(DeviceLibraryHeaders, AreRefusedOutsideTheSeams) {
  for (const char* header :
       {"cuda_runtime.h", "cuda.h", "cudnn_frontend.h", "cublasLt.h", "cufft.h", "nccl.h", "dnnl.hpp",
        "oneapi/dnnl/dnnl.hpp", "mpi.h", "omp.h", "nvtx3/nvToolsExt.h", "nvToolsExt.h"})
    for (const char* path : {"engine/program/program.cpp", "models/unet/unet.h", "tools/commands/train.cpp",
                             "tests/kernels/nn/test_conv.cpp", "kernels/nn/conv.cu", "kernels/types.h",
                             "kernels/seams/device.h", "kernels/dialect/cpu/dialect.h", "kernels/dialect/math.h"})
      expect_refused(kLibraries, path, std::string("#include <") + header + ">\n");
}

TEST(DeviceLibraryHeaders, AreAcceptedWhereTheyBelong) {
  expect_accepted(kLibraries, "kernels/seams/cpu/onednn.h", "#include <dnnl.hpp>\n#include <omp.h>\n");
  expect_accepted(kLibraries, "kernels/seams/cuda/stream.h", "#include <cuda_runtime_api.h>\n");
  expect_accepted(kLibraries, "kernels/dialect/cuda/dialect.h", "#include <cuda_bf16.h>\n");
  expect_accepted(kLibraries, "tests/only/cuda/test_library.cpp", "#include <cudnn_backend.h>\n");
  expect_accepted(kLibraries, "engine/program/program.cpp",
                  "// #include <omp.h>\n#include <map>\n#include \"kernels/seams/device.h\"\n");
}

TEST(DeviceLibraryHeaders, HoldsInTheTree) {
  expect_tree_accepted(kLibraries);
}

TEST(PlainHeaders, WordsOfTheDialectAreRefused) {
  for (const char* path : {"kernels/types.h", "kernels/seams/device.h", "kernels/nn/conv.h", "kernels/optim/adamw.h"})
    for (const char* text :
         {"DEVICE float half(float x);\n", "KERNEL void k();\n", "inline int lanes() { return WARP; }\n",
          "#ifdef __CUDACC__\n#endif\n", "__device__ float x;\n", "inline void f() { block_sync(); }\n",
          "#include \"dialect.h\"\n", "#include \"kernels/dialect/math.h\"\n", "#include \"kernels/nn/rows.cuh\"\n",
          "#include \"kernels/seams/host/stream.h\"\n"})
      expect_refused(kPlain, path, text);
}

TEST(PlainHeaders, PlainTextIsAccepted) {
  const char* text =
      "// A WARP of the DEVICE; no __CUDACC__.\n#include \"kernels/types.h\"\n"
      "inline const char* s = \"KERNEL\";\nvoid conv(int devices, int warps);\n";
  expect_accepted(kPlain, "kernels/nn/conv.h", text);
  expect_accepted(kPlain, "kernels/nn/rows.cuh", "DEVICE int f() { return WARP; }\n");
  expect_accepted(kPlain, "kernels/dialect/math.h", "DEVICE int f() { return 1; }\n");
  expect_accepted(kPlain, "kernels/seams/cuda/stream.h", "__device__ int x;\n");
}

TEST(PlainHeaders, HoldsInTheTree) {
  expect_tree_accepted(kPlain);
}

TEST(DeviceConditionals, AreRefusedAboveKernels) {
  for (const char* path : {"engine/program/program.cpp", "models/unet/unet.h", "tools/commands/train.cpp",
                           "tests/engine/program/test_program.cpp"})
    for (const char* text : {"#ifdef ITO_CUDA\n#endif\n", "#if defined(ITO_CPU)\n#endif\n",
                             "  #  ifndef ITO_SIM\n#endif\n", "#if X\n#elif defined(__CUDACC__)\n#endif\n"})
      expect_refused(kConditional, path, text);
}

TEST(DeviceConditionals, OtherConditionalsAreAccepted) {
  expect_accepted(
      kConditional, "engine/program/program.cpp",
      "#ifdef __SANITIZE_ADDRESS__\n#endif\n// #ifdef ITO_CUDA\nint ITO_CUDA = 1;\n#ifdef ITO_CPU_NAME\n#endif\n"
      "const char* s = \"#ifdef ITO_CUDA\";\n");
  expect_accepted(kConditional, "kernels/dialect/cuda/dialect.h", "#ifdef __CUDACC__\n#endif\n");
}

TEST(DeviceConditionals, HoldsInTheTree) {
  expect_tree_accepted(kConditional);
}

TEST(Architectures, AreNamedInModelsAlone) {
  for (const char* path : {"engine/checkpoint/directory.cpp", "tools/commands/train.cpp", "engine/program/network.h"})
    for (const char* text : {"UNetConfig config;\n", "const char* folder = \"unet\";\n", "// a UNet2DModel\n",
                             "#include \"models/unet/unet.h\"\n"})
      expect_refused(kArchitecture, path, text);
  for (const char* path : {"models/unet/unet.cpp", "tests/models/test_model.cpp"})
    expect_accepted(kArchitecture, path, "UNetConfig config;  // unet\n");
  expect_accepted(kArchitecture, "engine/checkpoint/directory.cpp", "run(network);  // any network\n");
}

TEST(Architectures, HoldsInTheTree) {
  expect_tree_accepted(kArchitecture);
}

}  // namespace
}  // namespace ito
