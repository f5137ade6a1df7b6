// SPDX-License-Identifier: Apache-2.0
// See guided_network.h. Both answers are made one after the other in one program, which lets them share its memory, and
// each by the ops that it has without guidance: no bit of it is another. The other answer is set aside, and comes
// first, so that backwards the network itself is the first to write the sample's gradient, with or without the other.
#include "engine/program/guided_network.h"

#include <limits>

#include "engine/ops/ops.h"
#include "kernels/error.h"

namespace ito {
namespace {

// What both can be asked at.
TimeDomain both(const TimeDomain& a, const TimeDomain& b) {
  const bool second = b.rows && (!a.rows || b.rows < a.rows);
  return {.rows = second ? b.rows : a.rows,
          .positive = a.positive || b.positive,
          .why = second || (b.positive && !a.positive) ? "its guide: " + b.why : a.why};
}

Value append_other(Program& program, const Network& network, const std::optional<Network>& guide,
                   NetworkInputs inputs) {
  const bool before = program.set_aside(true);
  if (guide) program.set_prefix(kGuidePrefix);
  if (!guide) inputs.labels = constant_labels(program, "guidance.labels", inputs.labels, network.no_class());
  const Value answer = (guide ? *guide : network).append(program, inputs);
  program.set_prefix({});
  program.set_aside(before);
  return answer;
}

bool is_one(const GuidanceWeight& weight, float time) {
  return weight.weight == 1 || !(time >= weight.from && time <= weight.to);
}

}  // namespace

GuidanceWeight always(float weight) {
  constexpr float kEver = std::numeric_limits<float>::infinity();
  return {.weight = weight, .from = -kEver, .to = kEver};
}

Network guided(const Network& network, const NetworkGuidance& guidance) {
  const std::optional<Network>& guide = guidance.guide;
  ITO_CHECK(guide || (network.labels == LabelKind::Index && network.real_classes() > 0),
            "guidance: a network without a class to leave out");
  ITO_CHECK(!guide || (guide->image == network.image && guide->out_channels >= network.image.channels &&
                       (guide->labels == LabelKind::None ||
                        (guide->labels == network.labels && guide->label_width == network.label_width))),
            "guidance: a guide of other images or labels");
  Network both_networks = network;
  if (!guide) {
    both_networks.classes = network.real_classes();
  } else {
    both_networks.time = both(network.time, guide->time);
    both_networks.asks_level = network.asks_level || guide->asks_level;
  }
  // A network that is guided already has another answer of its own set aside.
  both_networks.aside_idle = [weight = guidance.weight, own = network.aside_idle](float time) {
    return is_one(weight, time) && (!own || own(time));
  };
  both_networks.append = [network, guide, weight = guidance.weight](Program& program, const NetworkInputs& inputs) {
    const Value other = append_other(program, network, guide, inputs);
    const Value answer = network.append(program, inputs);
    return guided_answer(program, "guidance", answer, other, inputs.timestep, network.image.channels, weight);
  };
  return both_networks;
}

}  // namespace ito
