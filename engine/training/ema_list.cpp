// SPDX-License-Identifier: Apache-2.0
// See ema_list.h.
#include "engine/training/ema_list.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/training/power_ema.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr std::string_view kWidth = "sigma-rel-";

NamedEma ema_of(std::string_view word, const std::string& where) {
  const bool power = word.starts_with(kWidth);
  const std::string_view digits = power ? word.substr(kWidth.size()) : word;
  double number = NAN;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = error == std::errc() && end == digits.data() + digits.size() && std::isfinite(number);
  ITO_USER_CHECK(whole, where, ": ", quote_name(word),
                 " is no moving average; expected decays and widths, as in 0.9999,sigma-rel-0.05");
  if (!power) {
    ITO_USER_CHECK(number >= 0 && number < 1, where, " ", word, ": expected a decay in [0, 1), or sigma-rel-", word,
                   " for a power function of that width");
    return {.name = fmt::format("{}", number), .profile = {.max_decay = static_cast<float>(number)}};
  }
  ITO_USER_CHECK(number >= kLeastWidth && number <= kMostWidth, where, " ", word, ": expected a width of ", kLeastWidth,
                 " to ", kMostWidth);
  return {.name = power_ema_name(number),
          .profile = {.max_decay = 0, .power = gamma_of_width(number) + 1},
          .sigma_rel = number};
}

}  // namespace

std::vector<NamedEma> emas_of(std::string_view text, double usual_decay, const std::string& where) {
  if (text.empty()) return {ema_of(fmt::format("{}", usual_decay), where)};
  std::vector<NamedEma> emas;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const NamedEma ema = ema_of(text.substr(begin, end - begin), where);
    for (const NamedEma& other : emas)
      ITO_USER_CHECK(other.name != ema.name, where, " ", text, ": ", ema.name, " stands twice; expected once");
    emas.push_back(ema);
    begin = end + 1;
  }
  ITO_USER_CHECK(emas.size() <= kMostEmas, where, " ", text, ": ", emas.size(), " moving averages; expected at most ",
                 kMostEmas);
  return emas;
}

std::string text_of(const std::vector<NamedEma>& emas) {
  std::string text;
  for (const NamedEma& ema : emas) text += (text.empty() ? "" : ",") + ema.name;
  return text;
}

void set_emas(OptimizerSettings& settings, const std::vector<NamedEma>& emas) {
  settings.ema_count = static_cast<int>(emas.size());
  for (size_t e = 0; e < emas.size(); ++e) settings.emas[e] = emas[e].profile;
}

std::string power_ema_name(double sigma_rel) {
  return fmt::format("{}{}", kWidth, sigma_rel);
}

}  // namespace ito
