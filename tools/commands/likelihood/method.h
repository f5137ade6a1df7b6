// SPDX-License-Identifier: Apache-2.0
// Ways to a likelihood, a file each in this folder: what `ito likelihood` offers as --method. To add one: a file that
// defines a LikelihoodMethod, and its line in the list of likelihood.cpp, which reads points and writes the report.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/diffusion/schedule.h"
#include "engine/io/chart.h"
#include "engine/io/json_file.h"
#include "engine/program/label_rows.h"
#include "engine/ranks/item_shares.h"
#include "models/model_on_device.h"
#include "tools/commands/guidance_flags.h"

namespace ito {

inline constexpr const char* kLikelihoodReport = "likelihood.json";

// All flags; those of one method are listed by it.
struct LikelihoodOptions {
  std::string checkpoint, ema, data, labels, out, method = "ode", split = "test";
  int64_t count = 0, first = 0;
  int batch = 64, threads = 0, class_number = -1;
  uint64_t seed = 0;
  // Of the flow.
  std::string trace = "hutchinson", dequantise = "none";
  int probes = 1;
  double rtol = 1e-5, atol = 1e-5, sampling_eps = 1e-5;
  // Of the chain.
  std::string reverse, decoder, statistics;
  GuidanceFlags guidance;
};

// Those that the flags choose, and of them those that this rank keeps: the first rank all, the others their share. A
// rank's share is at the beginning of what it keeps.
struct Points {
  ItemShares shares;
  std::vector<float> x0;  // (kept, H, W, C)
  Labels labels;          // (kept), as the network has them
  int64_t count() const { return shares.count(); }
};

// UserError where they do not fit the network, or the ranks have different data.
Points read_points(const LikelihoodOptions& o, const Network& network, Communicator& ranks);
// The index of a word among those that a flag takes; UserError that lists them.
size_t word_of(const char* flag, const std::string& word, const std::vector<std::string>& known);

// What a method found; of several ranks the first one has it.
struct Judged {
  int64_t size = 0;              // numbers a point
  std::vector<double> log_prob;  // nats, one a point: of the points, or of their bytes
  ImageShape image = {};
  std::vector<float> points = {};  // (H, W, C) each, for their pictures
  Json report;                     // further keys of likelihood.json
  std::string what = "log p";      // of the line in the terminal
  std::string parts = {};          // and what that line ends with
  // The picture; without series, how many points lie where.
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<Series> series = {};
};

struct MethodFlag {
  const char* flag;
  const char* says;  // for whoever gives it with a method that does not ask: "--trace: says ..."
};

struct LikelihoodMethod {
  const char* name;
  const char* help;                           // a line
  std::span<const MethodFlag> flags;          // its own
  void (*check)(const LikelihoodOptions& o);  // what needs no model
  // All ranks call it, being alike (rank_work.h).
  Judged (*judge)(const LikelihoodOptions& o, const ModelOnDevice& model, const NoiseSchedule& schedule,
                  Communicator& ranks);
};

}  // namespace ito
