// SPDX-License-Identifier: Apache-2.0
// See denoiser.h: a network and its program, for inference or with the gradient of its input.
#include "engine/program/denoiser.h"

#include <algorithm>
#include <bit>
#include <map>

namespace ito {

Denoiser::Denoiser(const Network& network, int batch, DType compute, Gradient gradient, const std::vector<float>& times)
    : network_(network),
      program_({batch, gradient == Gradient::Input ? Mode::InputGradient : Mode::Inference, compute}),
      inputs_(append_network(program_, network_)) {
  if (!times.empty()) lines_ = program_.split(inputs_.timestep, Program::Keep::Rest);
  program_.finish();
  if (lines_.empty()) return;
  std::map<uint32_t, int32_t> row_of;  // of a time's bits
  for (const float time : times) {
    const auto [at, first] = row_of.try_emplace(std::bit_cast<uint32_t>(time), static_cast<int32_t>(times_.size()));
    if (first) times_.push_back(time);
    row_of_calls_.push_back(at->second);
  }
  of_times_.emplace(ProgramOptions{.n = static_cast<int>(times_.size()), .compute = compute});
  times_input_ = append_network(*of_times_, network_).timestep;
  tables_ = of_times_->split(times_input_, Program::Keep::RowsOfCause);
  of_times_->finish();
}

size_t Denoiser::planned_bytes() const {
  const size_t of_times = of_times_ ? of_times_->plan().bytes() : 0;
  return program_.plan().bytes() + of_times + lines_.size() * sizeof(TimeLine) + row_of_calls_.size() * sizeof(int32_t);
}

void Denoiser::bind(const float* weights) {
  program_.bind(weights, nullptr);
  if (!of_times_) return;
  of_times_->bind(weights, nullptr);
  copies_ = {lines_.size(), "places of rows of time"};
  rows_ = {row_of_calls_.size(), "rows of time of calls"};
}

void Denoiser::pack(Stream& stream) {
  program_.pack(stream);
  if (!of_times_) return;
  std::vector<TimeLine> copies;
  for (size_t i = 0; i < lines_.size(); ++i)
    copies.push_back({program_.data(lines_[i]).as<float>(), of_times_->data(tables_[i]).as<float>(),
                      static_cast<int>(program_.info(lines_[i]).row())});
  copies_.upload(stream, copies.data());
  rows_.upload(stream, row_of_calls_.data());
  copy_to_device(stream, of_times_->data(times_input_).data, times_.data(), times_.size() * sizeof(float));
  of_times_->pack(stream);
  of_times_->forward(stream);
}

void Denoiser::take_lines(Stream& stream, const int64_t* calls, bool of_images) {
  if (!of_times_) return;
  const TimeRows rows{.of_calls = rows_.data(), .call = calls, .of_images = of_images};
  take_time_lines(stream, copies_.data(), static_cast<int>(copies_.count()), rows, batch());
}

void Denoiser::expect_times(std::span<const float> times) {
  program_.leave_out_aside(network_.aside_idle && !times.empty() && std::ranges::all_of(times, network_.aside_idle));
}

DataRef Denoiser::labels() const {
  return inputs_.labels ? program_.data(inputs_.labels) : DataRef();
}

void Denoiser::put_labels(Stream& stream, const LabelRows& labels, int64_t n) {
  const auto put = [&](const auto* from, int64_t width) {
    ITO_CHECK(from, "a network of ", network_.labels == LabelKind::Index ? "classes" : "real-valued labels",
              " asked without them");
    std::vector rows(from, from + n * width);
    rows.resize(static_cast<size_t>(batch() * width));
    copy_to_device(stream, this->labels().data, rows.data(), rows.size() * sizeof(rows[0]));
  };
  if (network_.labels == LabelKind::Index) put(labels.classes, 1);
  if (network_.labels == LabelKind::Value) put(labels.values, network_.label_width);
}

}  // namespace ito
