// SPDX-License-Identifier: Apache-2.0
// The classifier's folder: config.json with its sizes and history, and its weights as a checkpoint has them.
#include <filesystem>

#include "engine/checkpoint/names.h"
#include "engine/checkpoint/weights.h"
#include "engine/evaluate/classifier.h"
#include "engine/evaluate/classifier_network.h"
#include "engine/io/atomic_folder.h"
#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char *kClassName = "ItoClassifier", *kClassifierWeights = "model.safetensors";
constexpr const char* kAdvice = "; give another folder, or one that does not exist, and a classifier is trained there";

}  // namespace

Classifier Classifier::read(const std::string& folder, const ImageShape& image, int classes) {
  const std::string config_path = (fs::path(folder) / kConfigFile).string();
  std::error_code ignored;
  ITO_USER_CHECK(fs::is_regular_file(config_path, ignored), folder, ": is no classifier's folder: it has no ",
                 kConfigFile, kAdvice);
  const Json config = read_json_file(config_path);
  JsonReader reader(config, config_path);
  std::string class_name;
  ImageShape found;
  int found_classes = 0, features = 0;
  reader.read("_class_name", class_name);
  ITO_USER_CHECK(class_name == kClassName, config_path, ": is of ",
                 class_name.empty() ? "no class" : quote_name(class_name), ", not of a classifier", kAdvice);
  reader.read("height", found.height);
  reader.read("width", found.width);
  reader.read("channels", found.channels);
  reader.read("classes", found_classes);
  reader.read("features", features);
  ITO_USER_CHECK(found == image && found_classes == classes, config_path, ": is a classifier of images of ",
                 found.height, " x ", found.width, " x ", found.channels, " in ", found_classes,
                 " classes; the data has ", image.height, " x ", image.width, " x ", image.channels, " in ", classes,
                 kAdvice);
  ITO_USER_CHECK(features == kClassifierFeatures, config_path, ": is a classifier of ", features, " features; it has ",
                 kClassifierFeatures, " here", kAdvice);
  const Json history = config.value("history", Json::object());
  return {image, classes,
          read_weights((fs::path(folder) / kClassifierWeights).string(), classifier_layout(image, classes)), history};
}

void Classifier::write(const std::string& folder) const {
  const fs::path named(folder), place = named.has_filename() ? named : named.parent_path();  // of "DIR/": DIR
  const fs::path temporary = place.string() + ".partial";
  std::error_code ignored;
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    write_json_file((temporary / kConfigFile).string(), {{"_class_name", kClassName},
                                                         {"height", image_.height},
                                                         {"width", image_.width},
                                                         {"channels", image_.channels},
                                                         {"classes", classes_},
                                                         {"features", kClassifierFeatures},
                                                         {"history", history_}});
    write_weights((temporary / kClassifierWeights).string(), classifier_layout(image_, classes_), weights_);
    put_folder_in_place(temporary, place);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(temporary, ignored);
    fail<UserError>(folder, ": cannot be written: ", e.code().message(), "; choose another folder or free some space");
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
}

}  // namespace ito
