// SPDX-License-Identifier: Apache-2.0
// Fashion-MNIST by name: 60000 training and 10000 test images of clothing, 28x28 grey, ten classes.
#include <cstdlib>

#include "engine/data/format_idx.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr char kName[] = "fashion-mnist";
constexpr char kSystemFolder[] = "/usr/share/datasets/fashion-mnist";

bool is_fashion_mnist(const std::string& what) {
  return what == kName;
}

Dataset load_fashion_mnist(const std::string&, const LoadOptions& options) {
  std::string searched;
  std::string images;
  if (const char* root = std::getenv("ITO_DATA_DIR"); root && *root) {
    searched = std::string(root) + "/" + kName;
    images = find_idx_images(searched, options.split);
    searched += " and ";
  }
  if (images.empty()) images = find_idx_images(kSystemFolder, options.split);
  ITO_USER_CHECK(!images.empty(), kName, ": not found in ", searched, kSystemFolder,
                 "; install the Debian package dataset-fashion-mnist, or put its files into $ITO_DATA_DIR/", kName);
  Dataset data = load_idx_images(images, options);
  ITO_USER_CHECK(!data.labels.empty(), images, ": its labels file is missing; install dataset-fashion-mnist again");
  data.name = kName;
  data.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return data;
}

}  // namespace

extern const DatasetFormat kFashionMnistFormat;
const DatasetFormat kFashionMnistFormat = {kName, is_fashion_mnist, load_fashion_mnist};

}  // namespace ito
