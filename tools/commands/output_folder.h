// SPDX-License-Identifier: Apache-2.0
// The folder that a command writes into, --out: what is checked of it before the work, and its making.
#pragma once
#include <string>

namespace ito {

// UserError where a file has the name.
void check_out_is_no_file(const std::string& out);
// UserError where it is the folder of the model that is read, or in it: training removes checkpoints.
void check_out_is_outside(const std::string& out, const std::string& model_folder);
// The folder and the right to write `file` in it: when all else is known to be in order, and before the hours that the
// work may take.
void make_output_folder(const std::string& out, const char* file);

// The folder that a model is written to whole, without a trailing slash. UserError where it would bury something.
std::string new_directory(const std::string& out);

}  // namespace ito
