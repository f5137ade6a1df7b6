// SPDX-License-Identifier: Apache-2.0
// Inception-v3 (Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision"), as TensorFlow
// published it in December 2015: the network that FID is defined by (Heusel et al. 2017, "GANs Trained by a Two
// Time-Scale Update Rule Converge to a Local Nash Equilibrium"). The feature is the mean over the last 8 x 8 pixels.
// Read from safetensors under the names that its PyTorch ports have; sizes are the tensors', and what stands behind the
// feature (fc) or beside it (AuxLogits) is not looked at. Of the three usual mistakes:
//   weights: those of 2015, which are others than the ones that came with torchvision; nor is it torchvision's network:
//     means of a window do not count what lies outside of the image, and the last block takes the largest of a window
//     where the block before it, like all others, takes the mean;
//   resize: the graph does it itself, on floats: bilinear from 0 on, pixel i at i H / 299, which is neither the middle
//     of it (as PyTorch's interpolate and Pillow have it) nor antialiased (as Pillow and clean-fid have it);
//   rounding: levels of 8 bits go in, (x - 128) / 128, and nothing is rounded after the resize.
#include <algorithm>
#include <cmath>

#include "engine/evaluate/feature_network.h"
#include "engine/io/safetensors.h"
#include "engine/ops/ops.h"
#include "engine/program/device_buffer.h"
#include "engine/program/memory_check.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int kSide = 299;
constexpr int64_t kBatch = 16, kMostChannels = 1 << 14;
constexpr double kNormEps = 1e-3;

// A convolution by its name within a block.
struct Filter {
  const char* name;
  int r, s, stride = 1;
  bool padded = true;  // so that at stride 1 an image keeps its size
};
constexpr Filter valid(const char* name, int side, int stride) {
  return {name, side, side, stride, false};
}

using Pool = Value (*)(Program&, const std::string&, Value, const WindowOptions&);

// The network's pieces, appended to a program. Names are the file's; a batch norm is part of its convolution.
class Builder {
 public:
  Builder(Program& program, const SafetensorsFile& file) : p_(program), file_(file) {}

  // Convolutions one behind the other, each with its batch norm and ReLU.
  Value chain(const std::string& path, Value x, std::initializer_list<Filter> filters) {
    for (const Filter& filter : filters) {
      const std::string name = path + filter.name;
      Conv2dOptions options;
      options.r = filter.r, options.s = filter.s, options.stride = filter.stride;
      options.k = channels_made(name, p_.info(x).c, filter);
      options.pad_top = options.pad_bottom = filter.padded ? filter.r / 2 : 0;
      options.pad_left = options.pad_right = filter.padded ? filter.s / 2 : 0;
      x = relu(p_, name + ".relu", conv2d(p_, name, x, options));
    }
    return x;
  }
  Value halved(const std::string& path, Value x) { return window_max(p_, path + "max", x, {.size = 3, .stride = 2}); }
  Value around(const std::string& path, Value x, Pool pool) {
    return pool(p_, path + "pool", x, {.size = 3, .pad = 1});
  }
  Value joined(const std::string& path, const std::vector<Value>& parts) {
    Value all = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) all = concat_channels(p_, join_text(path, "joined.", i), all, parts[i]);
    return all;
  }

 private:
  int channels_made(const std::string& layer, int c, const Filter& f) const {
    const std::string name = layer + ".conv.weight";
    const std::vector<int64_t>& shape = file_.entry(name).shape;
    ITO_USER_CHECK(shape.size() == 4 && shape[0] >= 1 && shape[0] <= kMostChannels && shape[1] == c &&
                       shape[2] == f.r && shape[3] == f.s,
                   file_.path(), ": ", name, " has the shape ", shape_text(shape), "; expected (K, ", c, ", ", f.r,
                   ", ", f.s, ") of Inception-v3");
    return static_cast<int>(shape[0]);
  }

  Program& p_;
  const SafetensorsFile& file_;
};

// Blocks by the side of their images; the paper's figures 5, 6 and 7, and those that halve it between them.
Value block_35(Builder& b, const std::string& at, Value x) {
  return b.joined(
      at, {b.chain(at, x, {{"branch1x1", 1, 1}}), b.chain(at, x, {{"branch5x5_1", 1, 1}, {"branch5x5_2", 5, 5}}),
           b.chain(at, x, {{"branch3x3dbl_1", 1, 1}, {"branch3x3dbl_2", 3, 3}, {"branch3x3dbl_3", 3, 3}}),
           b.chain(at, b.around(at, x, window_mean), {{"branch_pool", 1, 1}})});
}

Value from_35_to_17(Builder& b, const std::string& at, Value x) {
  return b.joined(at,
                  {b.chain(at, x, {valid("branch3x3", 3, 2)}),
                   b.chain(at, x, {{"branch3x3dbl_1", 1, 1}, {"branch3x3dbl_2", 3, 3}, valid("branch3x3dbl_3", 3, 2)}),
                   b.halved(at, x)});
}

Value block_17(Builder& b, const std::string& at, Value x) {
  return b.joined(at, {b.chain(at, x, {{"branch1x1", 1, 1}}),
                       b.chain(at, x, {{"branch7x7_1", 1, 1}, {"branch7x7_2", 1, 7}, {"branch7x7_3", 7, 1}}),
                       b.chain(at, x,
                               {{"branch7x7dbl_1", 1, 1},
                                {"branch7x7dbl_2", 7, 1},
                                {"branch7x7dbl_3", 1, 7},
                                {"branch7x7dbl_4", 7, 1},
                                {"branch7x7dbl_5", 1, 7}}),
                       b.chain(at, b.around(at, x, window_mean), {{"branch_pool", 1, 1}})});
}

Value from_17_to_8(Builder& b, const std::string& at, Value x) {
  return b.joined(
      at,
      {b.chain(at, x, {{"branch3x3_1", 1, 1}, valid("branch3x3_2", 3, 2)}),
       b.chain(
           at, x,
           {{"branch7x7x3_1", 1, 1}, {"branch7x7x3_2", 1, 7}, {"branch7x7x3_3", 7, 1}, valid("branch7x7x3_4", 3, 2)}),
       b.halved(at, x)});
}

Value block_8(Builder& b, const std::string& at, Value x, Pool pool) {
  const Value whole = b.chain(at, x, {{"branch1x1", 1, 1}}), once = b.chain(at, x, {{"branch3x3_1", 1, 1}}),
              twice = b.chain(at, x, {{"branch3x3dbl_1", 1, 1}, {"branch3x3dbl_2", 3, 3}});
  return b.joined(at, {whole, b.chain(at, once, {{"branch3x3_2a", 1, 3}}), b.chain(at, once, {{"branch3x3_2b", 3, 1}}),
                       b.chain(at, twice, {{"branch3x3dbl_3a", 1, 3}}), b.chain(at, twice, {{"branch3x3dbl_3b", 3, 1}}),
                       b.chain(at, b.around(at, x, pool), {{"branch_pool", 1, 1}})});
}

// Returns the image's value; the output is (N, 1, 1, width).
Value append_inception(Program& p, const SafetensorsFile& file) {
  Builder b(p, file);
  const Value image = p.input("image", kSide, kSide, 3, DType::F32);
  Value x = b.chain("", image, {valid("Conv2d_1a_3x3", 3, 2), valid("Conv2d_2a_3x3", 3, 1), {"Conv2d_2b_3x3", 3, 3}});
  x = b.chain("", b.halved("first.", x), {{"Conv2d_3b_1x1", 1, 1}, valid("Conv2d_4a_3x3", 3, 1)});
  x = b.halved("second.", x);
  for (const char* at : {"Mixed_5b.", "Mixed_5c.", "Mixed_5d."}) x = block_35(b, at, x);
  x = from_35_to_17(b, "Mixed_6a.", x);
  for (const char* at : {"Mixed_6b.", "Mixed_6c.", "Mixed_6d.", "Mixed_6e."}) x = block_17(b, at, x);
  x = from_17_to_8(b, "Mixed_7a.", x);
  x = block_8(b, "Mixed_7b.", x, window_mean);
  x = block_8(b, "Mixed_7c.", x, window_max);
  p.set_output(window_mean(p, "features", x, {.size = p.info(x).h}));
  return image;
}

// What a layer's batch norm makes of its convolution's sum, a number a channel: scale * sum + shift.
struct Norm {
  std::vector<double> scale, shift;
};
Norm read_norm(const SafetensorsFile& file, const std::string& layer, int64_t k) {
  const auto read = [&](const char* kind) {
    const std::string name = layer + ".bn." + kind;
    file.check_shape(name, {k});
    return file.read_floats(name);
  };
  const std::vector<float> gamma = read("weight"), beta = read("bias"), mean = read("running_mean"),
                           variance = read("running_var");
  Norm norm;
  for (size_t i = 0; i < gamma.size(); ++i) {
    ITO_USER_CHECK(variance[i] >= 0, file.path(), ": ", layer, ".bn.running_var has a value of ", variance[i],
                   "; expected at least 0");
    norm.scale.push_back(gamma[i] / std::sqrt(variance[i] + kNormEps));
    norm.shift.push_back(beta[i] - norm.scale[i] * mean[i]);
  }
  return norm;
}

// The program's parameters: norm(W x) = (scale W) x + shift.
std::vector<float> read_weights(const SafetensorsFile& file, const ParameterLayout& layout) {
  std::vector<float> all(static_cast<size_t>(layout.arena_floats()));
  for (const Parameter& p : layout.all()) {
    const std::string layer = p.name.substr(0, p.name.rfind('.'));
    const Norm norm = read_norm(file, layer, p.shape[0]);
    std::vector<float> values(norm.shift.begin(), norm.shift.end());
    if (p.kind == ParameterKind::Convolution) {
      values = file.read_floats(layer + ".conv.weight");
      const size_t filter = values.size() / norm.scale.size();
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(values[i] * norm.scale[i / filter]);
    }
    from_file_layout(p, values, all.data());
  }
  return all;
}

// Where pixel i of kSide lies among `from`, in fp32 as TensorFlow's op has it: between two, the second so much.
struct Between {
  int low, high;
  float part;
  Between(int i, int from) {
    const float place = static_cast<float>(i) * (static_cast<float>(from) / kSide);
    low = static_cast<int>(place);
    high = std::min(low + 1, from - 1);
    part = place - static_cast<float>(low);
  }
};

// Appends the image as the network sees it, (kSide, kSide, 3).
void append_seen(const Image& image, std::vector<float>& seen) {
  for (int i = 0; i < kSide; ++i) {
    const Between row(i, image.height);
    for (int j = 0; j < kSide; ++j) {
      const Between column(j, image.width);
      for (int k = 0; k < 3; ++k) {
        const int c = image.channels == 1 ? 0 : k;
        const auto along = [&](int y) {
          const float left = image.at(y, column.low, c), right = image.at(y, column.high, c);
          return left + (right - left) * column.part;
        };
        const float top = along(row.low), bottom = along(row.high);
        seen.push_back((top + (bottom - top) * row.part - 128) / 128);
      }
    }
  }
}

class Inception : public FeatureNetwork {
 public:
  Inception(const std::string& path, size_t memory_limit)
      : file_(SafetensorsFile::open(path)), memory_limit_(memory_limit) {
    ITO_USER_CHECK(file_.has("Conv2d_1a_3x3.conv.weight"), path,
                   ": has no Conv2d_1a_3x3.conv.weight; expected Inception-v3's weights under the names of its PyTorch "
                   "ports");
    Program program({1, Mode::Inference, DType::F32});
    append_inception(program, file_);
    width_ = program.info(program.output()).c;
    weights_ = read_weights(file_, program.declared());
  }

  FeatureSet features(const std::vector<float>& images, const ImageShape& image) const override {
    const int64_t count = static_cast<int64_t>(images.size()) / image.size(), batch = std::min(kBatch, count);
    FeatureSet all{count, width_, {}, {}, {}};
    if (count == 0) return all;
    Program program({static_cast<int>(batch), Mode::Inference, DType::F32});
    const Value input = append_inception(program, file_);
    program.finish();
    check_memory("features by Inception-v3",
                 {{"network", program.plan().bytes()}, {"weights", weights_.size() * sizeof(float)}}, memory_limit_,
                 "free some memory");
    Stream stream("Inception-v3");
    DeviceBuffer<float> weights(weights_.size(), "Inception-v3's weights");
    weights.upload(stream, weights_.data());
    program.bind(weights.data(), nullptr);
    program.pack(stream);
    std::vector<float> seen, rows(static_cast<size_t>(batch * width_));
    for (int64_t first = 0; first < count; first += batch) {
      const int64_t n = std::min(batch, count - first);
      seen.clear();
      for (int64_t i = first; i < first + n; ++i) append_seen(rounded_image(images, image, i), seen);
      seen.resize(static_cast<size_t>(batch) * kSide * kSide * 3);
      copy_to_device(stream, program.data(input).as<float>(), seen.data(), seen.size() * sizeof(float));
      program.forward(stream);
      copy_to_host(stream, rows.data(), program.data(program.output()).as<float>(), rows.size() * sizeof(float));
      all.values.insert(all.values.end(), rows.begin(), rows.begin() + n * width_);
    }
    return all;
  }

  Json settings() const override {
    return {{"network", "Inception-v3"},
            {"weights", {{"file", file_.path()}, {"hash", hash_of_file(file_.path())}}},
            {"width", width_},
            {"resize", join_text("bilinear, not antialiased, pixel i at i H / ", kSide, ", to ", kSide, " x ", kSide)},
            {"rounding", "8 bits before the resize, none after it"}};
  }

 private:
  SafetensorsFile file_;  // kept for its tensors' sizes
  size_t memory_limit_;
  int width_ = 0;
  std::vector<float> weights_;
};

std::unique_ptr<FeatureNetwork> open_inception(const std::string& weights, size_t memory_limit) {
  return std::make_unique<Inception>(weights, memory_limit);
}

}  // namespace

extern const FeatureNetworkKind kInception;
const FeatureNetworkKind kInception = {
    "inception", "the last mean of the Inception-v3 that FID is defined by, from its safetensors (Heusel et al. 2017)",
    open_inception};

}  // namespace ito
