// SPDX-License-Identifier: Apache-2.0
// See mixture_config.h. Every number is looked at: a mixture that is wrong would still answer.
#include "models/mixture/mixture_config.h"

#include <cmath>

#include "engine/io/json_reader.h"
#include "kernels/diffusion/mixture.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int kMostSide = 1 << 14;
constexpr int64_t kMostNumbers = int64_t{1} << 27;
constexpr double kLeastWeight = 1e-300, kMostWeight = 1e300;
constexpr double kMostMean = 1e6, kLeastVariance = 1e-12, kMostVariance = 1e12;

void check(const MixtureConfig& c, const std::string& where) {
  const size_t components = c.weights.size(), size = static_cast<size_t>(c.image.size());
  ITO_USER_CHECK(components >= 1 && components <= kMostComponents, where, ": weights holds ", components,
                 " numbers; expected 1 to ", kMostComponents, ", one a component");
  ITO_USER_CHECK(c.means.size() == components, where, ": means holds ", c.means.size(), " lists for ", components,
                 " weights; give one a component");
  ITO_USER_CHECK(c.variances.size() == components, where, ": variances holds ", c.variances.size(), " entries for ",
                 components, " weights; give one a component");
  for (const double weight : c.weights)
    ITO_USER_CHECK(weight >= kLeastWeight && weight <= kMostWeight, where, ": weights holds ", weight, "; expected ",
                   kLeastWeight, " to ", kMostWeight);
  for (size_t k = 0; k < components; ++k) {
    ITO_USER_CHECK(c.means[k].size() == size, where, ": means[", k, "] holds ", c.means[k].size(),
                   " numbers; expected ", size, ", as many as the shape has");
    for (const double mean : c.means[k])
      ITO_USER_CHECK(std::fabs(mean) <= kMostMean, where, ": means[", k, "] holds ", mean, "; expected at most ",
                     kMostMean, " either sign");
    ITO_USER_CHECK(c.variances[k].size() == size || c.variances[k].size() == 1, where, ": variances[", k, "] holds ",
                   c.variances[k].size(), " numbers; expected ", size, ", as many as the shape has, or one");
    for (const double variance : c.variances[k])
      ITO_USER_CHECK(variance >= kLeastVariance && variance <= kMostVariance, where, ": variances[", k, "] holds ",
                     variance, "; expected ", kLeastVariance, " to ", kMostVariance);
  }
}

void check_classes(const MixtureConfig& c, const std::string& where) {
  if (c.classes.empty()) return;
  ITO_USER_CHECK(c.classes.size() == c.weights.size(), where, ": classes holds ", c.classes.size(), " numbers for ",
                 c.weights.size(), " weights; give one a component, or leave classes out");
  for (const int number : c.classes)
    ITO_USER_CHECK(number >= 0 && number < static_cast<int>(c.classes.size()), where, ": classes holds ", number,
                   "; expected 0 to ", c.classes.size() - 1);
  for (int number = 0; number < c.class_count(); ++number)
    ITO_USER_CHECK(std::ranges::find(c.classes, number) != c.classes.end(), where, ": classes holds ",
                   c.class_count() - 1, " but no ", number, "; number them without gaps");
}

ImageShape shape_from(const std::vector<int>& shape, const std::string& where) {
  ITO_USER_CHECK(shape.size() == 3, where, ": shape holds ", shape.size(), " numbers; expected [C, H, W]");
  for (const int extent : shape)
    ITO_USER_CHECK(extent >= 1 && extent <= kMostSide, where, ": shape holds ", extent, "; expected 1 to ", kMostSide);
  const ImageShape image{shape[1], shape[2], shape[0]};
  ITO_USER_CHECK(image.size() <= kMostNumbers, where, ": shape is of ", image.size(), " numbers; expected at most ",
                 kMostNumbers);
  return image;
}

// A list of numbers is one a component; a list of lists is read as it is.
void read_variances(JsonReader& reader, const Json& object, std::vector<std::vector<double>>& variances) {
  const Json& given = object["variances"];
  if (given.is_array() && !given.empty() && given[0].is_array()) {
    reader.read("variances", variances);
    return;
  }
  std::vector<double> single;
  reader.read("variances", single);
  for (const double variance : single) variances.push_back({variance});
}

}  // namespace

MixtureConfig mixture_config_from_json(const Json& object, const std::string& where,
                                       std::vector<std::string>* warnings) {
  JsonReader reader(object, where);
  for (const char* key : {"shape", "weights", "means", "variances"})
    ITO_USER_CHECK(reader.has(key), where, ": has no ", key,
                   "; a Gaussian mixture has shape [C, H, W], weights, means and variances");
  MixtureConfig c;
  std::vector<int> shape;
  reader.read("shape", shape);
  c.image = shape_from(shape, where);
  reader.read("weights", c.weights);
  reader.read("means", c.means);
  read_variances(reader, object, c.variances);
  if (reader.has("classes")) reader.read("classes", c.classes);
  check(c, where);
  check_classes(c, where);
  if (warnings)
    if (const std::string unknown = reader.unread_names(); !unknown.empty())
      warnings->push_back(where + ": ignoring unknown keys: " + unknown);
  return c;
}

Json to_json(const MixtureConfig& c) {
  Json variances = c.variances;
  bool single = true;
  for (const std::vector<double>& of_component : c.variances) single = single && of_component.size() == 1;
  if (single) {
    variances = Json::array();
    for (const std::vector<double>& of_component : c.variances) variances.push_back(of_component[0]);
  }
  Json file{{"_class_name", "GaussianMixture"},
            {"shape", {c.image.channels, c.image.height, c.image.width}},
            {"weights", c.weights},
            {"means", c.means},
            {"variances", variances}};
  if (!c.classes.empty()) file["classes"] = c.classes;
  return file;
}

GaussianMixture MixtureConfig::mixture() const {
  std::vector<double> flat_means, flat_variances;
  const auto append = [&](std::vector<double>& to, const std::vector<double>& planar) {
    const std::vector<double> pixels = transposed(planar, 1, image.channels, image.pixels());
    to.insert(to.end(), pixels.begin(), pixels.end());
  };
  for (size_t k = 0; k < means.size(); ++k) {
    append(flat_means, means[k]);
    append(flat_variances,
           variances[k].size() == 1 ? std::vector<double>(means[k].size(), variances[k][0]) : variances[k]);
  }
  return GaussianMixture(weights, flat_means, flat_variances);
}

}  // namespace ito
