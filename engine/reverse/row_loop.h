// SPDX-License-Identifier: Apache-2.0
// The network along a table of rows: call it at row i, then update the state. Sampling is this with the row kernel as
// the update; what else walks levels (encoding, restoring, bounds, statistics) puts hooks around it. A whole run is
// captured once as a loop: the row's number, the rows and the images' numbers live on the device, so that nothing comes
// from the host between the first row and the last. A guided network whose weight is 1 at some rows has a loop for
// every stretch of rows that are all guided or all not, enqueued one behind the other. Image i is a function of (seed,
// i) alone.
#pragma once
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "engine/program/buffer_list.h"
#include "engine/program/denoiser.h"
#include "engine/program/label_rows.h"
#include "engine/samplers/row_builder.h"

namespace ito {

// What a hook sees; all of it on the device but n.
struct LoopState {
  float* x = nullptr;                // (N, H, W, C)
  DataRef x_network;                 // the network's copy of x, times the row's input scale, in its type
  float* registers = nullptr;        // (R, N, H, W, C)
  ConstDataRef pred;                 // the network's answer
  const ReverseRow* rows = nullptr;  // the table
  const int64_t* row = nullptr;      // the number of the row that is running
  const int64_t* first = nullptr;    // the number of the batch's first image
  SampleCounter counter;             // of the batch's images
  float first_input_scale = 1;       // of the first row's network copy
  int n = 0;
};

// Launches around the steps of a row. They are captured: whatever they launch must not depend on the row but through
// device memory, and what they return must be the same every time. A hook owns its scratch and its tables.
class LoopHooks {
 public:
  virtual ~LoopHooks() = default;
  // (N) sample words of the batch's images, in device memory; null: the batch's numbers are consecutive.
  virtual const uint32_t* image_words() const { return nullptr; }
  virtual void start(Stream&, const LoopState&) {}           // once x is set; not captured
  virtual void after_estimate(Stream&, const LoopState&) {}  // between network and update
  // In place of the row kernel; true: x was updated, its network copy is made anew.
  virtual bool update(Stream&, const LoopState&) { return false; }
  // true: x was edited, its network copy is made anew.
  virtual bool after_update(Stream&, const LoopState&) { return false; }
};

// When the network is called, by rows: for a denoiser that makes what depends on it once (Denoiser).
std::vector<float> times_of(const ReverseTable& table);

// What a batch begins with; all of it on the host.
struct BatchStart {
  int64_t first = 0;                     // the number of its first image
  const float* initial_noise = nullptr;  // (batch, H, W, C) standard normals; null: from the counter
  const float* step_noise = nullptr;     // (given_draws, batch, H, W, C) of a loop that was made for them
  LabelRows labels = {};                 // (batch), as the network has them
};

// Whoever looks on while a batch goes out row by row: called with the row's number before it is enqueued, and after.
struct RowWatch {
  std::function<void(int)> before = {}, after = {};
  explicit operator bool() const { return before || after; }
};

class RowLoop {
 public:
  // Declares its memory in `buffers`. The denoiser outlives the loop, as do the hooks. capture false: launches every
  // kernel of every row anew (the same bits). given_draws: z that every batch is given; 0: drawn from the counter.
  RowLoop(Denoiser& denoiser, const ReverseTable& table, uint64_t seed, bool capture, LoopHooks* hooks,
          BufferList& buffers, int64_t given_draws = 0);
  void prepare();  // once the buffers are allocated

  // Enqueues all rows for the batch and, on a GPU, returns at once.
  void run(const BatchStart& start);
  // The same, each row a launch of its own. The watch may ask for state(), and then the host waits there.
  void run_by_rows(const BatchStart& start, const RowWatch& watch);

  Stream& stream() { return stream_; }
  int rows() const { return static_cast<int>(table_.rows.size()); }
  const ReverseTable& table() const { return table_; }
  const DeviceBuffer<float>& x() const { return x_; }
  std::vector<float> state();  // x of the batch now
  // Rows done since construction, in all batches; another thread may ask while this one waits.
  int64_t rows_done() const;

 private:
  // Rows in a row of which all leave out the same of the network.
  struct Stretch {
    int rows = 0;
    float time = 0;  // of its first row
    bool idle = false;
  };

  LoopState view();
  void begin(const BatchStart& start);
  void warm(const BatchStart& start);
  const Graph& loop_of(const Stretch& stretch, int turns);
  void launch_row(float time);  // of a row asked at that time, or at one that leaves out the same

  Denoiser& denoiser_;
  ReverseTable table_;
  uint64_t seed_;
  bool capture_;
  LoopHooks* hooks_;
  Stream stream_{"sampling"};
  bool measures_ = false;                        // a row of the table asks for a gauge
  std::vector<Stretch> stretches_;               // all rows, in order
  std::map<std::pair<bool, int>, Graph> loops_;  // by whether they leave out, and turns
  int64_t batches_ = 0;
  HostBuffer<int64_t> rows_done_;
  DeviceBuffer<ReverseRow> rows_;
  DeviceBuffer<int64_t> counters_;  // [0] the row, [1] the batch's first image, [2] rows of all batches
  DeviceBuffer<float> x_, registers_, gauges_, step_noise_;
};

}  // namespace ito
