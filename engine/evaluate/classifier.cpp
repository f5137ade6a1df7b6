// SPDX-License-Identifier: Apache-2.0
// The classifier at work: features and logits of one batch after another.
#include "engine/evaluate/classifier.h"

#include <algorithm>

#include "engine/evaluate/classifier_network.h"
#include "engine/ops/ops.h"
#include "engine/program/device_buffer.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int64_t kBatch = 128;

}  // namespace

Classifier::Answers Classifier::answers(const std::vector<float>& images) const {
  const int64_t size = image_.size(), count = static_cast<int64_t>(images.size()) / size;
  const int64_t batch = std::min(kBatch, count);
  constexpr int64_t kFeatures = kClassifierFeatures;
  Answers all{{count, kFeatures, {}, {}, {}}, {}};
  if (count == 0) return all;
  Program program({static_cast<int>(batch), Mode::Inference, DType::F32});
  const ClassifierValues values = append_classifier(program, image_, classes_);
  program.set_output(concat_channels(program, "features and logits", values.features, values.logits));
  program.finish();
  Stream stream("classifier");
  DeviceBuffer<float> weights(weights_.size(), "the classifier's weights");
  weights.upload(stream, weights_.data());
  program.bind(weights.data(), nullptr);
  program.pack(stream);
  const int64_t width = kFeatures + classes_;
  std::vector<float> rows(static_cast<size_t>(batch * width)), given(static_cast<size_t>(batch * size));
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t n = std::min(batch, count - first);  // the rest of the last batch is left of the one before
    std::copy(images.begin() + first * size, images.begin() + (first + n) * size, given.begin());
    copy_to_device(stream, program.data(values.image).as<float>(), given.data(), given.size() * sizeof(float));
    program.forward(stream);
    copy_to_host(stream, rows.data(), program.data(program.output()).as<float>(), rows.size() * sizeof(float));
    for (int64_t i = 0; i < n; ++i) {
      const float* row = rows.data() + i * width;
      all.features.values.insert(all.features.values.end(), row, row + kFeatures);
      const float* logits = row + kFeatures;
      all.classes.push_back(static_cast<int32_t>(std::max_element(logits, logits + classes_) - logits));
    }
  }
  return all;
}

}  // namespace ito
