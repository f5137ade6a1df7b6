// SPDX-License-Identifier: Apache-2.0
// Training the classifier with the optimiser that trains diffusion models: forward, cross-entropy, backward, clipped
// norm, AdamW with a warm-up and a cosine. The order of the images is the seed's, as in every training.
#include <algorithm>

#include "engine/data/order.h"
#include "engine/evaluate/classifier.h"
#include "engine/evaluate/classifier_network.h"
#include "engine/io/input_file.h"
#include "engine/program/buffer_list.h"
#include "engine/training/learning_rate.h"
#include "kernels/error.h"
#include "kernels/nn/softmax_cross_entropy.h"
#include "kernels/optim/adamw.h"
#include "kernels/seams/device.h"

namespace ito {
namespace {

class ClassifierTrainer {
 public:
  ClassifierTrainer(const ImageShape& image, int classes, const ClassifierTraining& training)
      : training_(training), classes_(classes), program_({training.batch, Mode::Training, DType::F32}) {
    values_ = append_classifier(program_, image, classes);
    program_.set_output(values_.logits);
    program_.finish();
    const ParameterLayout& layout = program_.layout();
    const size_t arena = layout.arena_floats(), trainable = layout.trainable_floats();
    BufferList buffers;
    buffers.add(weights_, arena, "weights");
    buffers.add(average_, arena, "averaged weights");
    buffers.add(gradients_, trainable, "gradients");
    buffers.add(first_moment_, trainable, "Adam's first moment");
    buffers.add(second_moment_, trainable, "Adam's second moment");
    buffers.add(state_, 1, "training state");
    buffers.add(learning_rates_, static_cast<size_t>(training.steps), "learning rates");
    buffers.add(labels_, static_cast<size_t>(training.batch), "labels");
    buffers.add(loss_, static_cast<size_t>(training.batch), "losses");
    buffers.add(norm_partials_, static_cast<size_t>(ceil_div(layout.trainable_floats(), kNormSpan)), "gradient norm");
    check_memory("training the classifier", {{"activations", program_.plan().bytes()}, {"parameters", buffers.bytes()}},
                 training.memory_limit, "compare pixels instead");
    buffers.allocate();
    program_.bind(weights_.data(), gradients_.data());
    begin();
  }

  // images (N, H, W, C), labels (N), of one batch.
  void step(const std::vector<float>& images, const std::vector<int32_t>& labels) {
    const int batch = training_.batch;
    const int64_t floats = program_.layout().trainable_floats();
    copy_to_device(stream_, program_.data(values_.image).as<float>(), images.data(), images.size() * sizeof(float));
    copy_to_device(stream_, labels_.data(), labels.data(), labels_.bytes());
    program_.pack(stream_);
    program_.forward(stream_);
    softmax_cross_entropy(stream_, loss_.data(), program_.gradient(values_.logits).as<float>(),
                          program_.data(values_.logits).as<float>(), labels_.data(), batch, classes_, batch);
    program_.backward(stream_);
    gradient_square_sums(stream_, norm_partials_.data(), gradients_.data(), floats);
    optimizer_prepare(stream_, state_.data(), loss_.data(), batch, norm_partials_.data(),
                      static_cast<int64_t>(norm_partials_.count()), learning_rates_.data(), settings_);
    adamw_ema(stream_, weights_.data(), first_moment_.data(), second_moment_.data(), average_.data(), nullptr,
              gradients_.data(), floats, state_.data(), settings_);
  }

  std::vector<float> weights() {
    TrainState state{};
    state_.download(stream_, &state);
    ITO_USER_CHECK(state.skipped == 0, "training the classifier: ", state.skipped, " of ", state.step,
                   " steps had no finite gradient; look at the data's values");
    std::vector<float> weights(weights_.count());
    weights_.download(stream_, weights.data());
    return weights;
  }

 private:
  void begin() {
    weights_.upload(stream_, initial_weights(program_.layout(), training_.seed).data());
    for (DeviceBuffer<float>* buffer : {&average_, &gradients_, &first_moment_, &second_moment_}) buffer->zero(stream_);
    TrainState state{};
    state.beta1_power = state.beta2_power = 1.0;
    state_.upload(stream_, &state);
    LearningRateConfig rates;
    rates.peak = training_.peak_learning_rate;
    rates.schedule = learning_rate_of("cosine", "the classifier");
    rates.steps = training_.steps;
    rates.warmup_steps = training_.steps / 16;
    learning_rates_.upload(stream_, learning_rate_table(rates).data());
  }

  ClassifierTraining training_;
  int classes_;
  OptimizerSettings settings_;
  Program program_;
  ClassifierValues values_;
  Stream stream_{"classifier training"};
  DeviceBuffer<float> weights_, average_, gradients_, first_moment_, second_moment_, learning_rates_, loss_;
  DeviceBuffer<double> norm_partials_;
  DeviceBuffer<int32_t> labels_;
  DeviceBuffer<TrainState> state_;
};

}  // namespace

Classifier Classifier::train(const Dataset& data, const ClassifierTraining& training) {
  const int classes = data.class_count();
  ITO_USER_CHECK(classes > 1, data.name, ": has ", classes == 0 ? "no labels" : "one class",
                 "; a classifier needs two classes or more, so compare pixels, or features of your own");
  const ImageShape image{data.height, data.width, data.channels};
  ClassifierTrainer trainer(image, classes, training);
  DataOrder order(training.seed, data.count);
  std::vector<float> images(static_cast<size_t>(training.batch * image.size()));
  std::vector<int32_t> labels(static_cast<size_t>(training.batch));
  training.report(0);
  for (int64_t step = 0; step < training.steps; ++step) {
    for (int64_t i = 0; i < training.batch; ++i) {
      const int64_t index = order.index(step * training.batch + i);
      data.image_f32(index, false, images.data() + i * image.size());
      labels[i] = data.labels[index];
    }
    trainer.step(images, labels);
    training.report(step + 1);
  }
  return {image,
          classes,
          trainer.weights(),
          {{"data", printable(data.name)},
           {"data_fingerprint", join_text(std::hex, data.fingerprint())},
           {"steps", training.steps},
           {"batch", training.batch},
           {"seed", training.seed}}};
}

}  // namespace ito
