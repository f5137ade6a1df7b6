// SPDX-License-Identifier: Apache-2.0
// One reserved span of addresses, handed out from front to back and never twice, so that opening and closing it is a
// single call and a freed block stays closed for good.
#include "kernels/seams/host/guarded_memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mutex>

namespace ito {
namespace {

constexpr size_t kSpan = size_t{1} << 40;  // addresses alone; pages come with their first use
constexpr size_t kPage = 4096;

struct Span {
  std::mutex mutex;
  char* begin = nullptr;
  size_t used = 0;
  int open = 0;  // accesses alive
  struct sigaction before {};
};

Span& span();

void touched(int signal, siginfo_t* info, void*) {
  const Span& s = span();
  const auto* at = static_cast<const char*>(info->si_addr);
  if (at >= s.begin && at < s.begin + kSpan) {
    constexpr char kText[] = "host code follows a pointer into device memory outside a launch\n";
    (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
  }
  sigaction(signal, &s.before, nullptr);  // and the access faults again, as it would have
}

Span& span() {
  static Span* const the_span = [] {
    auto* s = new Span;  // outlives every static buffer
    void* begin = mmap(nullptr, kSpan, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (begin != MAP_FAILED) s->begin = static_cast<char*>(begin);
    struct sigaction action {};
    action.sa_sigaction = touched;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &s->before);
    return s;
  }();
  return *the_span;
}

void set_open(Span& s, bool open) {
  if (s.used) mprotect(s.begin, s.used, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

}  // namespace

void* guarded_allocate(size_t bytes) {
  Span& s = span();
  const std::lock_guard lock(s.mutex);
  const size_t pages = (bytes + kPage) / kPage * kPage;  // at least one, and one byte past the end
  if (!s.begin || pages > kSpan - s.used) return nullptr;
  char* memory = s.begin + s.used;
  s.used += pages;
  if (s.open) set_open(s, true);
  return memory;
}

void guarded_free(void* memory, size_t bytes) noexcept {
  madvise(memory, (bytes + kPage) / kPage * kPage, MADV_DONTNEED);  // zeros from here on, not what was there
}

GuardedAccess::GuardedAccess() {
  Span& s = span();
  const std::lock_guard lock(s.mutex);
  if (s.open++ == 0) set_open(s, true);
}

GuardedAccess::~GuardedAccess() {
  Span& s = span();
  const std::lock_guard lock(s.mutex);
  if (--s.open == 0) set_open(s, false);
}

}  // namespace ito
