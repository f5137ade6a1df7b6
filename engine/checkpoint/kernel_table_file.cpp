// SPDX-License-Identifier: Apache-2.0
// See kernel_table_file.h.
#include "engine/checkpoint/kernel_table_file.h"

#include <fmt/format.h>

#include "engine/io/hash.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"
#include "kernels/seams/device.h"

namespace ito {
namespace {

bool given_by_user = false;

std::string text_at(const Json& object, const char* key, const std::string& path) {
  const auto at = object.find(key);
  ITO_USER_CHECK(at != object.end() && at->is_string(), path, ": has no text '", key,
                 "'; expected a kernel table, as a tuning run or a checkpoint writes it");
  return at->get<std::string>();
}

}  // namespace

std::string hash_of(const KernelTable& table) {
  std::string all = table.device + "\n";
  for (const auto& [key, name] : table.choices) all.append(key).append(": ").append(name).append("\n");
  return fmt::format("{:016x}", hash_text(all));
}

Json json_of(const KernelTable& table) {
  return {{"device", table.device}, {"hash", hash_of(table)}, {"choices", table.choices}};
}

KernelTable read_kernel_table(const std::string& path) {
  const Json json = read_json_file(path);
  ITO_USER_CHECK(json.is_object(), path, ": is no JSON object; expected a kernel table");
  KernelTable table;
  table.source = path;
  table.device = text_at(json, "device", path);
  const auto choices = json.find("choices");
  ITO_USER_CHECK(choices != json.end() && choices->is_object(), path,
                 ": has no object 'choices'; expected a kernel table, as a tuning run or a checkpoint writes it");
  for (const auto& [key, name] : choices->items()) {
    ITO_USER_CHECK(name.is_string(), path, ": the choice for ", quote_name(key), " is ", printable(name.dump(), 60),
                   "; expected the name of a kernel");
    table.choices.emplace(key, name.get<std::string>());
  }
  const std::string said = text_at(json, "hash", path), found = hash_of(table);
  ITO_USER_CHECK(said == found, path, ": its hash is ", printable(said, 60), ", but its choices give ", found,
                 "; it was changed by hand: write that hash into it if this was meant");
  return table;
}

void take_kernel_table(const std::string& path) {
  KernelTable table = read_kernel_table(path);
  ITO_USER_CHECK(table.device == device_name(), path, ": was made on ", quote_name(table.device), "; this is ",
                 device_name(), ": make a table here");
  given_by_user = true;
  use_kernel_table(std::move(table));
}

void take_kernels_of(const ModelFiles& files) {
  if (given_by_user || files.kernels.empty()) return;
  KernelTable table = read_kernel_table(files.kernels);
  if (table.device != device_name()) return;
  table.binding = false;  // a newer library may have other kernels
  use_kernel_table(std::move(table));
}

}  // namespace ito
