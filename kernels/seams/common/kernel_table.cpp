// SPDX-License-Identifier: Apache-2.0
// See kernel_table.h. The table is set before networks are made and then only read.
#include "kernels/seams/kernel_table.h"

#include <utility>

namespace ito {
namespace {

KernelTable& current() {
  static KernelTable table;
  return table;
}

}  // namespace

void use_kernel_table(KernelTable table) {
  current() = std::move(table);
}

const KernelTable& kernel_table() {
  return current();
}

}  // namespace ito
