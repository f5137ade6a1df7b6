// SPDX-License-Identifier: Apache-2.0
// The vocabulary a model is written in: each function appends one op to the program and returns its output.
// x, y: activations (N, H, W, C); rows: (N, C) in fp32. `name` is the layer's path in parameter files.
// One op a file beside this one; each file holds the op's forward, its backward and what it saves.
#pragma once
#include <string>
#include <vector>

#include "engine/program/program.h"
#include "kernels/diffusion/guided_answer.h"
#include "kernels/diffusion/toy.h"
#include "kernels/nn/activations.h"

namespace ito {

// Where a new layer's weight begins; its bias begins with it as PyTorch's default has it (Uniform), else at zero.
struct Start {
  constexpr Start(Initial initial = Initial::Uniform, float scale = 1.0f) : initial(initial), scale(scale) {}
  Initial initial;
  float scale;  // of Initial::Normal
  Initial of_bias() const { return initial == Initial::Uniform ? initial : Initial::Zeros; }
};

struct Conv2dOptions {
  int k = 0;                     // output channels
  int r = 3, s = 3, stride = 1;  // rows and columns of a filter
  int pad_top = 1, pad_left = 1, pad_bottom = 1, pad_right = 1;
  Value residual = {};  // added to the result
  float scale = 1.0f;   // multiplies the sum
  bool linear = false;  // a 1x1 convolution stored as a linear layer (K, C)
  bool bias = true;
  Start start = {};
};
Conv2dOptions pointwise_options(int k, bool linear);  // 1x1 filters, no padding

// y = scale * (conv(x) + bias + residual). Parameters name.weight, name.bias (but for the last where there is none).
Value conv2d(Program& program, const std::string& name, Value x, const Conv2dOptions& options);

// One tensor, or two side by side along the channels that are not copied together.
struct Parts {
  Parts() = default;
  Parts(Value whole) : first(whole) {}
  Parts(Value left, Value right) : first(left), second(right) {}
  Value first, second;
};
// The two as parts, or joined where an op that takes parts could not read them so.
Parts side_by_side(Program& program, const std::string& name, Value left, Value right);
Value joined(Program& program, const std::string& name, const Parts& parts);  // as one tensor
int channels_of(const Program& program, const Parts& parts);

struct ConvBlockOptions {
  int k = 0;                       // output channels
  bool upsampled = false;          // x to twice its size before the convolution
  Parts shortcut = {};             // of a 1x1 convolution that is added to the result
  std::string shortcut_name = {};  // of its parameters
  float scale = 1.0f;              // multiplies the sum
};

// A 3x3 convolution with what stands before and beside it: y = scale * (conv(u) + bias + shortcut(s) + its bias).
// Parameters shortcut_name.weight, shortcut_name.bias, name.weight, name.bias.
Value conv_block(Program& program, const std::string& name, Value x, const ConvBlockOptions& options);

struct GroupNormOptions {
  int groups = 32;
  float eps = 1e-5f;
  bool silu = false;
  Value temb = {};         // rows (N, C), added to x before the norm
  Value scale_shift = {};  // rows (N, 2C), applied after it
};
// Parameters name.weight, name.bias.
Value group_norm(Program& program, const std::string& name, const Parts& x, const GroupNormOptions& options);

// softmax(q k^T / sqrt(D)) v over the pixels of an image, `heads` contiguous channel slices.
Value attention(Program& program, const std::string& name, Value q, Value k, Value v, int heads);

// rows -> rows: w f(x) + b, f SiLU or nothing. Parameters name.weight, name.bias.
Value linear_rows(Program& program, const std::string& name, Value x, int k, bool silu_input, Start start = {});

Value add(Program& program, const std::string& name, Value a, Value b, float scale = 1.0f);  // scale * (a + b)
Value affine(Program& program, const std::string& name, Value x, float a, float b);          // a x + b
Value silu(Program& program, const std::string& name, Value x);
Value divide_rows(Program& program, const std::string& name, Value x, Value t);              // x[n] / t[n]
Value dropout(Program& program, const std::string& name, Value x, float p, uint32_t layer);  // training only

Value concat_channels(Program& program, const std::string& name, Value a, Value b);
Value upsample_nearest(Program& program, const std::string& name, Value x);  // to twice the size
Value average_pool(Program& program, const std::string& name, Value x);      // 2x2, to half the size

// Of size x size windows, `stride` apart, that begin `pad` pixels outside the image; only its own pixels count.
struct WindowOptions {
  int size = 3, stride = 1, pad = 0;
};
// For inference: a window's gradient is not computed, and an x that wants one is refused.
Value window_max(Program& program, const std::string& name, Value x, const WindowOptions& options);
Value window_mean(Program& program, const std::string& name, Value x, const WindowOptions& options);

// The same two through the filter (1, 3, 3, 1) of both axes; even sizes to go down from.
Value fir_upsample(Program& program, const std::string& name, Value x);
Value fir_downsample(Program& program, const std::string& name, Value x);

// LayerNorm, or RMSNorm, over the channels of a token or of each of its heads: y = a (1 + scale) + shift with
// a = weight xhat + bias. Scale and shift are slices of an image's rows (N, W) that begin at these numbers; -1: absent.
struct LayerNormOptions {
  bool centred = true;  // RMSNorm: false
  float eps = 1e-6f;
  bool weight = false, bias = false;  // parameters name.weight, name.bias, as wide as what is normalised
  int heads = 1;
  Value rows = {};
  int scale_at = -1, shift_at = -1;
};
Value layer_norm(Program& program, const std::string& name, Value x, const LayerNormOptions& options);
// residual + gate y, the gate as many numbers of an image's rows (N, W) from gate_at on as y has channels.
Value gated_sum(Program& program, const std::string& name, Value residual, Value y, Value rows, int gate_at);

Value relu(Program& program, const std::string& name, Value x);
Value gelu(Program& program, const std::string& name, Value x, Gelu form);
// x = [a, b] by channels, or [b, a]: a silu(b), of half the channels.
Value gated_silu(Program& program, const std::string& name, Value x, bool gate_first);

// (N, H, W, C) to tokens (N, H / p, W / p, p p C), a token's numbers by row, column and channel, and back.
Value patchify(Program& program, const std::string& name, Value image, int p);
Value unpatchify(Program& program, const std::string& name, Value tokens, int p);
// The same table (H, W, C) added to every image.
Value add_table(Program& program, const std::string& name, Value x, std::vector<float> table);
// Neighbouring pairs of every head turned by the table (tokens, head width): cosine and sine of each pair.
Value rope(Program& program, const std::string& name, Value x, int heads, std::vector<float> table);
// x (N, H, W, C) as tokens behind `before` others, each the image's row (N, C) and its own row of the parameter `name`
// (before, C): (N, 1, before + H W, C). And the last H W of such tokens as (N, H, W, C).
Value add_context(Program& program, const std::string& name, Value x, Value row, int before);
Value drop_context(Program& program, const std::string& name, Value x, int h, int w);
// Tables. Sines, then cosines, of c / 4 frequencies 10000^(-4i / c) times the column, then of the row (Dosovitskiy et
// al. 2021 in two dimensions, as He et al. 2022 have them); a grid of another size than base_h x base_w is put on it.
std::vector<float> sine_positions(int h, int w, int c, int base_h, int base_w);
// Half of a head's pairs turn by the row, half by the column, with frequencies 10000^(-4i / head_dim) (Heo et al. 2024,
// axial); `before` tokens in front stand nowhere and are not turned.
std::vector<float> rope_table(int h, int w, int head_dim, int before);

// Timesteps t (N, fp32) -> features. Fourier owns the frozen parameter name.weight (C), learned the table name.weight.
Value sinusoidal_features(Program& program, const std::string& name, Value t, int c, float freq_shift, bool flip);
Value fourier_features(Program& program, const std::string& name, Value t, int c, float scale, bool flip);
Value learned_features(Program& program, const std::string& name, Value t, int rows, int c);
// index (N, int32) -> rows of the table name.weight (rows, D).
Value embedding(Program& program, const std::string& name, Value index, int rows, int d,
                Start start = {Initial::Normal});

// A Gaussian mixture of K components with diagonal covariances over an image's numbers (H, W, C).
struct MixtureConstants {
  std::vector<double> log_weights;       // (K)
  std::vector<double> means, variances;  // (K, H, W, C)
  std::vector<int32_t> classes = {};     // (K), each component's; empty: there are none
};
// The exact E[eps | sample] where sample = alpha x0 + sigma eps and x0 is of the mixture. level (N, 2): alpha, sigma.
// labels (N, int32), of a mixture with classes: the class that x0 is known to be of; a number that is no component's:
// nothing is known.
Value gaussian_mixture(Program& program, const std::string& name, Value sample, Value level, Value labels,
                       const MixtureConstants& constants);
// A network in closed form. at: timesteps (N), or where the form asks for it the level (N, 2).
Value toy(Program& program, const std::string& name, Value sample, Value at, ToyForm form);

// Class numbers (N, int32), all `label`, for as many images as labels has.
Value constant_labels(Program& program, const std::string& name, Value labels, int32_t label);
// main + (w - 1) (main - other) in the first `channels` channels, main in the others; w by the timesteps (N).
Value guided_answer(Program& program, const std::string& name, Value main, Value other, Value timestep, int channels,
                    const GuidanceWeight& weight);

}  // namespace ito
