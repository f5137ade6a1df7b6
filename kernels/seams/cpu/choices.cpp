// SPDX-License-Identifier: Apache-2.0
// On the cpu oneDNN chooses, by its version and by the instruction set that it is allowed: the processor's, or less
// with ONEDNN_MAX_CPU_ISA. Our own kernels do not depend on the instruction set (no contraction, the same order of
// sums).
#include "kernels/seams/choices.h"

#include <cstdlib>
#include <string_view>

#include "kernels/seams/cpu/onednn.h"

namespace ito {
namespace {

struct Isa {
  const char* name;  // what ONEDNN_MAX_CPU_ISA takes
  dnnl::cpu_isa isa;
};
constexpr Isa kIsas[] = {{"SSE41", dnnl::cpu_isa::sse41},
                         {"AVX", dnnl::cpu_isa::avx},
                         {"AVX2", dnnl::cpu_isa::avx2},
                         {"AVX2_VNNI", dnnl::cpu_isa::avx2_vnni},
                         {"AVX512_CORE", dnnl::cpu_isa::avx512_core},
                         {"AVX512_CORE_VNNI", dnnl::cpu_isa::avx512_core_vnni},
                         {"AVX512_CORE_BF16", dnnl::cpu_isa::avx512_core_bf16},
                         {"AVX512_CORE_AMX", dnnl::cpu_isa::avx512_core_amx}};

std::string library() {
  const dnnl_version_t* version = dnnl::version();
  return join_text("cpu, oneDNN ", version->major, ".", version->minor, ".", version->patch, ", ");
}

bool contains(dnnl::cpu_isa all, dnnl::cpu_isa part) {
  return (static_cast<unsigned>(all) & static_cast<unsigned>(part)) == static_cast<unsigned>(part);
}

}  // namespace

std::string kernel_choices() {
  const dnnl::cpu_isa now = dnnl::get_effective_cpu_isa();
  for (const Isa& known : kIsas)
    if (known.isa == now) return library() + known.name;
  return join_text(library(), "instruction set ", static_cast<unsigned>(now));
}

std::string advice_for_choices(const std::string& choices) {
  const std::string mine = library();
  if (!choices.starts_with(mine)) return {};
  const std::string_view wanted = std::string_view(choices).substr(mine.size());
  const dnnl::cpu_isa now = dnnl::get_effective_cpu_isa();
  for (const Isa& known : kIsas) {
    if (wanted != known.name || known.isa == now) continue;
    if (contains(now, known.isa)) return std::string("set ONEDNN_MAX_CPU_ISA=") + known.name;
    for (const char* cap : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"})  // the library reads both
      if (std::getenv(cap)) return std::string("unset ") + cap;
  }
  return {};
}

}  // namespace ito
