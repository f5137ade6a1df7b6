// SPDX-License-Identifier: Apache-2.0
// See latent_decoder.h. The last batch is filled up with what the one before left.
#include "models/latent_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/checkpoint/names.h"
#include "engine/checkpoint/weight_files.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/hash.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/program/memory_check.h"
#include "kernels/nn/pointwise.h"
#include "models/autoencoder_kl/decoder.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFolder = "vae";

}  // namespace

LatentDecoder LatentDecoder::open(const std::string& path) {
  const fs::path inside = fs::path(path) / kFolder;
  const fs::path folder = fs::is_directory(inside) ? inside : fs::path(path);
  const std::string config = (folder / kConfigFile).string();
  ITO_USER_CHECK(fs::is_regular_file(config), path, ": found neither ", kFolder, "/", kConfigFile, " nor ", kConfigFile,
                 "; expected a diffusers directory with an autoencoder, or its folder");
  LatentDecoder decoder;
  std::vector<std::string> warnings;
  const Json json = read_python_json_file(config);
  decoder.config_ = autoencoder_config_from_json(json, config, &warnings);
  for (const std::string& warning : warnings) warn(warning);
  const std::string file = find_weights(folder.string());
  ITO_USER_CHECK(!file.empty(), folder.string(), ": found no weights; expected ", kWeightsFile);
  const std::vector<float> weights =
      read_weights(file, decoder_parameters(decoder.config_), {"encoder.", "quant_conv."});
  const std::string said = json.dump();
  const uint64_t hash = hash_bytes(kHashStart, said.data(), said.size());
  decoder.fingerprint_ = fmt::format("{:016x}", hash_bytes(hash, weights.data(), weights.size() * sizeof(float)));
  decoder.weights_ = DeviceBuffer<float>(weights.size(), "weights of the decoder");
  Stream stream;
  decoder.weights_.upload(stream, weights.data());
  stream.synchronize();
  return decoder;
}

void LatentDecoder::decode(std::span<const float> codes, int h, int w, int batch, DType compute, size_t memory_limit,
                           const TakeDecoded& take) const {
  const int64_t row = int64_t{1} * h * w * channels(), side = side_factor();
  const int64_t out_row = h * side * w * side * image_channels(), count = static_cast<int64_t>(codes.size()) / row;
  ITO_CHECK(static_cast<int64_t>(codes.size()) == count * row && count > 0, "decode: ", codes.size(), " numbers for ",
            row, " an image");
  batch = static_cast<int>(std::min<int64_t>(batch, count));
  Program program({batch, Mode::Inference, compute});
  const Value input = program.input("codes", h, w, channels(), compute);
  program.set_output(append_decoder(program, config_, input));
  program.finish();
  const size_t staging_floats = static_cast<size_t>(batch * std::max(row, out_row));
  const size_t batch_bytes = saturated_product({sizeof(float), static_cast<size_t>(batch * out_row)});
  // A batch as it comes, and once more for whoever takes it.
  check_memory("decoding",
               {{"network", program.plan().bytes()},
                {"staging", 2 * sizeof(float) * staging_floats},
                {"images", 2 * batch_bytes}},
               memory_limit, "lower the batch");
  program.bind(weights_.data(), nullptr);
  Stream stream("decoder");
  program.pack(stream);
  std::vector<float> part(staging_floats);
  DeviceBuffer<float> staging(staging_floats, "staging");
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t n = std::min<int64_t>(batch, count - first);
    std::copy_n(codes.begin() + first * row, n * row, part.begin());
    copy_to_device(stream, staging.data(), part.data(), static_cast<size_t>(batch * row) * sizeof(float));
    convert(stream, program.data(input), staging.data(), batch * row);
    program.forward(stream);
    convert(stream, staging.data(), program.data(program.output()), batch * out_row);
    copy_to_host(stream, part.data(), staging.data(), static_cast<size_t>(batch * out_row) * sizeof(float));
    take(first, n, {part.begin(), part.begin() + n * out_row});
  }
}

}  // namespace ito
