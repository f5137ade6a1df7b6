// SPDX-License-Identifier: Apache-2.0
// See archive_images.h.
#include "engine/data/archive_images.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include "engine/data/image_tree.h"
#include "engine/data/read_images.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char* kDatasetJson = "dataset.json";
constexpr uint64_t kMaxSmallFile = 1 << 20;    // of a class, or of a sample's JSON
constexpr uint64_t kMaxDatasetJson = 1 << 30;  // a hundred bytes an image, of ten million

// The members that are images, in the data set's order.
struct Chosen {
  std::vector<int64_t> members;
  std::vector<int32_t> labels;  // or empty
  std::vector<std::string> class_names;
};

class ChosenImages : public EncodedImages {
 public:
  ChosenImages(std::shared_ptr<const EncodedImages> all, std::vector<int64_t> chosen)
      : all_(std::move(all)), chosen_(std::move(chosen)) {}
  int64_t count() const override { return static_cast<int64_t>(chosen_.size()); }
  std::string name(int64_t index) const override { return all_->name(at(index)); }
  std::string listed_name(int64_t index) const override { return all_->listed_name(at(index)); }
  uint64_t stored_bytes(int64_t index) const override { return all_->stored_bytes(at(index)); }
  std::span<const uint8_t> bytes(int64_t index, std::vector<uint8_t>& room) const override {
    return all_->bytes(at(index), room);
  }

 private:
  int64_t at(int64_t index) const { return chosen_[static_cast<size_t>(index)]; }
  std::shared_ptr<const EncodedImages> all_;
  std::vector<int64_t> chosen_;
};

std::string text_of(const EncodedImages& members, int64_t index, uint64_t most_bytes) {
  ITO_USER_CHECK(members.stored_bytes(index) <= most_bytes, members.name(index), ": has ", members.stored_bytes(index),
                 " bytes; at most ", most_bytes, " are expected of this kind of file");
  std::vector<uint8_t> room;
  const std::span<const uint8_t> bytes = members.bytes(index, room);
  return {bytes.begin(), bytes.end()};
}

bool is_image(const std::string& name) {
  return is_read(std::filesystem::path(name).extension().string());
}

int32_t class_of(int64_t number, const std::string& where) {
  ITO_USER_CHECK(number >= 0 && number < std::numeric_limits<int32_t>::max(), where, ": ", number,
                 " is not a class (0, 1, 2, ...)");
  return static_cast<int32_t>(number);
}

// ---- dataset.json

Chosen by_dataset_json(const EncodedImages& members, int64_t json_member) {
  const std::string where = members.name(json_member);
  const Json json = parse_json(text_of(members, json_member, kMaxDatasetJson), where);
  ITO_USER_CHECK(json.is_object() && json.contains("labels"), where, ": has no \"labels\", a list or null");
  const std::string listed = members.listed_name(json_member);
  const std::string folder = listed.substr(0, listed.size() - std::string(kDatasetJson).size());
  std::map<std::string, int64_t> images;  // by name beside the file, sorted by bytes
  for (int64_t i = 0; i < members.count(); ++i)
    if (const std::string name = members.listed_name(i); is_image(name) && name.starts_with(folder))
      images[name.substr(folder.size())] = i;
  Chosen chosen;
  for (const auto& [name, member] : images) chosen.members.push_back(member);
  const Json& labels = json["labels"];
  if (labels.is_null()) return chosen;
  ITO_USER_CHECK(labels.is_array(), where, ": \"labels\" must be a list of [name, class], or null");
  std::map<std::string, int32_t> classes;
  for (const Json& label : labels) {
    const bool pair = label.is_array() && label.size() == 2 && label[0].is_string();
    ITO_USER_CHECK(pair && label[1].is_number_integer(), where, ": label ", classes.size(), " is ",
                   quote_name(label.dump(-1, ' ', true)), "; [name, class] is expected, the class a whole number");
    const std::string name = label[0].get<std::string>();
    ITO_USER_CHECK(images.contains(name), where, ": has a label for ", quote_name(name), ", which is not there");
    classes[name] = class_of(label[1].get<int64_t>(), where + ": " + quote_name(name));
  }
  for (const auto& [name, member] : images) {
    ITO_USER_CHECK(classes.contains(name), where, ": has no label for ", quote_name(name));
    chosen.labels.push_back(classes.at(name));
  }
  return chosen;
}

// ---- WebDataset

// What a sample's files have in common, and what tells them apart: all up to the first dot of the last part, and the
// rest.
struct SampleName {
  std::string key, ending;
};
SampleName sample_name(const std::string& name) {
  const size_t slash = name.rfind('/'), begin = slash == std::string::npos ? 0 : slash + 1;
  const size_t dot = std::min(name.find('.', begin), name.size());
  return {name.substr(0, dot), name.substr(dot)};
}

// The class that the file of a sample says; nothing of a .json without a "label".
std::optional<int64_t> class_in(const EncodedImages& members, int64_t index, bool json) {
  const std::string text = text_of(members, index, kMaxSmallFile), where = members.name(index);
  if (json) {
    const Json parsed = parse_json(text, where);
    if (!parsed.is_object() || !parsed.contains("label")) return std::nullopt;
    ITO_USER_CHECK(parsed["label"].is_number_integer(), where, ": \"label\" is ",
                   quote_name(parsed["label"].dump(-1, ' ', true)), "; a whole number is expected");
    return parsed["label"].get<int64_t>();
  }
  const size_t first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  int64_t number = 0;
  const char *begin = text.data() + std::min(first, text.size()), *end = text.data() + (last + 1);
  const auto [stop, error] = std::from_chars(begin, std::max(begin, end), number);
  ITO_USER_CHECK(first != std::string::npos && error == std::errc() && stop == end, where, ": is ", quote_name(text),
                 "; a class, a whole number, is expected");
  return number;
}

struct Sample {
  int64_t image = -1, other_image = -1, classes = -1, json = -1;
};

// The archives' samples, if their classes are stored in this way.
std::optional<Chosen> by_samples(const EncodedImages& members) {
  std::vector<Sample> samples;
  std::string key;  // of the last; a sample's files stand together
  bool any_class = false, any_json = false;
  for (int64_t i = 0; i < members.count(); ++i) {
    const SampleName name = sample_name(members.listed_name(i));
    if (samples.empty() || name.key != key) samples.emplace_back();
    key = name.key;
    Sample& sample = samples.back();
    if (is_read(name.ending)) (sample.image < 0 ? sample.image : sample.other_image) = i;
    if (name.ending == ".cls") sample.classes = i;
    if (name.ending == ".json") sample.json = i;
    any_class |= sample.image >= 0 && sample.classes >= 0;
    any_json |= sample.image >= 0 && sample.json >= 0;
  }
  if (!any_class && !any_json) return std::nullopt;
  Chosen chosen;
  for (const Sample& sample : samples) {
    if (sample.image < 0) continue;
    ITO_USER_CHECK(sample.other_image < 0, members.name(sample.other_image), ": is a second image of a sample");
    const int64_t from = any_class ? sample.classes : sample.json;
    ITO_USER_CHECK(from >= 0, members.name(sample.image), ": has no ", any_class ? ".cls" : ".json",
                   " beside it, as others have; every sample needs its class");
    const std::optional<int64_t> number = class_in(members, from, !any_class);
    if (!number && chosen.members.empty()) return std::nullopt;  // the JSON files are about something else
    ITO_USER_CHECK(number, members.name(from), ": has no \"label\", as others have; every sample needs its class");
    chosen.members.push_back(sample.image);
    chosen.labels.push_back(class_of(*number, members.name(from)));
  }
  return chosen;
}

// ---- as a folder

Chosen by_folders(const std::string& what, const EncodedImages& members, Split split) {
  NamedTree tree(what);
  const std::string root = what + "/";
  std::map<std::string, std::vector<int64_t>> of_name;  // several archives may have a file by one name
  for (int64_t i = 0; i < members.count(); ++i) {
    const std::string name = members.listed_name(i);
    tree.add(name);
    of_name[root + name].push_back(i);
  }
  ImageTree found = find_images(tree, what, split);
  Chosen chosen;
  std::map<std::string, size_t> used;
  for (const std::string& path : found.images) chosen.members.push_back(of_name.at(path).at(used[path]++));
  chosen.labels = std::move(found.labels);
  chosen.class_names = std::move(found.class_names);
  return chosen;
}

std::optional<int64_t> find_dataset_json(const EncodedImages& members) {
  std::optional<int64_t> best;  // the one nearest to the top
  for (int64_t i = 0; i < members.count(); ++i) {
    const std::filesystem::path name = members.listed_name(i);
    if (name.filename() == kDatasetJson && (!best || name.string().size() < members.listed_name(*best).size()))
      best = i;
  }
  return best;
}

Dataset load_chosen(const std::string& what, std::shared_ptr<const EncodedImages> members, Chosen chosen,
                    const LoadOptions& options) {
  ITO_USER_CHECK(!chosen.members.empty(), what, ": has no .png, .jpg or .jpeg images");
  Dataset data;
  data.name = what;
  data.labels = std::move(chosen.labels);
  data.class_names = std::move(chosen.class_names);
  read_images(std::make_shared<ChosenImages>(std::move(members), std::move(chosen.members)), options, data);
  return data;
}

}  // namespace

Dataset load_archive(const std::string& what, std::shared_ptr<const EncodedImages> members, bool web_dataset,
                     const LoadOptions& options) {
  Chosen chosen;
  if (const std::optional<int64_t> json = find_dataset_json(*members)) {
    chosen = by_dataset_json(*members, *json);
  } else {
    std::optional<Chosen> samples;
    if (web_dataset) samples = by_samples(*members);
    chosen = samples ? std::move(*samples) : by_folders(what, *members, options.split);
  }
  return load_chosen(what, std::move(members), std::move(chosen), options);
}

bool has_dataset_json(const std::string& folder) {
  std::error_code ignored;
  const std::filesystem::path path = std::filesystem::path(folder) / kDatasetJson;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  const std::vector<uint8_t> bytes = read_whole_file(path.string(), kMaxDatasetJson);
  const Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  return json.is_object() && json.contains("labels");
}

Dataset load_with_dataset_json(const std::string& folder, const LoadOptions& options) {
  std::vector<std::string> paths{(std::filesystem::path(folder) / kDatasetJson).string()};
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder))
    if (is_image(item.path().string()) && item.is_regular_file()) paths.push_back(item.path().string());
  std::shared_ptr<const EncodedImages> members = image_files(folder, std::move(paths));
  Chosen chosen = by_dataset_json(*members, 0);
  return load_chosen(folder, std::move(members), std::move(chosen), options);
}

}  // namespace ito
