// SPDX-License-Identifier: Apache-2.0
// What every fuzz target is: a function from bytes to nothing, which may refuse its input with an ito::Error of one
// short line and with nothing else. libFuzzer's driver and the test of the committed corpus both run them.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace ito {

using Bytes = std::span<const uint8_t>;

// Each parses the bytes as if they were a file of its kind, and where that succeeds uses what came out.
void fuzz_safetensors(Bytes bytes);
void fuzz_weights_index(Bytes bytes);  // of a model in shards
void fuzz_dataset(Bytes bytes);        // a safetensors file as a data set
void fuzz_json(Bytes bytes);
void fuzz_unet_config(Bytes bytes);
void fuzz_dit_config(Bytes bytes);
void fuzz_autoencoder_config(Bytes bytes);
void fuzz_jit_config(Bytes bytes);
void fuzz_mixture_config(Bytes bytes);
void fuzz_toy_config(Bytes bytes);
void fuzz_scheduler_config(Bytes bytes);
void fuzz_idx(Bytes bytes);
void fuzz_npz(Bytes bytes);
void fuzz_zip(Bytes bytes);
void fuzz_tar(Bytes bytes);
void fuzz_packed(Bytes bytes);  // the index of its shards
void fuzz_cifar(Bytes bytes);
void fuzz_png(Bytes bytes);
void fuzz_jpeg(Bytes bytes);
void fuzz_features(Bytes bytes);          // features or statistics that a user brings
void fuzz_kernel_table(Bytes bytes);      // kernels.json
void fuzz_level_statistics(Bytes bytes);  // statistics.json
void fuzz_label_rows(Bytes bytes);        // real-valued labels of images to draw
void fuzz_run_options(Bytes bytes);       // a run's options in a file
void fuzz_snapshot(Bytes bytes);          // what training goes on from
void fuzz_measurements(Bytes bytes);
void fuzz_samples(Bytes bytes);  // that are judged or decoded

struct FuzzTarget {
  const char* name;  // the corpus is tests/fuzz/corpus/<name>
  void (*parse)(Bytes);
};

inline constexpr FuzzTarget kFuzzTargets[] = {
    {"safetensors", fuzz_safetensors},
    {"weights_index", fuzz_weights_index},
    {"dataset", fuzz_dataset},
    {"json", fuzz_json},
    {"unet_config", fuzz_unet_config},
    {"dit_config", fuzz_dit_config},
    {"autoencoder_config", fuzz_autoencoder_config},
    {"jit_config", fuzz_jit_config},
    {"mixture_config", fuzz_mixture_config},
    {"toy_config", fuzz_toy_config},
    {"scheduler_config", fuzz_scheduler_config},
    {"idx", fuzz_idx},
    {"npz", fuzz_npz},
    {"zip", fuzz_zip},
    {"tar", fuzz_tar},
    {"packed", fuzz_packed},
    {"cifar", fuzz_cifar},
    {"png", fuzz_png},
    {"jpeg", fuzz_jpeg},
    {"features", fuzz_features},
    {"kernel_table", fuzz_kernel_table},
    {"level_statistics", fuzz_level_statistics},
    {"label_rows", fuzz_label_rows},
    {"run_options", fuzz_run_options},
    {"snapshot", fuzz_snapshot},
    {"measurements", fuzz_measurements},
    {"samples", fuzz_samples},
};

enum class Outcome { Accepted, Refused, Fault };

// Runs the target. Fault: something else than an ito::Error was thrown, or its message is not one short printable
// line; what happened is then in `reason`, as is the message of a refusal.
Outcome run_target(void (*parse)(Bytes), Bytes bytes, std::string& reason);

// For targets. A step that may be refused without ending the run; its message is held to the same rules.
bool attempt(const std::function<void()>& step);
// A property that holds for every input; its breach is a fault.
void demand(bool holds, const char* property);
// A message or warning must be one short line of printable text, whatever was in the file.
void demand_one_line(std::string_view message);

}  // namespace ito
