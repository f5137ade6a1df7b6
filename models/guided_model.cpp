// SPDX-License-Identifier: Apache-2.0
// See guided_model.h. Kernels are those that the model's checkpoint was made with; the guide's own are not asked for.
#include "models/guided_model.h"

#include "engine/checkpoint/weights.h"
#include "engine/diffusion/reading.h"

namespace ito {
namespace {

// A guide answers the same question: the same quantity at the same level, told by the same number.
void check_answers_alike(const SchedulerConfig& ours, const SchedulerConfig& guides, const std::string& where) {
  ITO_USER_CHECK(guides.prediction_type == ours.prediction_type, where, ": a guide of prediction_type ",
                 guides.prediction_type.name(), " for a model of ", ours.prediction_type.name(),
                 "; take a guide that answers the same");
  ITO_USER_CHECK(guides.family == ours.family, where, ": a guide of family ", name_of(guides.family),
                 " for a model of ", name_of(ours.family), "; take one that was trained on the same noise schedule");
  const Levels levels{NoiseSchedule(ours)}, guide_levels{NoiseSchedule(guides)};
  ITO_USER_CHECK(levels.steps() == guide_levels.steps(), where, ": a guide of ", guide_levels.steps(),
                 " timesteps for a model of ", levels.steps(),
                 "; take one that was trained on the same noise schedule");
  const Reading reading = Reading::of(ours), guide_reading = Reading::of(guides);
  for (int t = 0; t < levels.steps(); ++t) {
    const Level a = levels.at(t), b = guide_levels.at(t);
    ITO_USER_CHECK(a.abar == b.abar && reading.time(a) == guide_reading.time(b), where,
                   ": a guide whose noise at timestep ", t, " is ", b.sigma, " of the state, the model's ", a.sigma,
                   "; take one that was trained on the same noise schedule");
  }
  ITO_USER_CHECK(ours.family != Family::Edm || ours.sigma_data == guides.sigma_data, where, ": a guide of sigma_data ",
                 guides.sigma_data, " for a model of ", ours.sigma_data, "; take one of the same");
}

std::string labels_text(const Network& network) {
  if (network.labels == LabelKind::Index) return join_text("of ", network.classes, " classes");
  if (network.labels == LabelKind::Value)
    return join_text("of labels of ", network.label_width, " real number", network.label_width == 1 ? "" : "s");
  return "without labels";
}

void check_fits(const Network& network, const Network& guide, const std::string& where) {
  ITO_USER_CHECK(guide.image == network.image, where, ": a guide of ", guide.image.channels, " x ", guide.image.height,
                 " x ", guide.image.width, " images for a model of ", network.image.channels, " x ",
                 network.image.height, " x ", network.image.width, "; take one of the same images");
  if (guide.labels == LabelKind::None) return;  // what is known of no class at all leads from every class alike
  ITO_USER_CHECK(
      guide.labels == network.labels && guide.classes == network.classes && guide.label_width == network.label_width,
      where, ": a guide ", labels_text(guide), " for a model ", labels_text(network),
      "; take one of the same labels, or of none");
}

// Every parameter of `from` to the place of its name, after the prefix, in the arena of both.
void put_weights(Stream& stream, DeviceBuffer<float>& to, const ParameterLayout& layout, const std::string& prefix,
                 const DeviceBuffer<float>& from, const ParameterLayout& own) {
  for (const Parameter& p : own.all())
    copy_on_device(stream, to.data() + layout.find(prefix + p.name).offset, from.data() + p.offset,
                   sizeof(float) * static_cast<size_t>(p.count()));
}

}  // namespace

ModelOnDevice guided_model(ModelOnDevice model, const GuidanceWeight& weight, const std::string& guide) {
  model.model.configured.log_density = nullptr;
  const Network network = model.network;
  if (guide.empty()) {
    ITO_USER_CHECK(network.labels == LabelKind::Index, model.model.where, ": ",
                   network.labels == LabelKind::None ? "has no classes" : "has real-valued class labels",
                   ", so that there is no class to leave out; guide it by another model, or leave guidance out");
    ITO_USER_CHECK(network.real_classes() > 0, model.model.where, ": its ", network.classes,
                   " class embedding is the one of no class; guide it by another model, or leave guidance out");
    model.network = guided(network, {.weight = weight, .guide = {}});
    return model;
  }
  const Model other = read_model(guide);
  check_answers_alike(model.scheduler, other.scheduler(), other.where);
  const Network other_network = other.network(network.image.height, network.image.width);
  check_fits(network, other_network, other.where);
  model.network = guided(network, {.weight = weight, .guide = other_network});
  const ParameterLayout layout = parameters_of(model.network), own = parameters_of(network),
                        others = parameters_of(other_network);
  if (layout.all().empty()) return model;
  Stream stream;
  DeviceBuffer<float> weights(layout.arena_floats(), "weights of a model and its guide");
  weights.zero(stream);
  put_weights(stream, weights, layout, "", model.weights, own);
  if (!others.all().empty()) {
    const std::vector<float> arena = read_weights(other.weights_file(), others);
    DeviceBuffer<float> read(arena.size(), "weights of the guide");
    read.upload(stream, arena.data());
    put_weights(stream, weights, layout, kGuidePrefix, read, others);
    stream.synchronize();
  }
  stream.synchronize();
  model.weights = std::move(weights);
  return model;
}

}  // namespace ito
