// SPDX-License-Identifier: Apache-2.0
// Ops of transformers. An image's rows hold here what the op reads of them and no more, so that a count of whole
// tensors is right; a table of positions, which is no tensor of the program, is counted beside them.
#include "engine/ops/ops.h"
#include "tests/cases/layer_norm.h"
#include "tests/cases/pointwise.h"
#include "tests/cases/tokens.h"
#include "tools/commands/bench/op_cases.h"

namespace ito {
namespace {

// Read by the forward, and by a backward that turns back by it.
Cost table_cost(double numbers) {
  return {0, static_cast<double>(sizeof(float)) * numbers};
}

std::vector<OpCase> layer_norm_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::LayerNormCase& c : joined(cases::layer_norm_cases(), cases::model_layer_norm_cases(n)))
    ops.push_back({c.n,
                   join_text(c.rows, "x", c.c, c.centred ? ", centred" : "", c.weight ? ", weight" : "",
                             c.bias ? ", bias" : "", c.modulated ? ", scale and shift" : ""),
                   [c](Program& p) {
                     LayerNormOptions options{.centred = c.centred, .weight = c.weight, .bias = c.bias};
                     const Value x = differentiable(p, "x", c.rows, 1, c.c, p.options().compute);
                     if (c.modulated) {
                       options.rows = differentiable(p, "rows", 1, 1, 2 * c.c, DType::F32);
                       options.scale_at = c.c, options.shift_at = 0;
                     }
                     return layer_norm(p, "op", x, options);
                   }});
  return ops;
}

// The residual is no result of another op here, and its gradient not asked for: a model's is the sum's own, where it
// stands.
std::vector<OpCase> gated_sum_ops(int n) {
  std::vector<OpCase> ops;
  for (const GateShape& s : joined(cases::gate_shapes(), cases::model_gate_shapes(n)))
    ops.push_back({s.n, join_text(s.rows, "x", s.c), [s](Program& p) {
                     const DType type = p.options().compute;
                     const Value residual = p.input("residual", s.rows, 1, s.c, type);
                     const Value y = differentiable(p, "y", s.rows, 1, s.c, type);
                     return gated_sum(p, "op", residual, y, differentiable(p, "rows", 1, 1, s.c, DType::F32), 0);
                   }});
  return ops;
}

std::vector<OpCase> gelu_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : joined(cases::kRows, cases::model_hidden_rows(n)))
    for (const Gelu form : {Gelu::Tanh, Gelu::Erf})
      ops.push_back({r.n, join_text(r.hw, "x", r.c, form == Gelu::Tanh ? ", tanh" : ", erf"), [r, form](Program& p) {
                       return gelu(p, "op", differentiable(p, "x", r.hw, 1, r.c, p.options().compute), form);
                     }});
  return ops;
}

// A case says the rows of all images together; they are images of one token here.
std::vector<OpCase> gated_silu_ops(int n) {
  std::vector<OpCase> ops;
  for (const GatedSiluShape& s : joined(cases::gated_silu_shapes(), cases::model_gated_silu_shapes(n)))
    ops.push_back({static_cast<int>(s.rows), join_text(2 * s.c, " to ", s.c), [s](Program& p) {
                     const Value x = differentiable(p, "x", 1, 1, 2 * s.c, p.options().compute);
                     return gated_silu(p, "op", x, s.gate_first);
                   }});
  return ops;
}

std::vector<OpCase> rope_ops(int n) {
  std::vector<OpCase> ops;
  for (const RopeShape& s : joined(cases::rope_shapes(), cases::model_rope_shapes(n))) {
    const size_t numbers = static_cast<size_t>(s.tokens) * static_cast<size_t>(s.head_dim);
    const Cost table = table_cost(static_cast<double>(numbers));
    ops.push_back({s.n, join_text(s.tokens, " tokens, ", s.heads, " heads of ", s.head_dim),
                   [s, numbers](Program& p) {
                     const Value x = differentiable(p, "x", s.tokens, 1, s.heads * s.head_dim, p.options().compute);
                     return rope(p, "op", x, s.heads, std::vector<float>(numbers, 0.5f));
                   },
                   table, table});
  }
  return ops;
}

std::vector<OpCase> add_table_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : joined(cases::placed_tokens(), cases::model_placed_tokens(n))) {
    const size_t numbers = r.elements() / static_cast<size_t>(r.n);
    ops.push_back({r.n,
                   join_text(r.hw, "x", r.c),
                   [r, numbers](Program& p) {
                     const Value x = differentiable(p, "x", r.hw, 1, r.c, p.options().compute);
                     return add_table(p, "op", x, std::vector<float>(numbers, 0.5f));
                   },
                   table_cost(static_cast<double>(numbers)),
                   {}});
  }
  return ops;
}

std::string sizes_of(const PatchShape& s) {
  return join_text(s.h, "x", s.w, "x", s.c, " in ", s.p, "x", s.p);
}

std::vector<OpCase> patchify_ops(int n) {
  std::vector<OpCase> ops;
  for (const PatchShape& s : joined(cases::patch_shapes(), cases::model_patch_shapes(n)))
    ops.push_back({s.n, sizes_of(s), [s](Program& p) {
                     return patchify(p, "op", differentiable(p, "x", s.h, s.w, s.c, p.options().compute), s.p);
                   }});
  return ops;
}

std::vector<OpCase> unpatchify_ops(int n) {
  std::vector<OpCase> ops;
  for (const PatchShape& s : joined(cases::patch_shapes(), cases::model_patch_shapes(n)))
    ops.push_back({s.n, sizes_of(s), [s](Program& p) {
                     const int h = s.h / s.p, w = s.w / s.p;
                     const Value x = differentiable(p, "x", h, w, s.p * s.p * s.c, p.options().compute);
                     return unpatchify(p, "op", x, s.p);
                   }});
  return ops;
}

std::string sizes_of(const ContextShape& s) {
  return join_text(s.before, " before ", s.tokens, "x", s.c);
}

std::vector<OpCase> add_context_ops(int n) {
  std::vector<OpCase> ops;
  for (const ContextShape& s : joined(cases::context_shapes(), cases::model_context_shapes(n)))
    ops.push_back({s.n, sizes_of(s), [s](Program& p) {
                     const Value x = differentiable(p, "x", s.tokens, 1, s.c, p.options().compute);
                     return add_context(p, "op", x, differentiable(p, "row", 1, 1, s.c, DType::F32), s.before);
                   }});
  return ops;
}

std::vector<OpCase> drop_context_ops(int n) {
  std::vector<OpCase> ops;
  for (const ContextShape& s : joined(cases::context_shapes(), cases::model_context_shapes(n)))
    ops.push_back({s.n, sizes_of(s), [s](Program& p) {
                     const Value x = differentiable(p, "x", s.before + s.tokens, 1, s.c, p.options().compute);
                     return drop_context(p, "op", x, s.tokens, 1);
                   }});
  return ops;
}

constexpr BenchedOp kOps[] = {{"layer_norm", layer_norm_ops},
                              {"gated_sum", gated_sum_ops},
                              {"gelu", gelu_ops},
                              {"gated_silu", gated_silu_ops},
                              {"rope", rope_ops},
                              {"add_table", add_table_ops},
                              {"patchify", patchify_ops},
                              {"unpatchify", unpatchify_ops},
                              {"add_context", add_context_ops},
                              {"drop_context", drop_context_ops}};

}  // namespace

std::span<const BenchedOp> transformer_ops() {
  return kOps;
}

}  // namespace ito
