// SPDX-License-Identifier: Apache-2.0
// How a convolution is described to cuDNN and which engines may run it. Plans are made for a described card: needs
// cuDNN, no GPU.
#include "kernels/seams/cuda/conv_choice.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/cases/conv.h"
#include "tests/only/cuda/described_h100.h"

namespace ito::test {
namespace {

using namespace cuda;

constexpr Direction kDirections[] = {Direction::Forward, Direction::Data, Direction::Weight};

ConvKey key_of(const ConvShape& shape, Direction direction, DType type) {
  if (direction == Direction::Weight) return {shape, direction, DType::F32, type == DType::BF16};
  return {shape, direction, type, false};
}

TEST(ConvChoice, EachLayerHasItsOwnKey) {
  const ConvShape s{8, 9, 16, 24, 3, 5, 2, 1, 2, 3, 4};
  std::vector<ConvKey> keys(1, ConvKey{s, Direction::Forward, DType::F32, false});
  const auto vary = [&](auto change) {
    keys.push_back(keys[0]);
    change(keys.back());
  };
  vary([](ConvKey& k) { k.shape.h = 90; });
  vary([](ConvKey& k) { k.shape.w = 90; });
  vary([](ConvKey& k) { k.shape.c = 90; });
  vary([](ConvKey& k) { k.shape.k = 90; });
  vary([](ConvKey& k) { k.shape.r = 1; });
  vary([](ConvKey& k) { k.shape.s = 1; });
  vary([](ConvKey& k) { k.shape.stride = 1; });
  vary([](ConvKey& k) { k.shape.pad_top = 0; });
  vary([](ConvKey& k) { k.shape.pad_left = 0; });
  vary([](ConvKey& k) { k.shape.pad_bottom = 0; });
  vary([](ConvKey& k) { k.shape.pad_right = 0; });
  vary([](ConvKey& k) { k.direction = Direction::Data; });
  vary([](ConvKey& k) { k.direction = Direction::Weight; });
  vary([](ConvKey& k) { k.type = DType::BF16; });
  vary([](ConvKey& k) { k.holds_bf16 = true; });
  std::set<std::string> texts;
  for (const ConvKey& key : keys) texts.insert(key.text());
  EXPECT_EQ(texts.size(), keys.size());
}

TEST(ConvChoice, AnyImageOfATensorHasItsAlignment) {
  EXPECT_EQ(alignment_of(28 * 28, DType::BF16), 16);
  EXPECT_EQ(alignment_of(7 * 9 * 5, DType::F32), 4);
  EXPECT_EQ(alignment_of(7 * 9 * 5, DType::BF16), 2);
  EXPECT_EQ(alignment_of(6, DType::F32), 8);
}

TEST(ConvChoice, NhwcMemoryUnderNchwNames) {
  const TensorInfo t = nhwc_tensor(kX, DType::BF16, 2, 5, 7, 3, 2);
  EXPECT_EQ(t.type, CUDNN_DATA_BFLOAT16);
  EXPECT_EQ(t.dims, (std::vector<int64_t>{2, 3, 5, 7}));
  EXPECT_EQ(t.strides, (std::vector<int64_t>{5 * 7 * 3, 1, 7 * 3, 3}));
}

TEST(ConvChoice, OnlyDeterministicEnginesOfTheLayersPrecision) {
  const ConvKey full{{}, Direction::Forward, DType::F32, false}, half{{}, Direction::Forward, DType::BF16, false};
  const ConvKey widened{{}, Direction::Weight, DType::F32, true};
  const auto allowed = [](const ConvKey& key, cudnnBackendNumericalNote_t note) {
    return allowed_notes(key, {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, note});
  };
  for (const ConvKey& key : {full, half, widened}) {
    EXPECT_TRUE(allowed_notes(key, {}));
    for (const auto note : {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                            CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT,
                            CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4})
      EXPECT_FALSE(allowed(key, note)) << note;
  }
  EXPECT_FALSE(allowed(full, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  EXPECT_TRUE(allowed(half, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  EXPECT_TRUE(allowed(widened, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
}

TEST(ConvChoice, NoKnobThatCutsASumByTheGrid) {
  const ConvKey forward{{}, Direction::Forward, DType::F32, false}, weight{{}, Direction::Weight, DType::F32, false};
  const auto knob = [](int type, int64_t value) {
    EngineChoice choice;
    choice.knobs = {{CUDNN_KNOB_TYPE_TILE_SIZE, 7}, {static_cast<cudnnBackendKnobType_t>(type), value}};
    return choice;
  };
  EXPECT_TRUE(allowed_knobs(forward, {}));
  for (const int type : {0 /* split K */, 12 /* its buffer */, 17 /* its slices */}) {
    EXPECT_TRUE(allowed_knobs(forward, knob(type, 1)));
    EXPECT_FALSE(allowed_knobs(forward, knob(type, 2)));
    EXPECT_FALSE(allowed_knobs(forward, knob(type, -1)));
    EXPECT_TRUE(allowed_knobs(weight, knob(type, 2)));
  }
  EXPECT_TRUE(allowed_knobs(forward, knob(CUDNN_KNOB_TYPE_STREAM_K, 0)));
  EXPECT_FALSE(allowed_knobs(forward, knob(CUDNN_KNOB_TYPE_STREAM_K, 1)));
  for (const Direction direction : {Direction::Forward, Direction::Data}) {
    const ConvKey key{{}, direction, DType::BF16, false};
    EXPECT_TRUE(allowed_knobs(key, knob(CUDNN_KNOB_TYPE_WORKSPACE, 1)));
    EXPECT_FALSE(allowed_knobs(key, knob(CUDNN_KNOB_TYPE_WORKSPACE, 0)));
  }
  EXPECT_TRUE(allowed_knobs(weight, knob(CUDNN_KNOB_TYPE_WORKSPACE, 0)));
}

TEST(ConvChoice, AKnobThatIsNotKnownIsRefused) {
  const ConvKey forward{{}, Direction::Forward, DType::BF16, false};
  for (const int type : {1 /* swizzle */, 29 /* block size */, 30 /* occupancy */, 39 /* split P */, 1000}) {
    EngineChoice choice;
    choice.knobs = {{static_cast<cudnnBackendKnobType_t>(type), 0}};
    EXPECT_FALSE(allowed_knobs(forward, choice)) << type;
    EXPECT_TRUE(allowed_knobs({{}, Direction::Weight, DType::F32, true}, choice)) << type;
  }
}

TEST(ConvChoice, AWorkspaceOfCopiesIsALine) {
  const WorkspaceLine copies{32784, 32768}, none{0, 0};
  EXPECT_TRUE(copies.holds(1, 32784));
  EXPECT_TRUE(copies.holds(257, 32784 + 256 * 32768));
  EXPECT_TRUE(copies.holds(257, 32784 + 256 * 32768 + 131));  // a counter, and what aligns it
  EXPECT_FALSE(copies.holds(257, 32784 + 256 * 32768 + 65536));
  EXPECT_TRUE(none.holds(64, 131));
  EXPECT_FALSE(none.holds(64, 262307));
  EXPECT_FALSE(copies.holds(2, 0));
}

// The line is asked of all deterministic candidates, whatever their knobs. Those that leave it are ones whose knobs are
// refused too, and with these layers there are some; copies, which the narrow layer's engines take, stay on it.
TEST(ConvChoice, WorkspacesShowTheEnginesThatCutSums) {
  const DescribedH100 h100;
  if (!h100) GTEST_SKIP() << cudnn_state().error;
  int bent = 0;
  for (const ConvShape& shape :
       {ConvShape{8, 8, 512, 512, 3, 3, 1, 1, 1, 1, 1}, ConvShape{16, 16, 256, 512, 3, 3, 1, 1, 1, 1, 1},
        ConvShape{4, 4, 24, 40, 1, 1, 1, 0, 0, 0, 0}}) {
    for (const Direction direction : {Direction::Forward, Direction::Data}) {
      const ConvKey key = key_of(shape, direction, DType::BF16);
      int lines = 0;
      const OperationGraph graph = conv_graph(h100.target, key, canonical_n());
      for (const Candidate& candidate : heuristic_candidates(h100.target, graph, CUDNN_HEUR_MODE_A, 32)) {
        if (!allowed_notes(key, candidate.notes)) continue;
        const bool line = workspace_line(h100.target, key, candidate.choice).has_value();
        (line ? lines : bent) += 1;
        EXPECT_TRUE(line || !cuts_no_sum(candidate.choice)) << key.text() << ": " << candidate.choice.name();
      }
      EXPECT_GT(lines, 0) << key.text();
    }
  }
  EXPECT_GT(bent, 0);
}

TEST(ConvChoice, ADeviceThatIsNotDescribedIsRefusedInOneLine) {
  if (!cudnn()) GTEST_SKIP() << cudnn_state().error;
  try {
    describe_device(*cudnn(), "{}");
    FAIL() << "accepted";
  } catch (const CudnnError& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.rfind("cuDNN: the device's properties, finalize: CUDNN_STATUS_BAD_PARAM", 0), 0u) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

TEST(ConvChoice, AnImpossibleConvolutionIsRefused) {
  const DescribedH100 h100;
  if (!h100) GTEST_SKIP() << cudnn_state().error;
  ConvShape shape{8, 8, 16, 16, 3, 3, 1, 1, 1, 1, 1};
  EXPECT_NO_THROW(conv_graph(h100.target, key_of(shape, Direction::Forward, DType::F32), 2));
  shape.c = 0;
  EXPECT_THROW(conv_graph(h100.target, key_of(shape, Direction::Forward, DType::F32), 2), CudnnError);
}

// Each layer has an engine, and the same engine with the same knobs is planned for other N.
TEST(ConvChoice, AnEngineIsPlannedForEveryN) {
  const DescribedH100 h100;
  if (!h100) GTEST_SKIP() << cudnn_state().error;
  std::vector<ConvShape> shapes;
  for (const cases::ConvCase& c : cases::conv_cases()) shapes.push_back(c.shape);
  for (const ConvShape& s :
       {ConvShape{32, 32, 3, 128, 3, 3, 1, 1, 1, 1, 1}, ConvShape{32, 32, 128, 3, 3, 3, 1, 1, 1, 1, 1},
        ConvShape{32, 32, 128, 128, 3, 3, 2, 0, 0, 1, 1}, ConvShape{16, 16, 256, 512, 1, 1, 1, 0, 0, 0, 0},
        ConvShape{8, 8, 512, 512, 3, 3, 1, 1, 1, 1, 1}, ConvShape{16, 16, 768, 512, 3, 3, 1, 1, 1, 1, 1}})
    shapes.push_back(s);
  for (const ConvShape& shape : shapes)
    for (const DType type : {DType::F32, DType::BF16})
      for (const Direction direction : kDirections) {
        const ConvKey key = key_of(shape, direction, type);
        const bool weight = direction == Direction::Weight;
        const std::vector<int> batches = weight ? std::vector<int>{16} : std::vector<int>{canonical_n(), 1, 3, 500};
        // Run-time compiled engines are not among them: they need a driver.
        std::string refusal = "no candidate for the described card, of the heuristics or of the fallback mode", chosen;
        for (const EngineChoice& choice : conv_candidates(h100.target, key, batches[0])) {
          try {
            if (!weight && !workspace_line(h100.target, key, choice)) {
              refusal = choice.name() + ": its workspace may hold parts of sums";
              continue;
            }
            for (const int n : batches) const Plan plan(h100.target, conv_graph(h100.target, key, n), choice);
            chosen = choice.name();
            break;
          } catch (const CudnnError& error) {
            refusal = error.what();
          }
        }
        EXPECT_FALSE(chosen.empty()) << key.text() << ": " << refusal;
      }
}

}  // namespace
}  // namespace ito::test
