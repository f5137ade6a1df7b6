// SPDX-License-Identifier: Apache-2.0
// See rank_work.h.
#include "tools/commands/rank_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <thread>

#include "engine/io/hash.h"
#include "kernels/error.h"
#include "kernels/seams/choices.h"
#include "kernels/seams/device.h"
#include "models/model_checks.h"

namespace ito {

void set_threads_of_rank(Communicator& ranks, int given) {
  set_device_threads(given || ranks.size() == 1 ? given : cores_of_rank(ranks));
}

int loading_threads(int given) {
  return given ? given : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

RankFact labels_fact(const std::vector<float>& values) {
  return {"labels", join_text("hash ", hash_bytes(kHashStart, values.data(), values.size() * sizeof(float)))};
}

RankFact file_fact(const std::string& flag, const std::string& path) {
  if (path.empty()) return {flag, "none"};
  std::ifstream file(path, std::ios::binary);
  std::array<char, 1 << 16> part{};
  uint64_t hash = kHashStart, bytes = 0;
  while (file.read(part.data(), part.size()) || file.gcount()) {
    hash = hash_bytes(hash, part.data(), static_cast<size_t>(file.gcount()));
    bytes += static_cast<uint64_t>(file.gcount());
  }
  return {"file of " + flag, fmt::format("{} bytes, hash {:016x}", bytes, hash)};
}

RankFact data_fact(const Dataset& data) {
  return {"data", fmt::format("fingerprint {:016x}", data.shared_fingerprint())};
}

void check_ranks_alike(Communicator& ranks, const CLI::App& command, const ModelOnDevice& model,
                       const std::vector<RankFact>& more) {
  if (ranks.size() == 1) return;
  std::vector<RankFact> facts = facts_of_process();
  facts.push_back({"kernels", kernel_choices()});
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    if (name == "--threads" || name == "--help") continue;
    std::string value = "not given";
    if (option->count()) value = fmt::format("{}", fmt::join(option->results(), " "));
    facts.push_back({name, value});
  }
  facts.push_back({"model", "fingerprint " + fingerprint_of(model)});
  facts.insert(facts.end(), more.begin(), more.end());
  check_ranks_agree(ranks, facts);
}

std::string title_of_rank(const std::string& title, const Communicator& ranks) {
  return ranks.size() == 1 ? title : join_text(title, ", rank 0 of ", ranks.size());
}

}  // namespace ito
