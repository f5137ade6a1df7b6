// SPDX-License-Identifier: Apache-2.0
// A line chart as an SVG file, for loss curves and the like: no plotting library between a run and its picture.
#pragma once
#include <string>
#include <vector>

namespace ito {

struct Series {
  std::string name;
  std::vector<double> xs, ys;  // of one length, xs increasing
};

// Axes with round ticks, a grid and a legend. A series of more than 20 points is drawn twice: the values as they are,
// light, and a centred moving average over a twentieth of them, dark. Points that cannot be drawn (not finite, or not
// positive on a logarithmic axis) are left out and break the line. The same data gives the same bytes.
std::string line_chart_svg(const std::string& title, const std::string& x_label, const std::string& y_label,
                           const std::vector<Series>& series, bool log_y);
void write_line_chart(const std::string& path, const std::string& title, const std::string& x_label,
                      const std::string& y_label, const std::vector<Series>& series, bool log_y);

// Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], about `wanted` of them.
std::vector<double> round_ticks(double low, double high, int wanted);
// The mean of the finite values among the `window` ones centred on each point. Towards the ends the window shrinks on
// both sides alike, so that a steep start is not averaged with what follows it.
std::vector<double> moving_average(const std::vector<double>& values, int window);

}  // namespace ito
