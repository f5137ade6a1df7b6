// SPDX-License-Identifier: Apache-2.0
// From a network to a program that holds nothing else.
#include "engine/program/network.h"

#include "kernels/error.h"

namespace ito {
namespace {

NetworkInputs add_inputs(Program& program, const Network& network) {
  const ProgramOptions& options = program.options();
  const ImageShape& image = network.image;
  NetworkInputs inputs;
  inputs.sample = program.input("sample", image.height, image.width, image.channels, options.compute,
                                options.mode == Mode::InputGradient);
  inputs.timestep = program.input("timestep", 1, 1, 1, DType::F32);
  if (network.labels == LabelKind::Index) inputs.labels = program.input("class_labels", 1, 1, 1, DType::I32);
  if (network.labels == LabelKind::Value)
    inputs.labels = program.input("class_labels", 1, 1, network.label_width, DType::F32);
  if (network.asks_level) inputs.level = program.input("level", 1, 1, kLevelWidth, DType::F32);
  return inputs;
}

}  // namespace

void check_timestep_count(const TimeDomain& time, const std::string& where, int timesteps) {
  ITO_USER_CHECK(time.rows == 0 || timesteps <= time.rows, where, ": ", time.why, ", but the noise schedule has ",
                 timesteps, " timesteps; make the two agree");
}

ParameterLayout parameters_of(const Network& network) {
  Program program({1, Mode::Inference, DType::F32});
  network.append(program, add_inputs(program, network));
  return program.declared();
}

NetworkInputs append_network(Program& program, const Network& network) {
  const NetworkInputs inputs = add_inputs(program, network);
  program.set_output(network.append(program, inputs));
  return inputs;
}

NetworkInputs plan_network(Program& program, const Network& network) {
  const NetworkInputs inputs = append_network(program, network);
  program.finish();
  return inputs;
}

}  // namespace ito
