// SPDX-License-Identifier: Apache-2.0
// See atomic_folder.h. Errors are the standard library's filesystem_error, which name the paths.
#include "engine/io/atomic_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

namespace ito {

namespace fs = std::filesystem;

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void put_folder_in_place(const fs::path& temporary, const fs::path& final_name) {
  sync_folder(temporary);
  if (!fs::exists(final_name)) {
    fs::rename(temporary, final_name);
  } else if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_name.c_str(), RENAME_EXCHANGE) == 0) {
    sync_folder(final_name.parent_path());
    fs::remove_all(temporary);
  } else {
    remove_folder(final_name);
    fs::rename(temporary, final_name);
  }
  sync_folder(final_name.parent_path());
}

void remove_folder(const fs::path& folder) {
  const fs::path doomed = folder.string() + ".partial-removed";
  fs::remove_all(doomed);
  fs::rename(folder, doomed);
  sync_folder(folder.parent_path());  // the new name is on the disk before the first file goes
  fs::remove_all(doomed);
}

}  // namespace ito
