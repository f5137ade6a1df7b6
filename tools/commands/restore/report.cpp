// SPDX-License-Identifier: Apache-2.0
// See report.h.
#include "tools/commands/restore/report.h"

#include <algorithm>
#include <cmath>

#include "engine/data/in_threads.h"
#include "engine/evaluate/image_scores.h"
#include "engine/io/sample_grid.h"

namespace ito {
namespace {

constexpr int64_t kMostRows = 16, kMostSamples = 3;  // of the picture
constexpr int kGap = 2;

std::vector<float> rows_of(const std::vector<float>& values, int64_t at, int64_t n, int64_t width) {
  return {values.begin() + at * width, values.begin() + (at + n) * width};
}

// (draws, H, W, C) of one measurement.
std::vector<float> draws_of(const RestoredImages& images, int64_t at) {
  return to_interleaved(rows_of(images.samples, at, 1, images.draws * images.image.size()), images.draws, images.image);
}

std::vector<float> mean_of(const RestoredImages& images, int64_t at) {
  return to_interleaved(rows_of(images.mean, at, 1, images.image.size()), 1, images.image);
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size()) / 2;
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double average_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// |y - H x| of every sample, over sqrt M, and over s where there is noise.
std::vector<double> residuals_of(const RestoredImages& images, const Measurements& measured, HostOperator& host,
                                 double noise) {
  const int64_t m = host.op().measurements();
  std::vector<double> residuals;
  for (int64_t at = 0; at < images.count; ++at) {
    const std::vector<float> y = host.apply(draws_of(images, at));
    for (int64_t draw = 0; draw < images.draws; ++draw) {
      double squares = 0;
      for (int64_t i = 0; i < m; ++i) {
        const double off =
            static_cast<double>(measured.y[static_cast<size_t>(at * m + i)]) - y[static_cast<size_t>(draw * m + i)];
        squares += off * off;
      }
      residuals.push_back(std::sqrt(squares / static_cast<double>(m)) / (noise > 0 ? noise : 1));
    }
  }
  return residuals;
}

// Of one measurement's mean and, on average, of its samples.
struct Scores {
  double mean_psnr, mean_ssim, sample_psnr, sample_ssim;
};

Scores scores_of(const RestoredImages& images, const Measurements& measured, int64_t at) {
  const int64_t size = images.image.size();
  const float* truth = measured.truth.data() + at * size;
  const std::vector<float> mean = mean_of(images, at), draws = draws_of(images, at);
  Scores scores{psnr(mean.data(), truth, size), ssim(mean.data(), truth, images.image), 0, 0};
  for (int64_t draw = 0; draw < images.draws; ++draw) {
    scores.sample_psnr += psnr(draws.data() + draw * size, truth, size) / images.draws;
    scores.sample_ssim += ssim(draws.data() + draw * size, truth, images.image) / images.draws;
  }
  return scores;
}

// The mean of one of the scores over all measurements, and each of them.
Json summary(const std::vector<Scores>& all, double Scores::*of_mean, double Scores::*of_sample) {
  std::vector<double> means, samples;
  for (const Scores& scores : all) {
    means.push_back(scores.*of_mean);
    samples.push_back(scores.*of_sample);
  }
  return {{"of_mean", average_of(means)},
          {"of_sample", average_of(samples)},
          {"of_mean_by_measurement", means},
          {"of_sample_by_measurement", samples}};
}

}  // namespace

RestoreReport report_on(const RestoredImages& images, const Measurements& measured, HostOperator& host, double noise,
                        int threads) {
  RestoreReport report;
  const std::vector<double> residuals = residuals_of(images, measured, host, noise);
  const char* what = noise > 0 ? "|y - H x| / (s sqrt M)" : "|y - H x| / sqrt M";
  std::vector<double> by_measurement;
  for (int64_t at = 0; at < images.count; ++at)
    by_measurement.push_back(
        median_of({residuals.begin() + at * images.draws, residuals.begin() + (at + 1) * images.draws}));
  const double median = median_of(residuals);
  report.json["residual"] = {{"of", what}, {"median", median}, {"median_by_measurement", by_measurement}};
  report.line = join_text("residual ", what, " ", median, ", median of ", residuals.size(), " samples");
  if (measured.truth.empty()) return report;
  std::vector<Scores> all(static_cast<size_t>(images.count));
  for_each_in_threads(0, images.count, threads,
                      [&](int64_t at) { all[static_cast<size_t>(at)] = scores_of(images, measured, at); });
  Json& found = report.json;
  found["psnr"] = summary(all, &Scores::mean_psnr, &Scores::sample_psnr);
  found["ssim"] = summary(all, &Scores::mean_ssim, &Scores::sample_ssim);
  const auto number = [&](const char* score, const char* of) { return found[score][of].get<double>(); };
  report.line +=
      join_text("; PSNR ", number("psnr", "of_mean"), " dB and SSIM ", number("ssim", "of_mean"), " of the mean, ",
                number("psnr", "of_sample"), " dB and ", number("ssim", "of_sample"), " of a sample");
  return report;
}

RestorePicture picture_of(const RestoredImages& images, const Measurements& measured, HostOperator& host) {
  const ImageShape& shape = images.image;
  const int64_t size = shape.size(), m = host.op().measurements(), rows = std::min(images.count, kMostRows),
                samples = std::min<int64_t>(images.draws, kMostSamples);
  const bool has_truth = !measured.truth.empty(), is_image = host.op().measured() == shape,
             has_inverse = host.op().has_pseudo_inverse(), has_spread = images.draws > 1;
  const float largest = *std::max_element(images.deviation.begin(), images.deviation.begin() + rows * size);
  std::vector<Image> cells;
  const auto add = [&](const std::vector<float>& numbers) {
    cells.push_back(to_picture(to_bytes(numbers).data(), shape));
  };
  for (int64_t at = 0; at < rows; ++at) {
    const std::vector<float> y = rows_of(measured.y, at, 1, m), draws = draws_of(images, at);
    if (has_truth) add(rows_of(measured.truth, at, 1, size));
    if (is_image) add(y);
    if (has_inverse) add(host.pseudo_inverse(y));
    for (int64_t draw = 0; draw < samples; ++draw) add(rows_of(draws, draw, 1, size));
    if (!has_spread) continue;
    add(mean_of(images, at));
    std::vector<float> deviation = to_interleaved(rows_of(images.deviation, at, 1, size), 1, shape);
    for (float& v : deviation) v = largest > 0 ? 2 * v / largest - 1 : -1;
    add(deviation);
  }
  RestorePicture picture;
  picture.columns = join_text(has_truth ? "truth, " : "", is_image ? "measurement, " : "", has_inverse ? "H+ y, " : "",
                              samples, samples > 1 ? " samples" : " sample");
  if (has_spread) picture.columns += join_text(", mean, standard deviation (white: ", largest, ")");
  picture.image = image_grid(cells, static_cast<int>(static_cast<int64_t>(cells.size()) / rows), kGap);
  return picture;
}

}  // namespace ito
