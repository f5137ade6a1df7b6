// SPDX-License-Identifier: Apache-2.0
// Folders that appear whole and vanish whole: what atomic_file.h does for files. A folder in the making or on its way
// out has `.partial` in its name, so that what a killed process left behind can be told and removed.
#pragma once
#include <filesystem>

namespace ito {

// The names in a folder on the disk itself; a file system that cannot do this is no error.
void sync_folder(const std::filesystem::path& folder);

// Gives the finished folder `temporary` (its files on the disk already) its final name. A folder that has the name is
// exchanged for the new one in one step where the file system can, and then removed.
void put_folder_in_place(const std::filesystem::path& temporary, const std::filesystem::path& final_name);

// Renamed first: whatever carries the name is never half a folder.
void remove_folder(const std::filesystem::path& folder);

}  // namespace ito
