// SPDX-License-Identifier: Apache-2.0
// See buckets.h.
#include "engine/ranks/buckets.h"

#include <algorithm>
#include <limits>

#include "kernels/error.h"
#include "kernels/optim/gradient_norm.h"

namespace ito {
namespace {

// A cut pays where it lets so much of a full bucket travel a whole backward earlier.
constexpr double kWorthACut = 1.0 / 32;
constexpr int64_t kPlaces = 16;  // a full bucket may be cut at so many, and wherever another op's tensors begin

// The op after whose backward each span is complete.
std::vector<int> last_ops(const Program& program, int64_t spans) {
  const int ops = static_cast<int>(program.ops().size());
  std::vector<int> last(spans, ops - 1);
  for (int op = ops - 1; op >= 0; --op) {
    for (const int number : program.ops()[op]->parameters) {
      const Parameter& p = program.layout().find(program.parameter(number).name);
      if (!p.trainable) continue;
      for (int64_t span = p.offset / kNormSpan; span * kNormSpan < p.offset + p.count(); ++span) last[span] = op;
    }
  }
  return last;
}

}  // namespace

// The cheapest cuts, from the left: what a bucket costs is its own share of kWorthACut, and for each span the part of
// the backward that it lies complete and waits for the others.
std::vector<int64_t> cut_spans(const std::vector<int>& ops_left, int ops, int64_t most_spans) {
  ITO_CHECK(most_spans >= 1 && ops >= 1, "buckets of ", most_spans, " spans, of ", ops, " ops");
  const auto spans = static_cast<int64_t>(ops_left.size());
  const int64_t grain = std::max<int64_t>(most_spans / kPlaces, 1);
  std::vector<int64_t> places;
  for (int64_t span = 0; span < spans; ++span)
    if (span == 0 || span % grain == 0 || ops_left[span] != ops_left[span - 1]) places.push_back(span);
  places.push_back(spans);
  const size_t count = places.size();
  std::vector<double> cost(count, std::numeric_limits<double>::infinity());
  std::vector<size_t> before(count, 0);
  cost[0] = 0;
  for (size_t from = 0; from + 1 < count; ++from) {
    int64_t left = 0;                    // op-spans that are to come when each span is complete
    int least = ops_left[places[from]];  // when the bucket is
    for (size_t to = from + 1; to < count && places[to] - places[from] <= most_spans; ++to) {
      for (int64_t span = places[to - 1]; span < places[to]; ++span) {
        left += ops_left[span];
        least = std::min(least, ops_left[span]);
      }
      const auto waits = static_cast<double>(left - least * (places[to] - places[from])) / ops;
      const double total = cost[from] + kWorthACut * static_cast<double>(most_spans) + waits;
      if (total < cost[to]) {
        cost[to] = total;
        before[to] = from;
      }
    }
  }
  std::vector<int64_t> cuts;
  for (size_t at = count - 1; at > 0; at = before[at]) cuts.push_back(places[at]);
  cuts.push_back(0);
  std::ranges::reverse(cuts);
  return cuts;
}

std::vector<Bucket> plan_buckets(const Program& program, int64_t bytes) {
  ITO_CHECK(bytes > 0, "buckets of ", bytes, " bytes");
  const int64_t floats = program.layout().trainable_floats();
  const std::vector<int> last = last_ops(program, (floats + kNormSpan - 1) / kNormSpan);
  const int64_t most = std::max<int64_t>(bytes / (kNormSpan * static_cast<int64_t>(sizeof(float))), 1);
  const std::vector<int64_t> cuts = cut_spans(last, static_cast<int>(program.ops().size()), most);
  std::vector<Bucket> buckets;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const int64_t first = cuts[i] * kNormSpan, end = std::min(cuts[i + 1] * kNormSpan, floats);
    buckets.push_back({{first, end - first}, *std::min_element(last.begin() + cuts[i], last.begin() + cuts[i + 1])});
  }
  std::ranges::stable_sort(buckets, [](const Bucket& a, const Bucket& b) { return a.last_op > b.last_op; });
  return buckets;
}

}  // namespace ito
