// SPDX-License-Identifier: Apache-2.0
// ito decode: images of what a latent model has drawn, by the decoder of the autoencoder whose codes it was trained on.
#include <filesystem>
#include <memory>

#include "engine/data/latent_scale.h"
#include "engine/io/layout.h"
#include "engine/io/npz.h"
#include "engine/io/sample_grid.h"
#include "engine/program/compute_type.h"
#include "kernels/seams/memory_limit.h"
#include "models/latent_decoder.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/output_folder.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct DecodeOptions {
  std::string samples, vae, out, precision = "fp32";
  int batch = 4, threads = 0;
  bool npz = false;
};

constexpr const char *kSamplesFile = "samples.safetensors", *kGridFile = "samples.png", *kNpzFile = "samples.npz";
constexpr int64_t kMostPictured = 64;

// Codes (N, h, w, C), and what else stands in the file.
struct Codes {
  int64_t count = 0;
  ImageShape shape;
  std::vector<float> numbers;
  std::vector<int64_t> labels;
};

Codes read_codes(const std::string& path, int channels) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("samples"), path, ": has no tensor 'samples' of shape (N, C, h, w)");
  const std::vector<int64_t>& shape = file.entry("samples").shape;
  ITO_USER_CHECK(shape.size() == 4 && shape[0] > 0 && shape[1] == channels && shape[2] > 0 && shape[3] > 0 &&
                     shape[2] <= kMaxImageSide && shape[3] <= kMaxImageSide,
                 path, ": tensor 'samples' has the shape ", shape_text(shape), "; the decoder takes (N, ", channels,
                 ", h, w)");
  const std::optional<FileScale> scale = read_latent_scale(file, channels);
  ITO_USER_CHECK(scale, path,
                 ": has no tensor 'scale', so that it is not known what its samples are of the codes; add "
                 "it, or draw them with a model that was trained on latents");
  Codes codes;
  codes.count = shape[0];
  codes.shape = {static_cast<int>(shape[2]), static_cast<int>(shape[3]), channels};
  codes.numbers = to_interleaved(file.read_floats("samples"), codes.count, codes.shape);
  if (scale->applied)
    for (size_t i = 0; i < codes.numbers.size(); ++i)
      codes.numbers[i] = scale->scale.code(codes.numbers[i], i % static_cast<size_t>(channels));
  if (!file.has("labels")) return codes;
  file.check_shape("labels", {codes.count});
  codes.labels = file.read_i64("labels", true);
  return codes;
}

void write_images(const DecodeOptions& o, const Codes& codes, const std::vector<float>& images,
                  const ImageShape& shape) {
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  SafetensorsWriter writer;
  writer.add("samples", {codes.count, shape.channels, shape.height, shape.width},
             to_planar(images, codes.count, shape));
  if (!codes.labels.empty()) writer.add_i64("labels", {codes.count}, codes.labels);
  writer.write(path(kSamplesFile));
  const std::vector<uint8_t> bytes = to_bytes(images);
  write_png(path(kGridFile), sample_grid(bytes, std::min(codes.count, kMostPictured), shape));
  if (o.npz) {
    std::vector<NpzArray> arrays{
        {"arr_0", TensorType::U8, {codes.count, shape.height, shape.width, shape.channels}, bytes}};
    if (!codes.labels.empty())
      arrays.push_back(
          {"arr_1",
           TensorType::I64,
           {codes.count},
           {reinterpret_cast<const uint8_t*>(codes.labels.data()), codes.labels.size() * sizeof(int64_t)}});
    write_npz(path(kNpzFile), arrays);
  }
  print_result(path(kGridFile));
  print_result(path(kSamplesFile));
  if (o.npz) print_result(path(kNpzFile));
}

void run(const DecodeOptions& o) {
  check_batch(o.batch);
  check_threads(o.threads);
  const DType compute = compute_type_of(o.precision, "--precision");
  check_out_is_no_file(o.out);
  std::error_code none_there;
  ITO_USER_CHECK(!std::filesystem::equivalent(std::filesystem::path(o.out) / kSamplesFile, o.samples, none_there),
                 "--out ", o.out, ": its ", kSamplesFile, " is --samples ", o.samples, "; choose another folder");
  set_device_threads(o.threads);
  const LatentDecoder decoder = LatentDecoder::open(o.vae);
  const Codes codes = read_codes(o.samples, decoder.channels());
  const int factor = decoder.side_factor();
  const ImageShape image{codes.shape.height * factor, codes.shape.width * factor, decoder.image_channels()};
  std::atomic<int64_t> done{0};
  std::vector<float> images;
  {
    Progress progress("decoding", codes.count, 1, "images");
    progress.watch([&done] { return done.load(); });
    make_output_folder(o.out, kSamplesFile);
    images = decoder.decode(codes.numbers, codes.shape.height, codes.shape.width, o.batch, compute,
                            device_memory_limit(), &done);
  }
  write_images(o, codes, images, image);
}

}  // namespace

void add_decode_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("decode", "images of samples that are latents, by an autoencoder's decoder");
  auto o = std::make_shared<DecodeOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--samples", o->samples,
                   "safetensors file with `samples` (N, C, h, w) and `scale`, as sample writes it of a latent model")
      ->required();
  command->add_option("--vae", o->vae, "a diffusers directory with vae/ (AutoencoderKL), or that folder")->required();
  command->add_option("--out", o->out, "folder for samples.png and samples.safetensors")->required();
  command->add_flag("--npz", o->npz, "also write samples.npz: arr_0, bytes (N, H, W, C), and the classes as arr_1");
  command->add_option("--batch", o->batch, "samples at a time");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->callback([o] { run(*o); });
}

}  // namespace ito
