// SPDX-License-Identifier: Apache-2.0
// Coordinates are printed with two decimals: enough for a screen, and short lines in long runs. A curve of more points
// than kMaxPoints is thinned to the minimum and maximum of each stretch, so that spikes stay.
#include "engine/io/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "engine/io/atomic_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr double kWidth = 760, kHeight = 440;
constexpr double kLeft = 80, kRight = 24, kTop = 48, kBottom = 60;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMaxPoints = 2000, kSmoothedFrom = 20;

struct Ink {
  const char* light;
  const char* dark;
};
// Dark inks of at least 4.5:1 contrast on white, told apart by the colour-blind as well.
constexpr Ink kInks[] = {
    {"#a9c4e6", "#1f5fa8"}, {"#f2c3a0", "#b3520b"}, {"#a8d8bd", "#1b7a47"}, {"#d9b8e0", "#84399b"}};

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

std::string xml_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

struct Axis {
  double low = 0, high = 1;
  double from = 0, to = 1;  // the same ends in pixels
  bool log = false;

  double scaled(double value) const { return log ? std::log10(value) : value; }
  double pixel(double value) const {
    return from + (scaled(value) - scaled(low)) / (scaled(high) - scaled(low)) * (to - from);
  }
};

bool drawable(double value, bool log) {
  return std::isfinite(value) && (!log || value > 0);
}

// The range of the drawable points, widened where it is empty or a single value.
Axis fit_axis(const std::vector<Series>& series, bool vertical, bool log_y) {
  Axis axis;
  axis.log = vertical && log_y;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Series& s : series)
    for (size_t i = 0; i < s.xs.size(); ++i) {
      if (!drawable(s.xs[i], false) || !drawable(s.ys[i], log_y)) continue;
      const double value = vertical ? s.ys[i] : s.xs[i];
      low = std::min(low, value);
      high = std::max(high, value);
    }
  if (low > high) {
    low = axis.log ? 0.1 : 0;
    high = 1;
  }
  if (axis.log) {
    // A fraction of a decade of room, and at least a factor of two, so that a tick falls inside.
    const double middle = std::sqrt(low) * std::sqrt(high), ratio = std::max(std::sqrt(high) / std::sqrt(low), 1.5);
    low = middle / ratio / 1.1;
    high = middle * ratio * 1.1;
  } else if (!(high - low > 1e-12 * std::max(std::fabs(low), std::fabs(high)))) {
    const double room = low == 0 ? 1 : std::fabs(low) * 0.5;
    low -= room;
    high += room;
  } else if (vertical) {
    const double room = (high - low) * 0.05;
    low -= room;
    high += room;
  }
  axis.low = low;
  axis.high = high;
  return axis;
}

std::vector<double> axis_ticks(const Axis& axis, bool vertical) {
  if (!axis.log) return round_ticks(axis.low, axis.high, vertical ? 8 : 6);
  const int first = static_cast<int>(std::floor(std::log10(axis.low)));
  const int last = static_cast<int>(std::ceil(std::log10(axis.high)));
  const int step = std::max(1, (last - first) / 8);
  const std::vector<double> marks = last - first <= 3 ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
  std::vector<double> ticks;
  for (int e = first; e <= last; e += step)
    for (const double mark : marks) {
      const double value = mark * std::pow(10.0, e);
      if (value >= axis.low && value <= axis.high) ticks.push_back(value);
    }
  return ticks;
}

std::string polylines(const Series& s, const std::vector<double>& ys, const Axis& x, const Axis& y,
                      const std::string& attributes) {
  std::string out, points;
  int count = 0;
  const auto close = [&] {
    // A lone point between gaps would be invisible as a line.
    if (count == 1) points += " " + points;
    if (count > 0) out += "<polyline " + attributes + " points=\"" + points + "\"/>\n";
    points.clear();
    count = 0;
  };
  const auto add = [&](size_t i) {
    if (!drawable(s.xs[i], false) || !drawable(ys[i], y.log)) return close();
    if (count++ > 0) points += ' ';
    points += format("%.2f", x.pixel(s.xs[i])) + "," + format("%.2f", y.pixel(ys[i]));
  };
  const size_t stretch = std::max<size_t>(1, 2 * ys.size() / kMaxPoints);
  for (size_t first = 0; first < ys.size(); first += stretch) {
    const auto begin = ys.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = ys.begin() + static_cast<std::ptrdiff_t>(std::min(first + stretch, ys.size()));
    if (stretch == 1 || !std::all_of(begin, end, [&](double v) { return drawable(v, y.log); })) {
      for (auto it = begin; it != end; ++it) add(static_cast<size_t>(it - ys.begin()));
      continue;
    }
    const auto [low, high] = std::minmax_element(begin, end);
    add(static_cast<size_t>(std::min(low, high) - ys.begin()));
    if (low != high) add(static_cast<size_t>(std::max(low, high) - ys.begin()));
  }
  close();
  return out;
}

std::string line(double x1, double y1, double x2, double y2, const char* ink) {
  return "<line x1=\"" + format("%.2f", x1) + "\" y1=\"" + format("%.2f", y1) + "\" x2=\"" + format("%.2f", x2) +
         "\" y2=\"" + format("%.2f", y2) + "\" stroke=\"" + ink + "\"/>\n";
}

std::string text_at(double x, double y, const std::string& text, const std::string& attributes) {
  return "<text x=\"" + format("%.2f", x) + "\" y=\"" + format("%.2f", y) + "\" " + attributes + ">" +
         xml_escaped(text) + "</text>\n";
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int wanted) {
  const double rough = (high - low) / std::max(1, wanted);
  if (!(rough > 0) || !std::isfinite(rough)) return {low};
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double mark : {1.0, 2.0, 5.0})
    if (mark * power >= rough * (1 - 1e-9)) {
      step = mark * power;
      break;
    }
  std::vector<double> ticks;
  // Multiples of the step, not a running sum, so that 0 is 0 and 0.3 is not 0.30000000000000004 steps later.
  const double first = std::ceil(low / step - 1e-9);
  for (int k = 0; (first + k) * step <= high + 1e-9 * step; ++k) ticks.push_back((first + k) * step + 0.0);
  return ticks;
}

std::vector<double> moving_average(const std::vector<double>& values, int window) {
  const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(values.size()), half = window / 2;
  // Running sums; the values that are not finite count as absent.
  std::vector<double> sum(values.size() + 1), count(values.size() + 1);
  for (size_t i = 0; i < values.size(); ++i) {
    const bool finite = std::isfinite(values[i]);
    sum[i + 1] = sum[i] + (finite ? values[i] : 0);
    count[i + 1] = count[i] + (finite ? 1 : 0);
  }
  std::vector<double> out(values.size(), kMissing);
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const std::ptrdiff_t reach = std::min({half, i, size - 1 - i});
    const auto first = static_cast<size_t>(i - reach), last = static_cast<size_t>(i + reach + 1);
    const double present = count[last] - count[first];
    if (present > 0) out[static_cast<size_t>(i)] = (sum[last] - sum[first]) / present;
  }
  return out;
}

std::string line_chart_svg(const std::string& title, const std::string& x_label, const std::string& y_label,
                           const std::vector<Series>& series, bool log_y) {
  for (const Series& s : series)
    ITO_CHECK(s.xs.size() == s.ys.size(), "chart: series ", s.name, " has ", s.xs.size(), " x and ", s.ys.size(), " y");
  Axis x = fit_axis(series, false, log_y), y = fit_axis(series, true, log_y);
  x.from = kLeft;
  x.to = kWidth - kRight;
  y.from = kHeight - kBottom;
  y.to = kTop;

  std::string out =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " +
      format("%.0f", kWidth) + " " + format("%.0f", kHeight) + "\" width=\"" + format("%.0f", kWidth) + "\" height=\"" +
      format("%.0f", kHeight) + "\" font-family=\"sans-serif\" font-size=\"13\">\n" +
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  out += text_at(kWidth / 2, 26, title, "text-anchor=\"middle\" font-size=\"16\" fill=\"#222222\"");
  for (const double tick : axis_ticks(x, false)) {
    out += line(x.pixel(tick), y.from, x.pixel(tick), y.to, "#e4e4e4");
    out += text_at(x.pixel(tick), y.from + 20, format("%.6g", tick), "text-anchor=\"middle\" fill=\"#444444\"");
  }
  for (const double tick : axis_ticks(y, true)) {
    out += line(x.from, y.pixel(tick), x.to, y.pixel(tick), "#e4e4e4");
    out += text_at(x.from - 8, y.pixel(tick) + 4.5, format("%.6g", tick), "text-anchor=\"end\" fill=\"#444444\"");
  }
  out += line(x.from, y.from, x.to, y.from, "#666666") + line(x.from, y.from, x.from, y.to, "#666666");
  out += text_at((x.from + x.to) / 2, kHeight - 14, x_label, "text-anchor=\"middle\" fill=\"#222222\"");
  const std::string middle = format("%.2f", (y.from + y.to) / 2);
  out += text_at(20, (y.from + y.to) / 2, y_label,
                 "text-anchor=\"middle\" fill=\"#222222\" transform=\"rotate(-90 20 " + middle + ")\"");

  for (size_t i = 0; i < series.size(); ++i) {
    const Series& s = series[i];
    const Ink& ink = kInks[i % std::size(kInks)];
    const std::string dark = std::string(
                                 "fill=\"none\" stroke-width=\"2\" stroke-linecap=\"round\" "
                                 "stroke-linejoin=\"round\" stroke=\"") +
                             ink.dark + "\"";
    if (s.ys.size() > kSmoothedFrom) {
      out += polylines(s, s.ys, x, y, std::string("fill=\"none\" stroke=\"") + ink.light + "\"");
      out += polylines(s, moving_average(s.ys, static_cast<int>(s.ys.size() / 20) | 1), x, y, dark);
    } else {
      out += polylines(s, s.ys, x, y, dark);
    }
  }
  for (size_t i = 0; i < series.size(); ++i) {
    const double row = kTop + 16 + 20 * static_cast<double>(i);
    out += line(x.to - 32, row - 4.5, x.to - 8, row - 4.5, kInks[i % std::size(kInks)].dark);
    out += text_at(x.to - 40, row, series[i].name, "text-anchor=\"end\" fill=\"#222222\"");
  }
  return out + "</svg>\n";
}

void write_line_chart(const std::string& path, const std::string& title, const std::string& x_label,
                      const std::string& y_label, const std::vector<Series>& series, bool log_y) {
  write_file_atomically(path, line_chart_svg(title, x_label, y_label, series, log_y));
}

}  // namespace ito
