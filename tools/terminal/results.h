// SPDX-License-Identifier: Apache-2.0
// What a command was asked for, on standard output. Like messages it holds no control characters of others.
#pragma once
#include <string>

#include "engine/io/json_file.h"

namespace ito {

// Before the first result: what is short of a megabyte is then written at the end, where a failure's reason is known.
void begin_results();

void print_result(const std::string& line);
// All but ASCII escaped, which says the same; text that is not UTF-8 with replacement characters.
std::string json_result(const Json& value, int indent = -1);
void print_json(const Json& value, int indent = -1);

// Ends the results and returns the exit code: 0, or 2 with a message where they could not be written; quietly
// 128 + SIGPIPE where their reader has gone (`| head -1`), as if the signal had ended the process.
int finish_results();

}  // namespace ito
