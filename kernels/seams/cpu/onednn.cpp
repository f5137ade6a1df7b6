// SPDX-License-Identifier: Apache-2.0
// Engine, streams and scratch memory of oneDNN, and calls without allocation.
#include "kernels/seams/cpu/onednn.h"

#include <cstdlib>
#include <memory>

namespace ito::onednn {
namespace {

struct Free {
  void operator()(void* memory) const { free(memory); }
};

constexpr size_t kMaxOperands = 8;

}  // namespace

dnnl::engine& engine() {
  static dnnl::engine* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);  // outlives thread-local streams
  return *engine;
}

dnnl::stream& stream() {
  thread_local dnnl::stream stream(engine());
  return stream;
}

void* thread_scratch(Scratch which, size_t bytes) {
  struct Block {
    std::unique_ptr<void, Free> memory;
    size_t capacity = 0;
  };
  thread_local Block blocks[5];
  Block& block = blocks[static_cast<int>(which)];
  if (bytes > block.capacity) {
    block.memory.reset();
    block.capacity = 0;
    void* memory = nullptr;
    ITO_CHECK(posix_memalign(&memory, 64, bytes) == 0, "oneDNN scratch: no memory for ", bytes, " bytes");
    block.memory.reset(memory);
    block.capacity = bytes;
  }
  return block.memory.get();
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// A memory object zeroes the padding of a blocked layout whenever it is given an address, so shared operands get theirs
// here, while no other worker reads them.
void Call::fix(size_t operand, void* data) {
  fixed_[operand] = data;
  workers_.clear();
}

void Call::prepare(int count) {
  if (workers_.size() >= static_cast<size_t>(count)) return;
  const OneThread one;
  while (workers_.size() < static_cast<size_t>(count)) {
    Worker worker;
    for (size_t i = 0; i < operands_.size(); ++i) {
      void* const address = fixed_[i] ? fixed_[i] : DNNL_MEMORY_NONE;
      worker.memory.emplace_back(operands_[i].desc, engine(), address);
      worker.address.push_back(fixed_[i]);
    }
    void* const none = DNNL_MEMORY_NONE;
    worker.memory.emplace_back(scratchpad_, engine(), none);
    worker.address.push_back(nullptr);
    workers_.push_back(std::move(worker));
  }
}

void Call::run(int worker, std::initializer_list<const void*> data) {
  Worker& own = workers_.at(static_cast<size_t>(worker));
  const size_t count = operands_.size();
  ITO_CHECK(data.size() == count && count < kMaxOperands, "oneDNN ", name_, ": ", data.size(), " operands given, ",
            count, " expected");
  dnnl_exec_arg_t args[kMaxOperands];
  const auto set = [&](size_t i, int arg, const void* address) {
    if (address && address != own.address[i]) {
      own.memory[i].set_data_handle(const_cast<void*>(address));
      own.address[i] = address;
    }
    args[i] = {arg, own.memory[i].get()};
  };
  size_t i = 0;
  for (const void* address : data) {
    set(i, operands_[i].arg, address);
    ++i;
  }
  const size_t scratch = scratchpad_.get_size();
  set(count, DNNL_ARG_SCRATCHPAD, scratch ? thread_scratch(Scratch::Library, scratch) : nullptr);
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream().get(), static_cast<int>(count) + 1, args),
                          "oneDNN: a primitive failed");
}

}  // namespace ito::onednn
