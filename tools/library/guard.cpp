// SPDX-License-Identifier: Apache-2.0
// See guard.h. One call at a time: the engine's threads, choice of kernels and table of memory are the process's.
#include "tools/library/guard.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "kernels/error.h"

namespace ito {
namespace {

const LibraryHost* library_host = nullptr;
std::mutex call_mutex;
std::mutex warnings_mutex;  // a call's own threads warn, too
std::vector<std::string> warnings;

void keep_warning(const std::string& text) {
  const std::lock_guard lock(warnings_mutex);
  if (std::find(warnings.begin(), warnings.end(), text) == warnings.end()) warnings.push_back(text);
}

ito_status status_of_exception(std::string& text) {
  try {
    throw;
  } catch (const UserError& e) {
    text = e.what();
    return ITO_REFUSED;
  } catch (const std::filesystem::filesystem_error& e) {  // where no better words were found
    text = e.path1().string() + ": " + e.code().message() + "; check the path, its permissions and the space left";
    return ITO_REFUSED;
  } catch (const std::bad_alloc&) {
    text = "out of memory; lower the batch, or free some memory";
  } catch (const std::exception& e) {
    text = e.what();
  } catch (...) {
    text = "an unknown error";
  }
  return ITO_FAILED;
}

}  // namespace

void set_library_host(const LibraryHost* host) {
  library_host = host;
  warning_sink = keep_warning;
}

ito_status guarded_call(const void* work, void (*run)(const void* work)) noexcept {
  ito_status status = ITO_OK;
  try {
    std::string text;
    std::vector<std::string> told;
    {
      const std::lock_guard lock(call_mutex);
      try {
        run(work);
      } catch (...) {
        status = status_of_exception(text);
      }
      const std::lock_guard also(warnings_mutex);
      told.swap(warnings);
    }
    for (const std::string& warning : told) library_host->warn(warning.c_str());
    return status == ITO_OK ? ITO_OK : library_host->fail(status, text.c_str());
  } catch (...) {  // no memory for the text
    return library_host->fail(ITO_FAILED, "out of memory; lower the batch, or free some memory");
  }
}

}  // namespace ito
