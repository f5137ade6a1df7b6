// SPDX-License-Identifier: Apache-2.0
// ito decode: images of what a latent model has drawn, by the decoder of the autoencoder whose codes it was trained on.
// They go to OUT/parts by the batch, from where the same command goes on (parts_folder.h).
#include <atomic>
#include <filesystem>
#include <memory>

#include "engine/data/latent_scale.h"
#include "engine/data/load_dataset.h"
#include "engine/io/layout.h"
#include "engine/program/compute_type.h"
#include "kernels/seams/choices.h"
#include "kernels/seams/memory_limit.h"
#include "models/latent_decoder.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/output_folder.h"
#include "tools/commands/parts_folder.h"
#include "tools/commands/rank_work.h"
#include "tools/commands/sample/pictures.h"
#include "tools/terminal/messages.h"
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
  SampleFacts beside;
};

// Written beside the images as they are.
void read_labels(const SafetensorsFile& file, Codes& codes) {
  if (!file.has("labels")) return;
  const SafetensorsFile::Entry& entry = file.entry("labels");
  if (is_float(entry.type)) {
    Dataset data;
    data.count = static_cast<int>(codes.count);
    take_label_values(data, entry.shape, file.read_floats("labels"), file.path() + ": labels");
    codes.beside.values = std::move(data.label_values);
    codes.beside.label_width = data.label_width;
    return;
  }
  file.check_shape("labels", {codes.count});
  codes.beside.class_of = [labels = file.read_i64("labels")](int64_t i) { return labels[static_cast<size_t>(i)]; };
}

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
  read_labels(file, codes);
  return codes;
}

// All that the images depend on, save the codes and the decoder; `batch` and `threads` are none of it.
Json settings_of(const DecodeOptions& o, const LatentDecoder& decoder) {
  return {{"--precision", o.precision},
          {"choice of kernels", kernel_choices()},
          {"decoder", decoder.fingerprint()},
          {"samples", file_fact("--samples", o.samples).value}};
}

void write_results(const DecodeOptions& o, SampleFile& images, const PartsFolder& parts) {
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  write_grid(path(kGridFile), images, kMostPictured);
  if (o.npz) write_npz_samples(path(kNpzFile), images);
  images.put_in_place(path(kSamplesFile));
  parts.remove();
  print_result(path(kGridFile));
  print_result(path(kSamplesFile));
  if (o.npz) print_result(path(kNpzFile));
}

// Images there .. count-1, each batch to its place in the file.
void decode_rest(const DecodeOptions& o, const LatentDecoder& decoder, const Codes& codes, IndexRange there,
                 SampleFile& images, const PartsFolder& parts) {
  std::atomic<int64_t> done{there.count};
  Progress progress("decoding", codes.count, 1, "images", there.count);
  progress.watch([&done] { return done.load(); });
  const auto rest = std::span(codes.numbers).subspan(static_cast<size_t>(there.count * codes.shape.size()));
  decoder.decode(rest, codes.shape.height, codes.shape.width, o.batch, compute_type_of(o.precision, "--precision"),
                 device_memory_limit(), [&](int64_t, int64_t n, const std::vector<float>& decoded) {
                   images.write(there.count, n, decoded);
                   parts.extend(there, n);
                   done = there.count;
                 });
}

void run(const DecodeOptions& o) {
  check_batch(o.batch);
  check_threads(o.threads);
  compute_type_of(o.precision, "--precision");
  check_out_is_no_file(o.out);
  std::error_code none_there;
  ITO_USER_CHECK(!std::filesystem::equivalent(std::filesystem::path(o.out) / kSamplesFile, o.samples, none_there),
                 "--out ", o.out, ": its ", kSamplesFile, " is --samples ", o.samples, "; choose another folder");
  set_device_threads(o.threads);
  const LatentDecoder decoder = LatentDecoder::open(o.vae);
  const Codes codes = read_codes(o.samples, decoder.channels());
  const int factor = decoder.side_factor();
  PartsFolder parts(o.out, {.item = "images", .suffix = "", .files = {kSamplesFile}}, settings_of(o, decoder));
  SampleFile images(parts.path(kSamplesFile), codes.count,
                    {codes.shape.height * factor, codes.shape.width * factor, decoder.image_channels()}, codes.beside);
  parts.claim();
  std::vector<IndexRange> found;
  if (images.is_there()) found = parts.parts(codes.count);
  const IndexRange there = !found.empty() && found.front().first == 0 ? found.front() : IndexRange{0, 0};
  make_output_folder(o.out, kSamplesFile);
  parts.begin();
  try {
    if (there.count) {
      print_note(join_text("going on: ", there.count, " of ", codes.count, " images are there"));
    } else {
      parts.forget_parts();
      images.create();
    }
    images.open();
    if (there.count < codes.count) decode_rest(o, decoder, codes, there, images, parts);
  } catch (...) {
    if (parts.parts(codes.count).empty()) parts.remove();
    throw;
  }
  write_results(o, images, parts);
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
  command
      ->add_option("--out", o->out,
                   "folder for samples.png and samples.safetensors; a run that was ended goes on from its parts/")
      ->required();
  command->add_flag("--npz", o->npz, "also write samples.npz: arr_0, bytes (N, H, W, C), and the classes as arr_1");
  command->add_option("--batch", o->batch, "samples at a time");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->callback([o] { run(*o); });
}

}  // namespace ito
