// SPDX-License-Identifier: Apache-2.0
// DINOv2 (Oquab et al. 2023, "DINOv2: Learning Robust Visual Features without Supervision"): a vision transformer
// (Dosovitskiy et al. 2021) with scaled layers (Touvron et al. 2021), whose class token behind the last norm is the
// feature. With the weights of ViT-L/14 the Frechet distance of it is FD-DINOv2 (Stein et al. 2023, "Exposing flaws of
// generative model evaluation metrics"). Read from safetensors under the names of the original release or of
// transformers; sizes are the tensors'. Heads are 64 wide, as in every size of it.
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

constexpr int kSide = 224, kHeadWidth = 64;
constexpr int64_t kBatch = 16;
constexpr Normalisation kImageNet = {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
// What the release adds to the grid's side before it divides by the trained one.
constexpr double kGridOffset = 0.1;

struct Shape {
  int width = 0, patch = 0, hidden = 0, layers = 0;
  int grid() const { return kSide / patch; }
};

// The names of a layer's tensors, by release. {}: the layer's number.
struct Names {
  const char *first, *positions, *patch, *layer, *norm1, *q, *k, *v, *out, *scale1, *norm2, *up, *down, *scale2, *norm;
  bool joint;  // q, k and v are thirds of one tensor
};
constexpr Names kRelease = {"cls_token", "pos_embed", "patch_embed.proj", "blocks.", "norm1",   "attn.qkv", "attn.qkv",
                            "attn.qkv",  "attn.proj", "ls1.gamma",        "norm2",   "mlp.fc1", "mlp.fc2",  "ls2.gamma",
                            "norm",      true};
constexpr Names kTransformers = {"embeddings.cls_token",
                                 "embeddings.position_embeddings",
                                 "embeddings.patch_embeddings.projection",
                                 "encoder.layer.",
                                 "norm1",
                                 "attention.attention.query",
                                 "attention.attention.key",
                                 "attention.attention.value",
                                 "attention.output.dense",
                                 "layer_scale1.lambda1",
                                 "norm2",
                                 "mlp.fc1",
                                 "mlp.fc2",
                                 "layer_scale2.lambda1",
                                 "layernorm",
                                 false};

// One axis of cubic convolution with a = -3/4, edges repeated, as PyTorch's interpolate has it: which four of `from`
// numbers make number `i` at this many of them a step, and with what weights.
struct Cubic {
  int at[4];
  double weight[4];
};
Cubic cubic_at(int i, double step, int from) {
  constexpr double a = -0.75;
  const double place = (i + 0.5) * step - 0.5, whole = std::floor(place), t = place - whole;
  const auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  const auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  Cubic taps{{}, {far(t + 1), near(t), near(1 - t), far(2 - t)}};
  for (int k = 0; k < 4; ++k) taps.at[k] = std::clamp(static_cast<int>(whole) + k - 1, 0, from - 1);
  return taps;
}

// trained (from, from, c) -> (to, to, c).
std::vector<float> positions_on_grid(const std::vector<float>& trained, int from, int to, int c) {
  if (from == to) return trained;
  const double step = from / (to + kGridOffset);
  std::vector<float> table;
  for (int y = 0; y < to; ++y)
    for (int x = 0; x < to; ++x) {
      const Cubic row = cubic_at(y, step, from), column = cubic_at(x, step, from);
      for (int k = 0; k < c; ++k) {
        double sum = 0;
        for (int i = 0; i < 4; ++i)
          for (int j = 0; j < 4; ++j)
            sum += row.weight[i] * column.weight[j] *
                   trained[(static_cast<size_t>(row.at[i]) * static_cast<size_t>(from) +
                            static_cast<size_t>(column.at[j])) *
                               static_cast<size_t>(c) +
                           static_cast<size_t>(k)];
        table.push_back(static_cast<float>(sum));
      }
    }
  return table;
}

struct Values {
  Value image, nothing;  // nothing: rows of zeros, to which the first token is added
};

// Tokens behind the last norm, the class's first: (N, 1, 1 + grid^2, width).
Values append_dinov2(Program& p, const Shape& s, const std::vector<float>& table) {
  constexpr float kEps = 1e-6f;
  const auto linear = [&](const std::string& name, Value x, int k, Value residual = {}) {
    Conv2dOptions options = pointwise_options(k, true);
    options.residual = residual;
    return conv2d(p, name, x, options);
  };
  const auto norm = [&](const std::string& name, Value x) {
    return layer_norm(p, name, x, {.eps = kEps, .weight = true, .bias = true});
  };
  Values v;
  v.image = p.input("image", kSide, kSide, 3, DType::F32);
  v.nothing = p.input("nothing", 1, 1, s.width, DType::F32);
  Conv2dOptions embed = pointwise_options(s.width, false);
  embed.r = embed.s = embed.stride = s.patch;
  Value x = add_table(p, "positions", conv2d(p, "patch", v.image, embed), table);
  x = add_context(p, "first", x, v.nothing, 1);
  for (int i = 0; i < s.layers; ++i) {
    const std::string path = join_text("layers.", i, ".");
    Value h = norm(path + "norm1", x);
    const Value q = linear(path + "q", h, s.width), k = linear(path + "k", h, s.width),
                values = linear(path + "v", h, s.width);
    h = attention(p, path + "attention", q, k, values, s.width / kHeadWidth);
    x = linear(path + "out", h, s.width, x);
    h = gelu(p, path + "gelu", linear(path + "up", norm(path + "norm2", x), s.hidden), Gelu::Erf);
    x = linear(path + "down", h, s.width, x);
  }
  p.set_output(norm("norm", x));
  return v;
}

// Tensors of the file under the names of the program.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(SafetensorsFile::open(path)) {
    names_ = file_.has(std::string(kTransformers.patch) + ".weight") ? kTransformers : kRelease;
    const std::string patch = std::string(names_.patch) + ".weight";
    ITO_USER_CHECK(file_.has(patch) && file_.entry(patch).shape.size() == 4, path, ": has no ", patch,
                   "; expected DINOv2's weights as its release or transformers names them");
    const std::vector<int64_t> shape = file_.entry(patch).shape;
    shape_.width = static_cast<int>(shape[0]);
    shape_.patch = static_cast<int>(shape[2]);
    ITO_USER_CHECK(shape[0] >= kHeadWidth && shape[0] % kHeadWidth == 0 && shape[0] <= 1 << 14 && shape[1] == 3 &&
                       shape[2] == shape[3] && shape[2] >= 1 && shape[2] <= kSide && kSide % shape[2] == 0,
                   path, ": ", patch, " has the shape ", shape_text(shape), "; expected (a multiple of ", kHeadWidth,
                   ", 3, P, P) with P a divisor of ", kSide);
    for (const char* other : {"register_tokens", "embeddings.register_tokens"})
      ITO_USER_CHECK(!file_.has(other), path, ": has ", other, "; a DINOv2 with registers is not read");
    while (file_.has(layer(shape_.layers) + names_.norm1 + ".weight")) ++shape_.layers;
    const std::string up = layer(0) + names_.up + ".weight";
    ITO_USER_CHECK(shape_.layers > 0 && file_.has(up) && file_.entry(up).shape.size() == 2, path, ": has no ", up,
                   "; expected a DINOv2 of the sizes S, B or L");
    shape_.hidden = static_cast<int>(file_.entry(up).shape[0]);
    const std::string positions = names_.positions;
    ITO_USER_CHECK(file_.has(positions) && file_.entry(positions).shape.size() == 3, path, ": has no ", positions);
    trained_ = std::lround(std::sqrt(static_cast<double>(file_.entry(positions).shape[1] - 1)));
    file_.check_shape(positions, {1, trained_ * trained_ + 1, shape_.width});
    positions_ = file_.read_floats(positions);
  }

  const Shape& shape() const { return shape_; }
  std::vector<float> table() const {
    return positions_on_grid({positions_.begin() + shape_.width, positions_.end()}, static_cast<int>(trained_),
                             shape_.grid(), shape_.width);
  }
  std::vector<float> arena(const ParameterLayout& layout) const {
    std::vector<float> all(static_cast<size_t>(layout.arena_floats()));
    for (const Parameter& p : layout.all()) from_file_layout(p, read(p), all.data());
    return all;
  }

 private:
  std::string layer(int i) const { return join_text(names_.layer, i, "."); }

  std::vector<float> tensor(const std::string& name, const std::vector<int64_t>& shape) const {
    file_.check_shape(name, shape);
    return file_.read_floats(name);
  }

  std::vector<float> read(const Parameter& p) const {
    if (p.name == "first") {  // at the first position
      std::vector<float> token = tensor(names_.first, {1, 1, shape_.width});
      for (int k = 0; k < shape_.width; ++k) token[k] += positions_[k];
      return token;
    }
    const size_t dot = p.name.rfind('.');
    std::string path = p.name.substr(0, dot), kind = p.name.substr(dot);  // layers.3.q, .weight
    if (path == "patch") return tensor(names_.patch + kind, p.shape);
    if (path == "norm") return tensor(names_.norm + kind, p.shape);
    const size_t last = path.rfind('.');
    const std::string part = path.substr(last + 1),
                      place = names_.layer +
                              path.substr(std::string("layers.").size(), last + 1 - std::string("layers.").size());
    if (part == "norm1") return tensor(place + names_.norm1 + kind, p.shape);
    if (part == "norm2") return tensor(place + names_.norm2 + kind, p.shape);
    if (part == "up") return tensor(place + names_.up + kind, p.shape);
    if (part == "out") return scaled(tensor(place + names_.out + kind, p.shape), place + names_.scale1);
    if (part == "down") return scaled(tensor(place + names_.down + kind, p.shape), place + names_.scale2);
    const int number = part == "q" ? 0 : part == "k" ? 1 : 2;
    if (!names_.joint)
      return tensor(place + (number == 0 ? names_.q : number == 1 ? names_.k : names_.v) + kind, p.shape);
    std::vector<int64_t> shape = p.shape;
    shape[0] *= 3;
    const std::vector<float> all = tensor(place + names_.q + kind, shape);
    const auto third = static_cast<std::ptrdiff_t>(all.size() / 3);
    return {all.begin() + number * third, all.begin() + (number + 1) * third};
  }

  // gamma (W x + b) = (gamma W) x + gamma b.
  std::vector<float> scaled(std::vector<float> values, const std::string& name) const {
    const std::vector<float> gamma = tensor(name, {shape_.width});
    const size_t columns = values.size() / gamma.size();
    for (size_t i = 0; i < values.size(); ++i) values[i] *= gamma[i / columns];
    return values;
  }

  SafetensorsFile file_;
  Names names_ = kRelease;
  Shape shape_;
  int64_t trained_ = 0;  // side of the grid of the positions
  std::vector<float> positions_;
};

class Dinov2 : public FeatureNetwork {
 public:
  Dinov2(const std::string& path, size_t memory_limit) : path_(path), memory_limit_(memory_limit) {
    const Reader reader(path);
    shape_ = reader.shape();
    table_ = reader.table();
    Program program({1, Mode::Inference, DType::F32});
    append_dinov2(program, shape_, table_);
    weights_ = reader.arena(program.declared());
  }

  FeatureSet features(const std::vector<float>& images, const ImageShape& image) const override {
    const int64_t count = static_cast<int64_t>(images.size()) / image.size(), batch = std::min(kBatch, count);
    const int64_t tokens = 1 + int64_t{1} * shape_.grid() * shape_.grid();
    FeatureSet all{count, shape_.width, {}, {}, {}};
    if (count == 0) return all;
    Program program({static_cast<int>(batch), Mode::Inference, DType::F32});
    const Values values = append_dinov2(program, shape_, table_);
    program.finish();
    check_memory("features by DINOv2",
                 {{"network", program.plan().bytes()}, {"weights", weights_.size() * sizeof(float)}}, memory_limit_,
                 "take a smaller one");
    Stream stream("DINOv2");
    DeviceBuffer<float> weights(weights_.size(), "DINOv2's weights");
    weights.upload(stream, weights_.data());
    program.bind(weights.data(), nullptr);
    program.pack(stream);
    const std::vector<float> nothing(static_cast<size_t>(batch * shape_.width));
    std::vector<float> seen, rows(static_cast<size_t>(batch * tokens * shape_.width));
    for (int64_t first = 0; first < count; first += batch) {
      const int64_t n = std::min(batch, count - first);
      seen = seen_images(images, image, first, n, kSide, kImageNet);
      seen.resize(static_cast<size_t>(batch) * kSide * kSide * 3);
      copy_to_device(stream, program.data(values.image).as<float>(), seen.data(), seen.size() * sizeof(float));
      copy_to_device(stream, program.data(values.nothing).as<float>(), nothing.data(), nothing.size() * sizeof(float));
      program.forward(stream);
      copy_to_host(stream, rows.data(), program.data(program.output()).as<float>(), rows.size() * sizeof(float));
      for (int64_t i = 0; i < n; ++i) {
        const auto row = rows.begin() + i * tokens * shape_.width;
        all.values.insert(all.values.end(), row, row + shape_.width);
      }
    }
    return all;
  }

  Json settings() const override {
    return {{"network", "DINOv2"},
            {"weights", {{"file", path_}, {"hash", hash_of_file(path_)}}},
            {"width", shape_.width},
            {"layers", shape_.layers},
            {"resize", join_text("cubic, antialiased, to ", kSide, " x ", kSide)},
            {"rounding", "8 bits before the resize and after each axis of it"}};
  }

 private:
  std::string path_;
  size_t memory_limit_;
  Shape shape_;
  std::vector<float> table_, weights_;
};

std::unique_ptr<FeatureNetwork> open_dinov2(const std::string& weights, size_t memory_limit) {
  return std::make_unique<Dinov2>(weights, memory_limit);
}

}  // namespace

extern const FeatureNetworkKind kDinov2;
const FeatureNetworkKind kDinov2 = {
    "dinov2", "the class token of a DINOv2 of the sizes S, B or L, from its safetensors (Oquab et al. 2023)",
    open_dinov2};

}  // namespace ito
