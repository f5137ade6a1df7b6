// SPDX-License-Identifier: Apache-2.0
// How the engine sees a model: a value that appends itself to a program and returns its answer, and the facts around
// it. Nothing in it is finished, so that a network can be wrapped by another, or appended twice: parameters are shared
// by name. Models depend on the engine, not the other way round.
#pragma once
#include <functional>
#include <string>

#include "engine/io/layout.h"
#include "engine/program/program.h"

namespace ito {

enum class LabelKind : uint8_t { None, Index, Value };  // Index: class numbers (int32); Value: fp32 rows

// What a network reads of a batch of N.
struct NetworkInputs {
  Value sample;    // (N, H, W, C) in the program's compute type
  Value timestep;  // (N) fp32
  Value labels;    // Index: (N) int32; Value: (N, label_width) fp32; None: no value
  Value level;     // (N, 2) fp32, alpha and sigma: sample = alpha x0 + sigma eps; no value unless the network asks
};

// The timesteps that a network can be asked at.
struct TimeDomain {
  int rows = 0;           // of a table of timesteps: whole numbers 0 .. rows-1; 0: no table, any number
  bool positive = false;  // numbers above 0 only: the network takes the logarithm
  std::string why = {};   // what asks for it, for messages: a clause with its subject
};

struct Network {
  ImageShape image;  // of the sample
  int out_channels = 0;
  LabelKind labels = LabelKind::None;
  int classes = 0;  // of LabelKind::Index
  // Of LabelKind::Index, the label that says no class; -1: the last of the classes, where the network was taught one.
  int null_class = -1;
  int label_width = 1;  // of LabelKind::Value
  TimeDomain time;
  int no_class() const { return null_class >= 0 ? null_class : classes - 1; }
  int real_classes() const { return null_class >= 0 ? classes : classes - 1; }  // but for that one
  bool wide() const { return out_channels != image.channels; }  // a variance beside the answer, pixel by pixel
  bool asks_level = false;                                      // for the sample's alpha and sigma, as exact answers do
  // Whether the ops that it sets aside (Program::set_aside) count for nothing at a time: a call at it may leave them
  // out. None: no op is set aside.
  std::function<bool(float time)> aside_idle;
  // Appends the network's ops and returns the answer (N, H, W, out_channels). It makes no inputs and finishes nothing.
  std::function<Value(Program&, const NetworkInputs&)> append;
};

// UserError beginning with `where` if the network cannot be asked at all of the timesteps 0 .. timesteps-1: its table
// has fewer rows. (Whether it can be asked at 0 depends on who asks.)
void check_timestep_count(const TimeDomain& time, const std::string& where, int timesteps);

// Names and shapes alone: makes no layer, tries no library, takes no device memory.
ParameterLayout parameters_of(const Network& network);

// The inputs, the network, the answer as the output; not finished.
NetworkInputs append_network(Program& program, const Network& network);
// Makes the program a whole: the network's inputs for its N images, the network, the answer as its output, and
// finish(). The sample wants a gradient in Mode::InputGradient.
NetworkInputs plan_network(Program& program, const Network& network);

}  // namespace ito
