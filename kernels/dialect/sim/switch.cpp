// SPDX-License-Identifier: Apache-2.0
// The stack switch: callee-saved registers are pushed on the old stack and popped from the new one.
#include "kernels/dialect/sim/switch.h"

#include <cstdint>

#if defined(__x86_64__)

// rdi: where to keep the old stack pointer; rsi: the new one. Six registers and the return address.
asm(R"(
.text
.p2align 4
.globl ito_sim_switch
.type ito_sim_switch, @function
ito_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ito_sim_switch, .-ito_sim_switch
.p2align 4
.type ito_sim_start, @function
ito_sim_start:
  movq %r12, %rdi
  callq *%rbx
  ud2
.size ito_sim_start, .-ito_sim_start
)");

extern "C" void ito_sim_start();

namespace ito::dialect {

void* prepare_stack(void* top, void (*entry)(void*), void* argument) {
  auto* sp = reinterpret_cast<uintptr_t*>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15});
  *--sp = 0;  // ends a debugger's walk
  *--sp = 0;  // keeps the stack 16-byte aligned at the call
  *--sp = reinterpret_cast<uintptr_t>(&ito_sim_start);
  *--sp = 0;                                      // rbp
  *--sp = reinterpret_cast<uintptr_t>(entry);     // rbx
  *--sp = reinterpret_cast<uintptr_t>(argument);  // r12
  for (int i = 0; i < 3; ++i) *--sp = 0;          // r13, r14, r15
  return sp;
}

}  // namespace ito::dialect

#elif defined(__aarch64__)

// x0: where to keep the old stack pointer; x1: the new one. x19-x30 and d8-d15 are the callee's to keep.
asm(R"(
.text
.p2align 4
.globl ito_sim_switch
.type ito_sim_switch, %function
ito_sim_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size ito_sim_switch, .-ito_sim_switch
.p2align 4
.type ito_sim_start, %function
ito_sim_start:
  mov x0, x20
  blr x19
  brk #1
.size ito_sim_start, .-ito_sim_start
)");

extern "C" void ito_sim_start();

namespace ito::dialect {

void* prepare_stack(void* top, void (*entry)(void*), void* argument) {
  auto* sp = reinterpret_cast<uintptr_t*>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15}) - 20;
  for (int i = 0; i < 20; ++i) sp[i] = 0;
  sp[0] = reinterpret_cast<uintptr_t>(entry);            // x19
  sp[1] = reinterpret_cast<uintptr_t>(argument);         // x20
  sp[11] = reinterpret_cast<uintptr_t>(&ito_sim_start);  // x30; x29 = 0 ends a debugger's walk
  return sp;
}

}  // namespace ito::dialect

#else
#error "sim needs a stack switch for this processor; build cpu alone"
#endif
