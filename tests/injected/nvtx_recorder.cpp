// SPDX-License-Identifier: Apache-2.0
// A stand-in for a profiler: NVTX loads it (NVTX_INJECTION64_PATH) and hands it every range and every name of a stream
// or event, which it writes down.
#include <nvtx3/nvToolsExt.h>

#include <mutex>
#include <string>

namespace {

std::mutex mutex;
std::string log;   // a line an event: "domain NAME", "push NAME", "pop", "stream NAME", "event NAME"
std::string copy;  // what recorded_ranges gave last
char domain;

void write(const std::string& line) {
  const std::lock_guard lock(mutex);
  log += line + "\n";
}

nvtxDomainHandle_t create_domain(const char* name) {
  write(std::string("domain ") + name);
  return reinterpret_cast<nvtxDomainHandle_t>(&domain);
}
int push(nvtxDomainHandle_t in, const nvtxEventAttributes_t* event) {
  write((in == reinterpret_cast<nvtxDomainHandle_t>(&domain) ? "push " : "push elsewhere ") +
        std::string(event->message.ascii));
  return 0;
}
int pop(nvtxDomainHandle_t) {
  write("pop");
  return 0;
}
void name_stream(void*, const char* name) {
  write(std::string("stream ") + name);
}
void name_event(void*, const char* name) {
  write(std::string("event ") + name);
}

}  // namespace

extern "C" {

const char* recorded_ranges() {
  const std::lock_guard lock(mutex);
  copy = log;
  return copy.c_str();
}

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t export_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(export_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size)) return 0;
  *table[NVTX_CBID_CORE2_DomainCreateA] = reinterpret_cast<NvtxFunctionPointer>(&create_domain);
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(&push);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(&pop);
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CUDART, &table, &size)) {
    if (table[NVTX_CBID_CUDART_NameCudaStreamA])
      *table[NVTX_CBID_CUDART_NameCudaStreamA] = reinterpret_cast<NvtxFunctionPointer>(&name_stream);
    if (table[NVTX_CBID_CUDART_NameCudaEventA])
      *table[NVTX_CBID_CUDART_NameCudaEventA] = reinterpret_cast<NvtxFunctionPointer>(&name_event);
  }
  return 1;
}

}  // extern "C"
