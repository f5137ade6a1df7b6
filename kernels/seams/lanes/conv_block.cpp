// SPDX-License-Identifier: Apache-2.0
// Which blocks are one launch, and the one kernel that takes them: the tensor-core convolution of conv_sm80.h.
#include <algorithm>
#include <map>
#include <mutex>

#include "kernels/nn/concat.h"
#include "kernels/nn/pointwise.h"
#include "kernels/nn/resample.h"
#include "kernels/seams/lanes/choose.h"
#include "kernels/seams/lanes/conv_block_trial.h"
#include "kernels/seams/lanes/conv_choice.h"
#include "kernels/seams/lanes/tensor_conv.h"
#include "kernels/seams/lanes/tensor_conv_block.h"
#include "kernels/seams/lanes/tensor_kernels.h"
#include "kernels/seams/lanes/time_launches.h"
#include "kernels/seams/lanes/trial.h"

namespace ito {
namespace {

std::string text_of(const ConvBlockShape& s, DType type) {
  std::string text = "block of the " + text_of(ConvTask{s.conv, ConvDirection::Forward, type});
  if (s.upsampled) text += ", upsampled";
  if (s.shortcut_c) text += join_text(", shortcut of ", s.shortcut_c);
  if (s.shortcut_first_c) text += join_text(" in ", s.shortcut_first_c, " and ", s.shortcut_c - s.shortcut_first_c);
  return text;
}

std::string try_block(const ConvBlockShape& shape, DType type) {
  try {
    return try_conv_block(shape, type, *make_tensor_conv_block(shape, type));
  } catch (const RunnerRefused& error) {
    return error.what();
  }
}

// Without a line in the table. Tried once a shape.
bool is_one(const char* layer, const ConvBlockShape& shape, DType type) {
  if (!tensor_conv_block_takes(shape, type) || !tensor_kernels_allowed()) return false;
  if (choose_conv(layer, {shape.conv, ConvDirection::Forward, type})->name() != kSm80Conv.name) return false;
  static std::mutex mutex;
  static std::map<std::string, bool> tried;
  const std::lock_guard lock(mutex);
  const std::string key = text_of(shape, type);
  if (const auto at = tried.find(key); at != tried.end()) return at->second;
  const std::string trouble = try_block(shape, type);
  if (!trouble.empty()) warn("the ", key, " runs ", kBlockApart, "; refused: ", kSm80Conv.name, ": ", trouble);
  return tried[key] = trouble.empty();
}

// What runs apart beside the layers: seconds.
double time_copies(const ConvBlockShape& s, DType type, bool gradients, int n) {
  const ConvShape& c = s.conv;
  const size_t x_bytes = size_of(type) * n * x_elements(c), y_bytes = size_of(type) * n * y_elements(c),
               s_bytes = size_of(type) * n * x_elements(shortcut_of(s));
  Stream stream("trial of kernels");
  const DeviceBlock wide(std::max({x_bytes, y_bytes, s_bytes})), parts(std::max({x_bytes, y_bytes, s_bytes}));
  fill_bytes(stream, wide.data(), 0, std::max({x_bytes, y_bytes, s_bytes}));
  fill_bytes(stream, parts.data(), 0, std::max({x_bytes, y_bytes, s_bytes}));
  const int64_t rows = int64_t{n} * c.out_h() * c.out_w();
  const int ca = s.shortcut_first_c, cb = s.shortcut_c - ca;
  const DataRef whole(wide.data(), type), a(parts.data(), type),
      b(parts.at(size_of(type) * static_cast<size_t>(rows * ca)), type);
  return time_launches(stream, [&] {
    if (s.upsampled) upsample_nearest(stream, whole, a, n, c.h / 2, c.w / 2, c.c, c.h, c.w);
    if (ca) concat_channels(stream, whole, a, b, rows, ca, cb);
    if (!gradients) return;
    if (s.upsampled) upsample_nearest_backward(stream, a, Write::Set, whole, n, c.h / 2, c.w / 2, c.c, c.h, c.w);
    if (ca) split_channels(stream, a, Write::Set, b, Write::Set, whole, rows, ca, cb);
  });
}

// The sum of the fastest of each key.
double sum_of_fastest(const std::vector<KernelTiming>& timings) {
  std::map<std::string, double> fastest;
  for (const KernelTiming& timing : timings) {
    if (!timing.trouble.empty()) continue;
    const auto [at, first] = fastest.try_emplace(timing.key, timing.seconds);
    at->second = std::min(at->second, timing.seconds);
  }
  double sum = 0;
  for (const auto& [key, seconds] : fastest) sum += seconds;
  return sum;
}

}  // namespace

std::unique_ptr<ConvBlock> make_conv_block(const char* layer, const ConvBlockShape& shape, DType type) {
  check_conv_shape(layer, shape.conv);
  const std::string key = text_of(shape, type);
  const KernelTable& table = kernel_table();
  const std::string* said = table.choice(key);
  const bool one = said ? *said == kSm80Conv.name : is_one(layer, shape, type);
  if (said && (one ? !tensor_conv_block_takes(shape, type) : *said != kBlockApart)) {
    const std::string text = join_text(table.source, ": '", key, "' is to run on '", *said, "': there is none here");
    ITO_USER_CHECK(!table.binding, text, "; make a table on this machine");
    warn(text, "; it runs ", kBlockApart);
    return nullptr;
  }
  return one ? make_tensor_conv_block(shape, type) : nullptr;
}

KernelChoices conv_block_choices(const ConvBlockShape& shape, DType type, const ConvBlock* block) {
  if (!tensor_conv_block_takes(shape, type)) return {};
  return {{text_of(shape, type), block ? block->name() : kBlockApart}};
}

std::vector<KernelTiming> time_conv_block(const ConvBlockShape& shape, DType type, bool gradients, int n,
                                          const std::vector<KernelTiming>& parts) {
  if (!tensor_conv_block_takes(shape, type)) return {};
  const std::string key = text_of(shape, type);
  KernelTiming one{key, kSm80Conv.name, try_block(shape, type)};
  if (one.trouble.empty()) one.seconds = time_block(shape, type, *make_tensor_conv_block(shape, type), gradients, n);
  return {one, {key, kBlockApart, "", sum_of_fastest(parts) + time_copies(shape, type, gradients, n)}};
}

}  // namespace ito
