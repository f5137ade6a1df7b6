// SPDX-License-Identifier: Apache-2.0
// JSON files: strict reading (no duplicate keys, no bottomless nesting) with one-line errors, diffusers' layout when
// written (indent 2, sorted keys, final newline), and the suggestion for a key that is not known.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

// std::map inside: keys are sorted by bytes.
using Json = nlohmann::json;

// The version whose arguments our configurations have: "_diffusers_version" of every file that we write.
inline constexpr const char* kDiffusersVersion = "0.31.0";

// Deeper nesting than this is refused; no file that we read comes near it.
inline constexpr int kMaxJsonDepth = 64;

// `where` (a file, perhaps with the part of it) begins every error.
Json parse_json(std::string_view text, const std::string& where, int max_depth = kMaxJsonDepth);
Json read_json_file(const std::string& path);
// A file that Python's json module wrote, which may hold Infinity, -Infinity and NaN where JSON has no such numbers
// (diffusers' lambda_min_clipped, say): they are read as null.
Json read_python_json_file(const std::string& path);
// The text with those words replaced, outside of strings.
std::string nulls_for_infinities(std::string_view text);

std::string json_text(const Json& value);
void write_json_file(const std::string& path, const Json& value);

// The number of insertions, deletions, replacements and swaps of neighbours that turn a into b.
int edit_distance(std::string_view a, std::string_view b);
// The known key nearest to `key`, or "" if none is near enough to be what was meant.
std::string nearest_key(std::string_view key, const std::vector<std::string>& known);
// "; did you mean 'x'?" or "".
std::string did_you_mean(std::string_view key, const std::vector<std::string>& known);

}  // namespace ito
