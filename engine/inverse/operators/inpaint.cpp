// SPDX-License-Identifier: Apache-2.0
// Inpainting: the kept numbers of the image, one after the other in planes (C, H, W), so that missing ones have no
// place in the measurement and bring it no noise. H^T puts them back, zeros elsewhere, and is the pseudo-inverse.
#include <algorithm>
#include <cmath>

#include "engine/data/order.h"
#include "engine/inverse/operators/pixel_spectrum.h"
#include "engine/io/safetensors.h"
#include "kernels/inverse/gather.h"

namespace ito {
namespace {

class Inpaint : public MeasurementOperator {
 public:
  // kept: the places of the kept numbers in (H, W, C), in the measurement's order.
  Inpaint(const ImageShape& image, std::vector<int32_t> kept)
      : MeasurementOperator(image, {1, 1, static_cast<int>(kept.size())}),
        kept_(std::move(kept)),
        spectrum_(values(image, kept_)) {}
  void plan(int, BufferList& buffers) override {
    buffers.add(kept_on_device_, kept_.size(), "a mask");
    buffers.add(source_, static_cast<size_t>(image().size()), "a mask");
  }
  void prepare(Stream& stream) override {
    kept_on_device_.upload(stream, kept_.data());
    std::vector<int32_t> source(static_cast<size_t>(image().size()), -1);
    for (size_t k = 0; k < kept_.size(); ++k) source[static_cast<size_t>(kept_[k])] = static_cast<int32_t>(k);
    source_.upload(stream, source.data());
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    gather(stream, y, x, kept_on_device_.data(), n, measurements(), image().size());
  }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    gather(stream, x, r, source_.data(), n, image().size(), measurements());
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override { adjoint(stream, x, y, nullptr, n); }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  static std::vector<double> values(const ImageShape& image, const std::vector<int32_t>& kept) {
    std::vector<double> of_pixels(static_cast<size_t>(image.size()), 0.0);
    for (const int32_t at : kept) of_pixels[static_cast<size_t>(at)] = 1;
    return of_pixels;
  }

  std::vector<int32_t> kept_;
  PixelSpectrum spectrum_;
  DeviceBuffer<int32_t> kept_on_device_, source_;
};

// 1 where a number is kept; (C, H, W).
using Mask = std::vector<uint8_t>;

std::unique_ptr<MeasurementOperator> of_mask(const ImageShape& image, const std::string& text, const Mask& mask) {
  std::vector<int32_t> kept;
  for (int c = 0; c < image.channels; ++c)
    for (int64_t p = 0; p < image.pixels(); ++p)
      if (mask[static_cast<size_t>(c * image.pixels() + p)])
        kept.push_back(static_cast<int32_t>(p * image.channels + c));
  ITO_USER_CHECK(!kept.empty(), text, ": keeps nothing of the image; a mask is 1 where a pixel is kept");
  return std::make_unique<Inpaint>(image, std::move(kept));
}

// Of pixels, for all channels alike.
Mask of_pixels(const ImageShape& image, const std::vector<uint8_t>& pixels) {
  Mask mask;
  for (int c = 0; c < image.channels; ++c) mask.insert(mask.end(), pixels.begin(), pixels.end());
  return mask;
}

// A square in the middle is missing, a part of the sides long.
Mask box(const ImageShape& image, const std::string& text, const std::string& args) {
  const std::vector<double> numbers = operator_numbers(text, args, 0, 1,
                                                       "inpaint:box or inpaint:box:SIDE, the missing "
                                                       "square's part of the sides, 0.5 by default");
  const double side = numbers.empty() ? 0.5 : numbers[0];
  ITO_USER_CHECK(side > 0 && side < 1, text, ": a square of ", side, " of the sides; expected a part between 0 and 1");
  const auto missing = [&](int at, int size) {
    const int width = std::max(1, static_cast<int>(std::lround(side * size))), first = (size - width) / 2;
    return at >= first && at < first + width;
  };
  std::vector<uint8_t> pixels;
  for (int row = 0; row < image.height; ++row)
    for (int column = 0; column < image.width; ++column)
      pixels.push_back(!missing(row, image.height) || !missing(column, image.width));
  return of_pixels(image, pixels);
}

// A part of the pixels is kept, which ones by the seed.
Mask random(const ImageShape& image, const std::string& text, const std::string& args) {
  const std::vector<double> numbers = operator_numbers(
      text, args, 1, 2, "inpaint:random:KEPT or inpaint:random:KEPT,SEED, the part of the pixels kept");
  ITO_USER_CHECK(numbers[0] > 0 && numbers[0] <= 1, text, ": keeps ", numbers[0],
                 " of the pixels; expected a part above "
                 "0, up to 1");
  DataOrder order(operator_seed(text, numbers.size() > 1 ? numbers[1] : 0), image.pixels());
  std::vector<uint8_t> pixels(static_cast<size_t>(image.pixels()), 0);
  const auto kept = std::max<int64_t>(1, std::lround(numbers[0] * static_cast<double>(image.pixels())));
  for (int64_t i = 0; i < kept; ++i) pixels[static_cast<size_t>(order.index(i))] = 1;
  return of_pixels(image, pixels);
}

// Tensor `mask`: (H, W), (1, H, W) or (C, H, W), 1 where a number is kept.
Mask mask_of_file(const ImageShape& image, const std::string& text, const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("mask"), text, ": the file holds no tensor \"mask\"");
  const std::vector<float> values = file.read_f32("mask");
  for (const float v : values)
    ITO_USER_CHECK(v == 0 || v == 1, text, ": its mask holds ", v,
                   "; expected 1 where a number is kept and 0 elsewhere");
  std::vector<uint8_t> bytes(values.begin(), values.end());
  const int64_t count = static_cast<int64_t>(bytes.size());
  if (count == image.pixels()) return of_pixels(image, bytes);
  ITO_USER_CHECK(count == image.size(), text, ": its mask has ", count, " numbers; expected ", image.height, " x ",
                 image.width, ", or ", image.channels, " planes of that");
  return bytes;
}

std::unique_ptr<MeasurementOperator> make_inpaint(const ImageShape& image, const std::string& text,
                                                  const std::string& args) {
  const size_t colon = args.find(':');
  const std::string kind = args.substr(0, colon), rest = colon == std::string::npos ? "" : args.substr(colon + 1);
  ITO_USER_CHECK(!args.empty(), text, ": expected inpaint:FILE, inpaint:box or inpaint:random:KEPT");
  return of_mask(image, text,
                 kind == "box"      ? box(image, text, rest)
                 : kind == "random" ? random(image, text, rest)
                                    : mask_of_file(image, text, args));
}

}  // namespace

extern const OperatorKind kInpaintOperator;
const OperatorKind kInpaintOperator = {
    "inpaint",
    "inpaint:FILE|box[:SIDE]|random:KEPT[,SEED]  the numbers that a mask keeps (tensor `mask`, 1: kept); without a "
    "square in the middle; or that part of the pixels",
    make_inpaint};

}  // namespace ito
