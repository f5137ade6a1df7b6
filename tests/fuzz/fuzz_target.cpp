// SPDX-License-Identifier: Apache-2.0
// The rules for messages, and what counts as a fault.
#include "tests/fuzz/fuzz_target.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "kernels/error.h"

namespace ito {
namespace {

// Long enough for two names cut by quote_name and a sentence around them.
constexpr size_t kLongestMessage = 800;

// No ito::Error, so that it is never taken for a refusal.
struct Breach : std::logic_error {
  using std::logic_error::logic_error;
};

// C0, DEL, and C1 as UTF-8 writes it (C2 80 to C2 9F): what a terminal acts upon instead of showing it.
bool is_control(std::string_view text, size_t i) {
  const auto byte = static_cast<unsigned char>(text[i]);
  if (byte < 0x20 || byte == 0x7f) return true;
  const unsigned char next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
  return byte == 0xc2 && next >= 0x80 && next < 0xa0;
}

// Warnings keep to the rules of messages, and are not printed: there would be thousands a second.
void judge_warning(const std::string& text) {
  demand_one_line(text);
}
[[maybe_unused]] const bool judged = (warning_sink = judge_warning, true);

}  // namespace

void demand(bool holds, const char* property) {
  if (!holds) throw Breach(property);
}

void demand_one_line(std::string_view message) {
  const std::string shown(message.substr(0, 2 * kLongestMessage));
  if (message.empty()) throw Breach("a message is empty");
  if (message.size() > kLongestMessage) throw Breach("a message is too long: " + shown);
  try {
    nlohmann::json(message).dump();
  } catch (const nlohmann::json::exception&) {
    throw Breach("a message is not UTF-8: " + shown);
  }
  for (size_t i = 0; i < message.size(); ++i)
    if (is_control(message, i)) throw Breach("a message has a control character: " + shown);
}

bool attempt(const std::function<void()>& step) {
  try {
    step();
    return true;
  } catch (const Error& error) {
    demand_one_line(error.what());
    return false;
  }
}

Outcome run_target(void (*parse)(Bytes), Bytes bytes, std::string& reason) {
  try {
    parse(bytes);
    return Outcome::Accepted;
  } catch (const Error& error) {
    reason = error.what();
  } catch (const std::exception& error) {
    reason = std::string("not an ito::Error: ") + error.what();
    return Outcome::Fault;
  }
  try {
    demand_one_line(reason);
    return Outcome::Refused;
  } catch (const Breach& breach) {
    reason = breach.what();
    return Outcome::Fault;
  }
}

}  // namespace ito
