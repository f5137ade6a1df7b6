// SPDX-License-Identifier: Apache-2.0
// Linux's words for free memory: /proc/meminfo, the cgroups of both versions, the address-space limit. What a file does
// not say, or a file that is not there, sets no limit.
#include "kernels/seams/memory_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "kernels/seams/common/memory_override.h"

namespace ito {
namespace {

size_t available_in_system() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (size_t kib = 0; file >> key >> kib; std::getline(file, unit))
    if (key == "MemAvailable:") return kib << 10;
  return SIZE_MAX;
}

// A file with one number; "max" or no such file is no number.
std::optional<size_t> number_in(const std::string& path) {
  std::ifstream file(path);
  size_t value = 0;
  if (file >> value) return value;
  return {};
}

// Of the pages counted as used, those of the page cache that the kernel gives back when asked.
size_t reclaimable(const std::string& folder, const char* key) {
  std::ifstream file(folder + "/memory.stat");
  std::string name;
  for (size_t bytes = 0; file >> name >> bytes;)
    if (name == key) return bytes;
  return 0;
}

size_t left_in_cgroup(const std::string& folder, bool second_version) {
  const auto limit = number_in(folder + (second_version ? "/memory.max" : "/memory.limit_in_bytes"));
  if (!limit) return SIZE_MAX;
  const size_t used = number_in(folder + (second_version ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
  const size_t cache = reclaimable(folder, second_version ? "inactive_file" : "total_inactive_file");
  const size_t held = used - std::min(used, cache);
  return *limit - std::min(*limit, held);
}

// A group's limit binds its children, so each group up to the root is asked; the root is also where a container sees
// its own.
size_t left_in_cgroups() {
  size_t least = SIZE_MAX;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // hierarchy:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool second_version = controllers.empty();
    if (!second_version && ("," + controllers + ",").find(",memory,") == std::string::npos) continue;
    const std::string root = second_version ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    std::string path = line.substr(second + 1);
    while (!path.empty()) {
      if (path != "/") least = std::min(least, left_in_cgroup(root + path, second_version));
      path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
    }
    least = std::min(least, left_in_cgroup(root, second_version));
  }
  return least;
}

size_t left_in_address_space() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  const size_t used = number_in("/proc/self/statm").value_or(0) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<size_t>(limit.rlim_cur, used);
}

}  // namespace

size_t host_memory_limit() {
  if (device_memory_is_the_hosts())
    if (const auto given = memory_limit_from_environment()) return *given;
  return std::min({available_in_system(), left_in_cgroups(), left_in_address_space()});
}

}  // namespace ito
