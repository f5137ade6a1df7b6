// SPDX-License-Identifier: Apache-2.0
// Several files by one word, as shards are named: shards-{000..012}.tar, part-{a,b}.tar, *.tar.
#pragma once
#include <string>
#include <vector>

namespace ito {

// Holds braces or a wildcard, and is not itself the name of a file or a folder.
bool is_file_pattern(const std::string& what);

// The files, sorted by bytes where a wildcard finds them, else in the order of the braces. UserError if one of the
// braces' is not there, or there are none.
std::vector<std::string> files_of_pattern(const std::string& what);

// A file, a folder, or a pattern of files that are there.
bool is_path_of_data(const std::string& what);

}  // namespace ito
