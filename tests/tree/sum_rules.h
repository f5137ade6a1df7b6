// SPDX-License-Identifier: Apache-2.0
// No communication library adds floating-point numbers: its order changes with topology, size and call, where ours is
// one tree (kernels/sum_tree.h). Bytes may travel; sums are made by our kernels.
#pragma once
#include <regex>

#include "tests/tree/source_text.h"

namespace ito {

// Searched in code and in strings, because such a library's functions are found by name when it is opened.
inline Violations check_no_foreign_sums(const SourceFile& file) {
  static const std::regex words(
      "\\b(p?nccl(AllReduce|Reduce|ReduceScatter|RedOp\\w*)|P?MPIX?_I?(All|all|Ex|ex)?([Rr]educe|[Ss]can)\\w*|"
      "P?MPI_R?([Aa]ccumulate|[Gg]et_accumulate|Fetch_and_op)|P?MPI_Op_create|P?MPI_SUM|shmem_\\w*reduce\\w*)\\b");
  Violations found;
  if (!is_cpp(file.path) || starts_with(file.path, "tests/tree/")) return found;
  const SourceViews views = views_of(file.text);
  std::string text = file.text;
  for (size_t i = 0; i < text.size(); ++i)
    if (views.comments[i] != ' ' && text[i] != '\n') text[i] = ' ';
  for (std::sregex_iterator match(text.begin(), text.end(), words), end; match != end; ++match)
    found.push_back(at_line(file.path, line_of(text, static_cast<size_t>(match->position()))) + "has " + match->str() +
                    ", whose order of addition is the library's; send the sums of subtrees as bytes and join them "
                    "(kernels/sum_tree.h)");
  return found;
}

}  // namespace ito
