// SPDX-License-Identifier: Apache-2.0
// libito from a program: its numbers are the command's and the closed forms', its errors are text and nothing else, its
// calls may come from several threads, and no name but those of ito.h is seen from outside.
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <regex>
#include <set>
#include <thread>

#include "engine/data/load_dataset.h"
#include "engine/data/order.h"
#include "models/mixture/mixture_config.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/tools/tiny_run.h"
#include "tools/library/ito.h"

namespace ito {
namespace {

constexpr int kSize = 16;  // of test::three_images, 2 x 2 x 4

struct Closing {
  void operator()(ito_model* model) const { ito_close(model); }
  void operator()(ito_trainer* trainer) const { ito_trainer_close(trainer); }
};
using Opened = std::unique_ptr<ito_model, Closing>;
using Training = std::unique_ptr<ito_trainer, Closing>;

// Key=value texts as C has them.
struct Options {
  std::vector<std::string> words;
  std::vector<const char*> list;
  Options(std::initializer_list<std::string> given) : words(given) {
    for (const std::string& word : words) list.push_back(word.c_str());
    list.push_back(nullptr);
  }
  operator const char* const*() const { return list.data(); }
};

Opened open(const std::string& path, const Options& options = {}) {
  Opened model(ito_open(path.c_str(), options));
  EXPECT_TRUE(model) << ito_last_error();
  return model;
}

class Library : public testing::Test {
 protected:
  Library() { testing::internal::CaptureStderr(); }
  ~Library() override { EXPECT_EQ(testing::internal::GetCapturedStderr(), ""); }
  std::string path(const std::string& name) const { return folder_ / name; }

  TempFolder folder_;
  std::string mixture_ = folder_.write("m.json", json_text(test::three_images()));
  GaussianMixture density_ = mixture_config_from_json(test::three_images(), "m.json", nullptr).mixture();
};

TEST_F(Library, DrawsWhatTheCommandDraws) {
  const std::string classes = folder_.write("classes.json", json_text(test::images_of_two_classes()));
  for (const auto& [model, sampler] :
       {std::pair{mixture_, "euler-ancestral"}, {mixture_, "ode45"}, {classes, "ddim"}}) {
    const bool adaptive = std::string(sampler) == "ode45";
    Words words{"sample", "--checkpoint", model, "--out",     path("out"), "--count", "5", "--first",
                "2",      "--seed",       "3",   "--sampler", sampler};
    if (!adaptive) words = words + Words{"--steps", "6"};
    ASSERT_EQ(run_ito(words).exit_code, 0);
    const std::vector<float> expected = SafetensorsFile::open(path("out/samples.safetensors")).read_f32("samples");
    std::vector<float> drawn(expected.size());
    const Options steps = adaptive ? Options{} : Options{"steps=6"};
    EXPECT_EQ(ito_sample(open(model, {"batch=2"}).get(), sampler, steps, 3, 2, 5, nullptr, drawn.data()), ITO_OK)
        << ito_last_error();
    EXPECT_EQ(drawn, expected) << sampler;
  }
}

// Planar images of the mixture with noise of s, and the same as the closed forms have them.
struct Noisy {
  std::vector<float> planar;
  std::vector<std::vector<double>> interleaved;
};
Noisy noisy(const GaussianMixture& density, const std::vector<double>& s) {
  std::vector<float> x;
  Noisy made;
  for (uint32_t i = 0; i < s.size(); ++i) {
    std::vector<double> image = density.sample(1, i);
    const std::vector<double> noise = density.sample(2, i);
    for (size_t j = 0; j < image.size(); ++j) x.push_back(static_cast<float>(image[j] + s[i] * noise[j]));
    made.interleaved.emplace_back(x.end() - kSize, x.end());
  }
  made.planar = to_planar(x, static_cast<int64_t>(s.size()), {2, 4, 2});
  return made;
}

TEST_F(Library, DenoisesAsTheClosedFormDoes) {
  const std::vector<double> s{0.3, 0, 2.5, 40, 0.02};
  const Noisy x = noisy(density_, s);
  const auto n = static_cast<int64_t>(s.size());
  const Opened model = open(mixture_, {"batch=3"});  // then one of two, which a third row fills up
  std::vector<float> v, x0(x.planar.size()), again(x0.size()), gradient(x0.size());
  for (size_t i = 0; i < x0.size(); ++i) v.push_back(static_cast<float>(i % 7) / 3 - 1);
  ASSERT_EQ(ito_denoise(model.get(), n, x.planar.data(), s.data(), nullptr, x0.data()), ITO_OK) << ito_last_error();
  ASSERT_EQ(
      ito_denoise_vjp(model.get(), n, x.planar.data(), s.data(), nullptr, v.data(), again.data(), gradient.data()),
      ITO_OK)
      << ito_last_error();
  EXPECT_EQ(again, x0);
  const std::vector<float> estimate = to_interleaved(x0, n, {2, 4, 2}), pulled = to_interleaved(gradient, n, {2, 4, 2}),
                           cotangent = to_interleaved(v, n, {2, 4, 2});
  for (size_t i = 0; i < s.size(); ++i) {
    // x0 = x - s eps: eps of fp32 has an error of some 1e-6, and what is added loses as much of x and of s.
    const double tolerance = 2e-5 * (1 + s[i]);
    const std::vector<double>& at = x.interleaved[i];
    const std::vector<double> expected = s[i] > 0 ? density_.expected_x0(at, 1, s[i]) : at;
    // The derivative of a posterior mean is symmetric: J^T v = J v, by central differences of the closed form.
    constexpr double kStep = 1e-5;
    std::vector<double> ahead = at, behind = at;
    for (size_t j = 0; j < kSize; ++j) {
      ahead[j] += kStep * cotangent[i * kSize + j];
      behind[j] -= kStep * cotangent[i * kSize + j];
    }
    if (s[i] > 0) ahead = density_.expected_x0(ahead, 1, s[i]), behind = density_.expected_x0(behind, 1, s[i]);
    for (size_t j = 0; j < kSize; ++j) {
      EXPECT_NEAR(estimate[i * kSize + j], expected[j], tolerance) << "image " << i << ", number " << j;
      EXPECT_NEAR(pulled[i * kSize + j], (ahead[j] - behind[j]) / (2 * kStep), tolerance) << i << ", " << j;
    }
  }
  // Alone an image has the bits that it has among others.
  ASSERT_EQ(ito_denoise(model.get(), 1, x.planar.data() + 2 * kSize, &s[2], nullptr, again.data()), ITO_OK);
  EXPECT_TRUE(std::equal(again.begin(), again.begin() + kSize, x0.begin() + 2 * kSize));
}

TEST_F(Library, RestoresWhatTheCommandRestores) {
  SafetensorsWriter writer;
  writer.add("samples", {3, 2, 2, 4}, noisy(density_, {0, 0, 0}).planar);
  writer.write(path("x.safetensors"));
  const std::string op = "inpaint:random:0.5";
  ASSERT_EQ(run_ito({"measure", "--data", path("x.safetensors"), "--operator", op, "--sigma-y", "0.15", "--count", "3",
                     "--out", path("y.safetensors")})
                .exit_code,
            0);
  ASSERT_EQ(run_ito({"restore", "--checkpoint", mixture_, "--measurements", path("y.safetensors"), "--solver", "ddrm",
                     "--draws", "2", "--steps", "8", "--seed", "4", "--out", path("restored")})
                .exit_code,
            0);
  const SafetensorsFile restored = SafetensorsFile::open(path("restored/restored.safetensors"));
  const std::vector<float> y = SafetensorsFile::open(path("y.safetensors")).read_f32("measurements");
  std::vector<float> samples(6 * kSize), mean(3 * kSize), deviation(3 * kSize), measured(y.size());
  const Opened model = open(mixture_);
  int64_t numbers = 0;
  ASSERT_EQ(ito_measurements(model.get(), op.c_str(), &numbers), ITO_OK);
  ASSERT_EQ(static_cast<size_t>(3 * numbers), y.size());
  ASSERT_EQ(ito_restore(model.get(), op.c_str(), 0.3, "ddrm", Options{"steps=8"}, 4, 0, 3, y.data(), nullptr, 2,
                        samples.data(), mean.data(), deviation.data()),
            ITO_OK)
      << ito_last_error();
  EXPECT_EQ(samples, restored.read_f32("samples"));
  EXPECT_EQ(mean, restored.read_f32("mean"));
  EXPECT_EQ(deviation, restored.read_f32("std"));
  const std::vector<float> truth = SafetensorsFile::open(path("y.safetensors")).read_f32("truth");
  ASSERT_EQ(ito_measure(model.get(), op.c_str(), 3, truth.data(), measured.data()), ITO_OK);
  double squares = 0;  // what is between a measurement and y is noise of 0.3
  for (size_t i = 0; i < y.size(); ++i) squares += std::pow(measured[i] - y[i], 2) / static_cast<double>(y.size());
  EXPECT_NEAR(std::sqrt(squares), 0.3, 0.2);
}

TEST_F(Library, KnowsHowProbableImagesAre) {
  const Noisy x = noisy(density_, {0, 0});
  std::array<double, 2> nats{};
  ASSERT_EQ(
      ito_log_likelihood(open(mixture_).get(), Options{"trace=exact"}, 0, 2, x.planar.data(), nullptr, nats.data()),
      ITO_OK)
      << ito_last_error();
  for (size_t i = 0; i < 2; ++i)  // of a relative tolerance of 1e-5 a step, over a few hundred steps
    EXPECT_NEAR(nats[i], density_.log_density(x.interleaved[i], 1, 0), 5e-3);
}

// Batches that are full, one that is not, and every image alone, each with a class of its own: the same bits.
TEST_F(Library, AnImageIsTheSameInAnyBatch) {
  const std::string classes = folder_.write("classes.json", json_text(test::images_of_two_classes()));
  constexpr int64_t kImages = 5, kFirst = 2;
  const std::vector<double> s{0.3, 0.7, 2.5, 1.1, 0.2};
  const std::vector<int32_t> labels{1, 0, 1, 2, 0};
  const std::vector<float> x = noisy(density_, s).planar;
  const std::string op = "inpaint:box";
  const auto all = [&](const Options& batch, int64_t at_once) {
    const Opened model = open(classes, batch);
    int64_t m = 0;
    EXPECT_EQ(ito_measurements(model.get(), op.c_str(), &m), ITO_OK);
    std::vector<float> drawn(kImages * kSize), x0(drawn), gradient(drawn), y(kImages * m);
    std::vector<float> samples(2 * kImages * kSize), mean(drawn), deviation(drawn);
    std::vector<double> nats(kImages);
    for (int64_t i = 0; i < kImages; i += at_once) {
      const int32_t* const of = &labels[i];
      const int64_t at = i * kSize, first = kFirst + i;
      const ito_status all_of_it[] = {
          ito_sample(model.get(), "ddpm", Options{"steps=4"}, 3, first, at_once, of, &drawn[at]),
          ito_denoise_vjp(model.get(), at_once, &x[at], &s[i], of, &x[at], &x0[at], &gradient[at]),
          ito_measure(model.get(), op.c_str(), at_once, &x[at], &y[i * m]),
          ito_restore(model.get(), op.c_str(), 0.1, "ddrm", Options{"steps=3"}, 4, first, at_once, &y[i * m], of, 2,
                      &samples[2 * at], &mean[at], &deviation[at]),
          ito_log_likelihood(model.get(), nullptr, first, at_once, &x[at], of, &nats[i])};
      for (const ito_status status : all_of_it) EXPECT_EQ(status, ITO_OK) << ito_last_error();
    }
    std::vector<std::vector<float>> found{drawn, x0, gradient, y, samples, mean, deviation};
    found.emplace_back(nats.begin(), nats.end());
    return found;
  };
  const std::vector<std::vector<float>> alone = all({"batch=1"}, 1), together = all({"batch=3"}, kImages);
  for (size_t k = 0; k < alone.size(); ++k) EXPECT_EQ(together[k], alone[k]) << "result " << k;
  for (size_t i = 1; i < kImages; ++i)
    for (size_t k : {0, 1, 2, 5, 6})
      EXPECT_FALSE(std::equal(&alone[k][i * kSize], &alone[k][(i + 1) * kSize], alone[k].data())) << k << ", " << i;
}

TEST_F(Library, TrainsAsTheCommandDoes) {
  const TinyRun tiny;
  constexpr int kBatch = 8;
  LoadOptions load;
  const Dataset bytes = load_dataset(tiny.images, load);
  std::vector<float> images;  // as numbers, since the library is given those
  std::vector<int64_t> labels(bytes.labels.begin(), bytes.labels.end());
  const ImageShape shape{bytes.height, bytes.width, bytes.channels};
  images.resize(static_cast<size_t>(bytes.count * shape.size()));
  for (int i = 0; i < bytes.count; ++i) bytes.image_f32(i, false, images.data() + i * shape.size());
  SafetensorsWriter writer;
  writer.add("samples", {bytes.count, shape.channels, shape.height, shape.width},
             to_planar(images, bytes.count, shape));
  writer.add_i64("labels", {bytes.count}, labels);
  writer.write(path("data.safetensors"));
  const ChildResult trained =
      run_ito(tiny.train + Words{"--data", path("data.safetensors"), "--out", path("run"), "--steps", "3"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;

  const auto training = [&](const std::string& resume) {
    return Training(ito_trainer_open(tiny.model.c_str(), Options{"out=" + path("own"), "steps=3", "batch=8", "lr=0.002",
                                                                 "warmup=2", "seed=5", "resume=" + resume}));
  };
  DataOrder order(5, bytes.count);
  const auto step = [&](ito_trainer* trainer, int64_t number) {
    std::vector<float> batch;
    std::vector<int32_t> classes;
    for (int64_t at = number * kBatch; at < (number + 1) * kBatch; ++at) {
      const int64_t i = order.index(at);
      batch.insert(batch.end(), images.begin() + i * shape.size(), images.begin() + (i + 1) * shape.size());
      classes.push_back(static_cast<int32_t>(labels[static_cast<size_t>(i)]));
    }
    EXPECT_EQ(ito_trainer_step(trainer, to_planar(batch, kBatch, shape).data(), classes.data()), ITO_OK)
        << ito_last_error();
  };
  int64_t done = 0;
  double loss = 0;
  {  // two steps, and the third by another trainer that goes on
    const Training trainer = training("false");
    ASSERT_TRUE(trainer) << ito_last_error();
    step(trainer.get(), 0);
    step(trainer.get(), 1);
    ASSERT_EQ(ito_trainer_progress(trainer.get(), &done, &loss), ITO_OK);
    EXPECT_EQ(done, 2);
    EXPECT_EQ(loss, read_json_lines(path("run/metrics.jsonl")).front()["loss"]);
    ASSERT_EQ(ito_trainer_save(trainer.get()), ITO_OK) << ito_last_error();
  }
  const Training trainer = training("true");
  ASSERT_TRUE(trainer) << ito_last_error();
  step(trainer.get(), 2);
  ASSERT_EQ(ito_trainer_save(trainer.get()), ITO_OK) << ito_last_error();
  const std::string weights = "/checkpoint-3/unet/diffusion_pytorch_model.safetensors";
  EXPECT_EQ(read_bytes(path("own") + weights), read_bytes(path("run") + weights));
  EXPECT_EQ(ito_trainer_step(trainer.get(), images.data(), nullptr), ITO_REFUSED);
  EXPECT_EQ(std::string(ito_last_error()), "step 4: the run has 3 steps; ask for more as steps");
}

TEST_F(Library, SaysWhatIsWrong) {
  const Opened model = open(mixture_);
  std::array<float, kSize> image{};
  const double level = 1;
  const auto refused = [](ito_status status, const std::string& text) {
    EXPECT_EQ(status, ITO_REFUSED);
    EXPECT_NE(std::string(ito_last_error()).find(text), std::string::npos) << ito_last_error();
    EXPECT_EQ(std::string(ito_last_error()).find_first_of("\n"), std::string::npos) << ito_last_error();
    EXPECT_EQ(std::string(ito_last_error()).find("--"), std::string::npos) << ito_last_error();
  };
  EXPECT_FALSE(ito_open(path("nothing").c_str(), nullptr));
  refused(ito_last_status(), "nothing");
  EXPECT_FALSE(ito_open(mixture_.c_str(), Options{"bach=3"}));
  refused(ito_last_status(), "option 'bach': is not known here; expected one of");
  EXPECT_FALSE(ito_open(mixture_.c_str(), Options{"device=tpu"}));
  refused(ito_last_status(), "device tpu: expected auto, cuda or cpu");
  EXPECT_FALSE(ito_open(nullptr, nullptr));
  refused(ito_last_status(), "path is NULL");
  refused(ito_sample(model.get(), "ddmi", nullptr, 0, 0, 1, nullptr, image.data()), "ddim");
  refused(ito_sample(model.get(), "ddim", Options{"etta=1"}, 0, 0, 1, nullptr, image.data()), "etta");
  refused(ito_sample(model.get(), "ddim", Options{"steps=1001"}, 0, 0, 1, nullptr, image.data()), "0 to 1000");
  refused(ito_sample(model.get(), "ddim", Options{"steps"}, 0, 0, 1, nullptr, image.data()), "expected key=value");
  refused(ito_sample(model.get(), "ddim", nullptr, 0, 0, 0, nullptr, image.data()), "count 0");
  const int32_t label = 0;
  refused(ito_denoise(model.get(), 1, image.data(), &level, &label, image.data()), "has no classes");
  const double bad = NAN;
  refused(ito_denoise(model.get(), 1, image.data(), &bad, nullptr, image.data()), "image 0 has noise of nan");
  refused(ito_restore(model.get(), "pool:3", 0.1, "ddrm", nullptr, 0, 0, 1, image.data(), nullptr, 1, nullptr, nullptr,
                      nullptr),
          "pool:3");
  EXPECT_FALSE(ito_trainer_open(mixture_.c_str(), Options{"steps=3"}));
  refused(ito_last_status(), "out: is missing");
}

TEST_F(Library, TellsWarningsToTheirHandler) {
  Json model = test::three_images();
  model["surplus"] = 1;
  const std::string file = folder_.write("surplus.json", json_text(model));
  testing::internal::CaptureStdout();
  open(file);  // nobody listens, and nothing is printed
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  std::vector<std::string> told;
  ito_on_warning([](const char* text, void* data) { static_cast<std::vector<std::string>*>(data)->push_back(text); },
                 &told);
  open(file);
  ito_on_warning(nullptr, nullptr);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].find("surplus"), std::string::npos) << told[0];
}

TEST_F(Library, IsCalledFromSeveralThreads) {
  const Opened model = open(mixture_, {"threads=2"});
  const auto draw = [&](uint64_t seed) {
    std::vector<float> drawn(3 * kSize);
    EXPECT_EQ(ito_sample(model.get(), "ddim", Options{"steps=5"}, seed, 0, 3, nullptr, drawn.data()), ITO_OK);
    return drawn;
  };
  const std::vector<std::vector<float>> expected{draw(0), draw(1), draw(2)};
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (uint64_t seed = 0; seed < 3; ++seed)
    threads.emplace_back([&, seed] {
      for (int turn = 0; turn < 3; ++turn) {
        EXPECT_FALSE(ito_open(("no" + std::to_string(seed)).c_str(), nullptr));
        const bool same = draw(seed) == expected[seed];
        right += same && std::string(ito_last_error()).starts_with("no" + std::to_string(seed));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 9);
}

std::set<std::string> words_of(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

TEST(LibraryFiles, ShowTheNamesOfTheHeaderAlone) {
  const std::string header = read_bytes(std::string(ITO_SOURCE_DIR) + "/tools/library/ito.h");
  const std::set<std::string> declared = words_of(header, std::regex("ITO_API [a-z0-9_ ]+[* ]+(ito_[a-z_]+)\\("));
  EXPECT_GT(declared.size(), 15u);
  const std::regex shown(" [A-Za-z] ([^\\n]+)\\n");
  const auto names_of = [&](const std::string& library) {
    return words_of(run_child({"/usr/bin/nm", "-D", "--defined-only", program_path(library)}).out, shown);
  };
  EXPECT_EQ(names_of("libito.so.0"), declared);
  EXPECT_EQ(names_of("libito-cpu.so"), std::set<std::string>{"ito_backend"});
  EXPECT_TRUE(std::string(ito_version()).starts_with(join_text(ITO_VERSION_MAJOR, ".", ITO_VERSION_MINOR, ".")));
}

}  // namespace
}  // namespace ito
