// SPDX-License-Identifier: Apache-2.0
// See denoiser.h: a network and its program, for inference or with the gradient of its input.
#include "engine/program/denoiser.h"

namespace ito {

Denoiser::Denoiser(const Network& network, int batch, DType compute, Gradient gradient, std::vector<float> times)
    : network_(network),
      program_({batch, gradient == Gradient::Input ? Mode::InputGradient : Mode::Inference, compute}),
      inputs_(append_network(program_, network_)),
      times_(std::move(times)) {
  if (!times_.empty()) lines_ = program_.split(inputs_.timestep, Program::Keep::Rest);
  program_.finish();
  if (lines_.empty()) return;
  of_times_.emplace(ProgramOptions{.n = static_cast<int>(times_.size()), .compute = compute});
  times_input_ = append_network(*of_times_, network_).timestep;
  tables_ = of_times_->split(times_input_, Program::Keep::RowsOfCause);
  of_times_->finish();
}

size_t Denoiser::planned_bytes() const {
  return program_.plan().bytes() + (of_times_ ? of_times_->plan().bytes() : 0) + lines_.size() * sizeof(TimeLine);
}

void Denoiser::bind(const float* weights) {
  program_.bind(weights, nullptr);
  if (!of_times_) return;
  of_times_->bind(weights, nullptr);
  copies_ = {lines_.size(), "places of rows of time"};
}

void Denoiser::pack(Stream& stream) {
  program_.pack(stream);
  if (!of_times_) return;
  std::vector<TimeLine> copies;
  for (size_t i = 0; i < lines_.size(); ++i)
    copies.push_back({program_.data(lines_[i]).as<float>(), of_times_->data(tables_[i]).as<float>(),
                      static_cast<int>(program_.info(lines_[i]).row())});
  copies_.upload(stream, copies.data());
  copy_to_device(stream, of_times_->data(times_input_).data, times_.data(), times_.size() * sizeof(float));
  of_times_->pack(stream);
  of_times_->forward(stream);
}

void Denoiser::take_time(Stream& stream, const int64_t* row) {
  if (of_times_) take_time_lines(stream, copies_.data(), static_cast<int>(copies_.count()), row, batch());
}

DataRef Denoiser::labels() const {
  return inputs_.labels ? program_.data(inputs_.labels) : DataRef();
}

}  // namespace ito
