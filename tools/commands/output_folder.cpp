// SPDX-License-Identifier: Apache-2.0
// See output_folder.h.
#include "tools/commands/output_folder.h"

#include <filesystem>

#include "engine/io/atomic_file.h"
#include "kernels/error.h"
#include "tools/run_paths.h"

namespace ito {

namespace fs = std::filesystem;

void check_out_is_no_file(const std::string& out) {
  ITO_USER_CHECK(!std::filesystem::exists(out) || std::filesystem::is_directory(out), "--out ", out,
                 ": is a file; expected a folder, or the name of one to make");
}

void check_out_is_outside(const std::string& out, const std::string& model_folder) {
  ITO_USER_CHECK(!is_inside(out, model_folder), "--out ", out, ": is the folder of the model, ", model_folder,
                 ", or in it; choose a folder elsewhere");
}

void make_output_folder(const std::string& out, const char* file) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (!error && !std::filesystem::is_directory(out)) error = std::make_error_code(std::errc::not_a_directory);
  ITO_USER_CHECK(!error, "--out ", out, ": cannot be made a folder: ", error.message(), "; choose another path");
  const AtomicFile probe((std::filesystem::path(out) / file).string());  // goes away again
}

std::string new_directory(const std::string& out) {
  fs::path directory = fs::path(out).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  ITO_USER_CHECK(directory.has_filename(), "--out ", out, ": expected the name of a folder to make");
  ITO_USER_CHECK(!fs::exists(directory) || (fs::is_directory(directory) && fs::is_empty(directory)), "--out ", out,
                 ": already exists and is not an empty folder; remove it or choose another");
  ITO_USER_CHECK(!fs::exists(directory.string() + ".partial"), directory.string(),
                 ".partial: is in the way of writing; move it, or choose another --out");
  return directory.string();
}

}  // namespace ito
