// SPDX-License-Identifier: Apache-2.0
// Who may add: on planted violations, on clean counterparts and on the tree.
#include "tests/tree/expect_rule.h"
#include "tests/tree/sum_rules.h"

namespace ito {
namespace {

TEST(ForeignSums, EachIsRefused) {
  for (const char* call : {"ncclAllReduce(a, b, n, ncclFloat, op, c, s);\n",
                           "ncclReduce(a, b, n, ncclFloat, op, 0, c, s);\n",
                           "ncclReduceScatter(a, b, n, ncclFloat, op, c, s);\n",
                           "pncclAllReduce(a, b, n, t, op, c, s);\n",
                           "ncclRedOpCreatePreMulSum(&op, s, t, r, c);\n",
                           "MPI_Reduce(a, b, n, t, op, 0, c);\n",
                           "MPI_Allreduce(a, b, n, t, op, c);\n",
                           "MPI_Iallreduce(a, b, n, t, op, c, &r);\n",
                           "MPI_Reduce_scatter_block(a, b, n, t, op, c);\n",
                           "MPI_Ireduce_scatter(a, b, n, t, op, c, &r);\n",
                           "MPI_Scan(a, b, n, t, op, c);\n",
                           "MPI_Exscan(a, b, n, t, op, c);\n",
                           "PMPI_Allreduce(a, b, n, t, op, c);\n",
                           "MPI_Reduce_local(a, b, n, t, op);\n",
                           "MPI_Accumulate(a, n, t, 0, 0, n, t, op, w);\n",
                           "MPI_Raccumulate(a, n, t, 0, 0, n, t, op, w, &r);\n",
                           "MPI_Op_create(f, 1, &op);\n",
                           "const MPI_Op op = MPI_SUM;\n",
                           "shmem_float_sum_reduce(team, a, b, n);\n",
                           "find(library, \"ncclAllReduce\");\n"}) {
    expect_refused(check_no_foreign_sums, "kernels/seams/cuda/exchange.cpp", call);
    expect_refused(check_no_foreign_sums, "engine/training/trainer.cpp", call);
  }
}

TEST(ForeignSums, BytesAndWordsAboutThemAreAccepted) {
  expect_accepted(check_no_foreign_sums, "kernels/seams/cuda/exchange.cpp",
                  "// no ncclAllReduce, no MPI_Reduce\n/* MPI_SUM */\nncclSend(a, n, ncclInt8, peer, c, s);\n"
                  "ncclAllGather(a, b, n, ncclInt8, c, s);\nMPI_Bcast(a, n, MPI_BYTE, 0, c);\nMPI_Alltoallv(a);\n"
                  "int reduce = 0, scan = 1;\nfind(library, \"ncclBroadcast\");\n");
}

TEST(ForeignSums, HoldsInTheTree) {
  expect_tree_accepted(check_no_foreign_sums);
}

}  // namespace
}  // namespace ito
