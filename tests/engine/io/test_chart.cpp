// SPDX-License-Identifier: Apache-2.0
// The chart: ticks, smoothing, gaps, and that every angle bracket closes.
#include "engine/io/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Enough of an XML parser for what the chart uses: one root, tags that nest, attributes in double quotes, no bare & or
// <.
std::string xml_fault(std::string text) {
  std::vector<std::string> open;
  int roots = 0;
  if (text.starts_with("<?xml")) text.erase(0, text.find("?>") + 2);
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '&') {
      const std::string entity = text.substr(i, text.find(';', i) + 1 - i);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;")
        return "bare & at " + text.substr(i, 20);
    }
    if (text[i] != '<') {
      if (open.empty() && !std::isspace(static_cast<unsigned char>(text[i]))) return "text outside the root";
      ++i;
      continue;
    }
    const size_t end = text.find('>', i);
    if (end == std::string::npos) return "a tag is not closed";
    const std::string tag = text.substr(i + 1, end - i - 1);
    if (tag.find('<') != std::string::npos || std::count(tag.begin(), tag.end(), '"') % 2) return "bad tag " + tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || "/" + open.back() != tag) return "unexpected <" + tag;
      open.pop_back();
    } else {
      roots += open.empty();
      if (tag.back() != '/') open.push_back(name);
    }
    i = end + 1;
  }
  if (!open.empty()) return "never closed: " + open.back();
  return roots == 1 ? "" : "not one root";
}

std::vector<double> line_points(const std::string& svg, size_t which) {
  size_t at = 0;
  for (size_t i = 0; i <= which; ++i) at = svg.find("points=\"", at + 1);
  std::string text = svg.substr(at + 8, svg.find('"', at + 8) - at - 8);
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream in(text);
  return {std::istream_iterator<double>(in), {}};
}

TEST(Chart, RoundTicks) {
  EXPECT_EQ(round_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(round_ticks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(round_ticks(13, 987, 5), (std::vector<double>{200, 400, 600, 800}));
  EXPECT_EQ(round_ticks(5, 5, 5), std::vector<double>{5});
  for (const double high : {1e-7, 0.3, 7.0, 123456.0}) {
    const size_t count = round_ticks(0, high, 6).size();
    EXPECT_GE(count, 3u) << high;
    EXPECT_LE(count, 7u) << high;
  }
}

TEST(Chart, MovingAverage) {
  EXPECT_EQ(moving_average({1, 2, 6, 4, 5}, 3), (std::vector<double>{1, 3, 4, 5, 5}));
  EXPECT_EQ(moving_average({1, NAN, 3}, 3), (std::vector<double>{1, 2, 3}));
  EXPECT_TRUE(std::isnan(moving_average({NAN}, 1)[0]));
}

TEST(Chart, IsValidXmlWhateverTheNames) {
  Series series{"a<b> & \"c\"\n", {}, {}};
  for (int i = 0; i < 100; ++i) {
    series.xs.push_back(i);
    series.ys.push_back(1 + std::sin(i));
  }
  for (const bool log_y : {false, true}) {
    const std::string svg = line_chart_svg("loss <&>", "step", "loss", {series, {"second", {0, 99}, {1, 2}}}, log_y);
    EXPECT_EQ(xml_fault(svg), "");
    EXPECT_NE(svg.find("a&lt;b&gt; &amp; &quot;c&quot; <"), std::string::npos);
    EXPECT_EQ(count_of(svg, "<polyline"), 3u);  // the first raw and smoothed, the second as it is
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
}

TEST(Chart, DrawsThePointsWhereTheyBelong) {
  const std::string svg = line_chart_svg("t", "x", "y", {{"s", {0, 50, 100}, {1, 100, 10}}}, true);
  const std::vector<double> points = line_points(svg, 0);
  ASSERT_EQ(points.size(), 6u);
  EXPECT_NEAR(points[2], (points[0] + points[4]) / 2, 0.011);  // coordinates have two decimals
  // On a logarithmic axis 10 lies halfway between 1 and 100, and up is towards smaller y.
  EXPECT_NEAR(points[5], (points[1] + points[3]) / 2, 0.011);
  EXPECT_LT(points[3], points[1]);
}

TEST(Chart, LeavesGapsForWhatCannotBeDrawn) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> xs = {0, 1, 2, 3, 4};
  EXPECT_EQ(count_of(line_chart_svg("t", "x", "y", {{"s", xs, {1, NAN, 2, inf, 3}}}, false), "<polyline"), 3u);
  EXPECT_EQ(count_of(line_chart_svg("t", "x", "y", {{"s", xs, {1, 2, 0, 3, -1}}}, true), "<polyline"), 2u);
  EXPECT_EQ(count_of(line_chart_svg("t", "x", "y", {{"s", xs, {1, 2, 0, 3, -1}}}, false), "<polyline"), 1u);
}

TEST(Chart, OddDataStillGivesAChart) {
  const std::vector<Series> odd = {{"none", {}, {}},
                                   {"one", {3}, {0}},
                                   {"flat", {0, 1}, {7, 7}},
                                   {"nan", {1}, {NAN}},
                                   {"huge", {0, 1}, {1e-200, 1e200}},
                                   {"zero", {0, 0}, {0, 0}}};
  for (const Series& series : odd)
    for (const bool log_y : {false, true}) {
      const std::string svg = line_chart_svg("t", "x", "y", {series}, log_y);
      EXPECT_EQ(xml_fault(svg), "") << series.name;
      EXPECT_EQ(svg.find("nan,"), std::string::npos) << series.name;
      EXPECT_EQ(svg.find("inf"), std::string::npos) << series.name;
      EXPECT_LT(svg.size(), 20'000u) << series.name;
    }
  EXPECT_EQ(xml_fault(line_chart_svg("t", "x", "y", {}, false)), "");
}

TEST(Chart, ThinsLongCurvesButKeepsSpikes) {
  Series series{"s", {}, {}};
  for (int i = 0; i < 100'000; ++i) {
    series.xs.push_back(i);
    series.ys.push_back(i == 54'321 ? 10 : 1 + 0.1 * std::sin(i));
  }
  const std::string svg = line_chart_svg("t", "x", "y", {series}, false);
  EXPECT_LT(svg.size(), 100'000u);
  const std::vector<double> points = line_points(svg, 0);
  double top = 1e9;
  for (size_t i = 1; i < points.size(); i += 2) top = std::min(top, points[i]);
  EXPECT_LT(top, 80);  // the spike is near the chart's upper edge (48), everything else far below
}

TEST(Chart, WritesTheFileAndRefusesHalfASeries) {
  TempFolder folder;
  write_line_chart(folder / "x.svg", "t", "x", "y", {{"s", {0, 1}, {1, 2}}}, false);
  EXPECT_EQ(read_bytes(folder / "x.svg"), line_chart_svg("t", "x", "y", {{"s", {0, 1}, {1, 2}}}, false));
  EXPECT_EQ(message_of<Error>([&] {
              line_chart_svg("t", "x", "y", {{"s", {0, 1}, {1}}}, false);
            }),
            "chart: series s has 2 x and 1 y");
}

}  // namespace
}  // namespace ito
