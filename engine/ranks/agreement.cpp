// SPDX-License-Identifier: Apache-2.0
// See agreement.h.
#include "engine/ranks/agreement.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "engine/io/hash.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"
#include "kernels/seams/device.h"
#include "kernels/seams/memory_limit.h"

namespace ito {
namespace {

// "ranks 0 to 3 and 5".
std::string list_ranks(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (size_t i = 0; i < ranks.size();) {
    size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    runs.push_back(end == i + 1 ? std::to_string(ranks[i]) : fmt::format("{} to {}", ranks[i], ranks[end - 1]));
    i = end;
  }
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < runs.size(); ++i) text += (i == 0 ? "" : i + 1 == runs.size() ? " and " : ", ") + runs[i];
  return text;
}

// The first place at which any differs, with a little before it: options are a long line.
std::string around(const std::string& value, size_t difference) {
  constexpr size_t kBefore = 24, kMost = 60;
  const size_t from = difference > kBefore ? difference - kBefore : 0;
  return (from ? "..." : "") + printable(value.substr(from), kMost);
}

}  // namespace

void check_ranks_agree(Communicator& ranks, const std::vector<RankFact>& facts) {
  ranks.meet();
  if (ranks.size() == 1) return;
  for (const RankFact& fact : facts) {
    const std::vector<std::string> values = ranks.gather_text(fact.value);
    std::vector<std::pair<std::string, std::vector<int>>> who;  // by the first rank that has the value
    size_t difference = std::string::npos;
    for (size_t rank = 0; rank < values.size(); ++rank) {
      const std::string& value = values[rank];
      auto same = std::ranges::find(who, value, [](const auto& item) { return item.first; });
      if (same == who.end()) same = who.insert(same, {value, {}});
      same->second.push_back(static_cast<int>(rank));
      const auto at = std::ranges::mismatch(value, values[0]).in1 - value.begin();
      if (value != values[0]) difference = std::min(difference, static_cast<size_t>(at));
    }
    if (who.size() == 1) continue;
    std::string text;
    for (const auto& [value, of] : who)
      text += (text.empty() ? "" : "; ") + list_ranks(of) + ": " + around(value, difference);
    fail<UserError>("the ranks differ in their ", fact.name, ": ", text, "; start all alike");
  }
}

std::vector<RankFact> facts_of_process() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string program{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return {{"program", fmt::format("build {:016x}", hash_text(program))}, {"device", device_name()}};
}

int cores_of_rank(Communicator& ranks) {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  sched_getaffinity(0, sizeof usable, &usable);
  std::string own = ranks.host() + " ";
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &usable)) own += std::to_string(core) + ",";
  const std::vector<std::string> all = ranks.gather_text(own);
  return std::max(1, CPU_COUNT(&usable) / static_cast<int>(std::ranges::count(all, own)));
}

size_t memory_of_rank(Communicator& ranks, size_t free) {
  return device_memory_is_the_hosts() ? free / static_cast<size_t>(ranks.local_size()) : free;
}

int of_any_rank(Communicator& ranks, int own) {
  if (ranks.size() == 1) return own;
  std::vector<char> all(static_cast<size_t>(ranks.size()));
  const char mine = static_cast<char>(own);
  ranks.gather(all.data(), &mine, 1);
  const auto found = std::ranges::find_if(all, [](char number) { return number != 0; });
  return found == all.end() ? 0 : *found;
}

}  // namespace ito
