// SPDX-License-Identifier: Apache-2.0
// nlohmann's parser keeps its own stack, so depth is a matter of memory and of the recursive printer: limited here.
#include "engine/io/json_file.h"

#include <algorithm>
#include <set>

#include "engine/io/atomic_file.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

// "[json.exception.parse_error.101] parse error at ..." without the bracket. It quotes the text, however long.
std::string reason_of(const std::exception& error) {
  std::string text = error.what();
  if (const size_t bracket = text.find("] "); !text.empty() && text[0] == '[' && bracket != std::string::npos)
    text.erase(0, bracket + 2);
  return printable(text, 300);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, int max_depth) {
  std::vector<std::set<std::string>> open_objects;
  const Json::parser_callback_t check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start)
      ITO_USER_CHECK(depth < max_depth, where, ": nested more than ", max_depth, " levels deep");
    if (event == Event::object_start) open_objects.emplace_back();
    if (event == Event::object_end) open_objects.pop_back();
    if (event == Event::key) {
      const std::string& key = parsed.get_ref<const std::string&>();
      ITO_USER_CHECK(open_objects.back().insert(key).second, where, ": the key ", quote_name(key),
                     " occurs twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const Json::exception& error) {
    fail<UserError>(where, ": not valid JSON: ", reason_of(error));
  }
}

Json read_json_file(const std::string& path) {
  const std::vector<uint8_t> bytes = read_whole_file(path, uint64_t{1} << 28);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

std::string nulls_for_infinities(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {  // an escape, perhaps of a quote
      out.append(text.substr(i, 2));
      i += 2;
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    bool replaced = false;
    if (!in_string)
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (!replaced && text.substr(i).starts_with(word)) {
          out += "null";
          i += word.size();
          replaced = true;
        }
    if (!replaced) out += text[i++];
  }
  return out;
}

Json read_python_json_file(const std::string& path) {
  const std::vector<uint8_t> bytes = read_whole_file(path, uint64_t{1} << 28);
  return parse_json(nulls_for_infinities({reinterpret_cast<const char*>(bytes.data()), bytes.size()}), path);
}

std::string json_text(const Json& value) {
  // Text that is not UTF-8 (a file name, say) is written with replacement characters rather than refused.
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_json_file(const std::string& path, const Json& value) {
  write_file_atomically(path, json_text(value));
}

int edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the optimal string alignment table: before the last, the last, and the one being filled.
  std::vector<int> older(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], older[j - 2] + 1);
    }
    older.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

std::string nearest_key(std::string_view key, const std::vector<std::string>& known) {
  const int limit = std::max<int>(1, static_cast<int>(key.size()) / 3);
  int best_distance = limit + 1;
  std::string best;
  // A key that is hundreds of characters long is no slip of the finger, and the table above is quadratic.
  if (key.size() > 200) return best;
  for (const std::string& candidate : known) {
    const int distance = edit_distance(key, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view key, const std::vector<std::string>& known) {
  const std::string nearest = nearest_key(key, known);
  return nearest.empty() ? "" : "; did you mean " + quote_name(nearest) + "?";
}

}  // namespace ito
