// SPDX-License-Identifier: Apache-2.0
// Bad data sets for training and evaluation, and bad tensors for predict and for --initial-noise.
#include <cmath>

#include "tests/tools/bad_input.h"

namespace ito {
namespace {

std::string idx_header(const std::vector<uint32_t>& shape, int type = 8) {
  std::string bytes{'\0', '\0', static_cast<char>(type), static_cast<char>(shape.size())};
  for (const uint32_t extent : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
  return bytes;
}

std::string write_tensors(const std::string& path, const std::vector<int64_t>& shape, float fill, int64_t labels,
                          int64_t label = 0) {
  SafetensorsWriter writer;
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  std::vector<float> samples(count, -0.5f);
  if (!samples.empty()) samples.back() = fill;
  writer.add("samples", shape, std::move(samples));
  if (labels) writer.add_i64("labels", {labels}, std::vector<int64_t>(labels, label));
  writer.write(path);
  return path;
}

TEST_F(BadInput, DataSets) {
  const auto row = [&](const std::string& name, const std::string& data, const std::string& message,
                       const Words& more = {}) {
    return Row{name, train(Words{"--data", data} + more), message};
  };
  std::filesystem::create_directories(path("empty"));
  write("notes/readme.txt", "no pictures");
  write_png(path("images/stray.png"), tiny_image(0, 0));
  const std::string mixed_depth = path("images");  // pictures in it and in its folders
  std::filesystem::create_directories(path("sizes"));
  write_png(path("sizes/a.png"), Image(8, 8, 1, 9));
  write_png(path("sizes/b.png"), Image(10, 8, 1));
  std::filesystem::create_directories(path("depths"));
  write_png(path("depths/a.png"), Image(8, 8, 1));
  write_png(path("depths/b.png"), Image(8, 8, 3));
  std::filesystem::create_directories(path("long"));
  write_png(path("long/a.png"), Image(2, 2000, 1));
  const std::string png = read_bytes(path("sizes/a.png"));
  const std::string cut_png = write("cut/a.png", png.substr(0, png.size() - 20));
  const std::string bad_jpeg = write("jpeg/a.jpg", "\xff\xd8\xff\xe0 this is no JPEG image");
  const std::string not_png = write("text/a.png", "hello");
  const std::string short_idx = write("short/train-images-idx3-ubyte", idx_header({4, 8, 8}) + std::string(200, 'x'));
  const std::string floats_idx = write("floats-idx3", idx_header({4, 8, 8}, 0x0d) + std::string(1024, 'x'));
  const std::string pixels = std::string(4 * 64, 'x');
  const std::string idx_images = write("count/train-images-idx3-ubyte", idx_header({4, 8, 8}) + pixels);
  const std::string idx_labels = write("count/train-labels-idx1-ubyte", idx_header({3}) + std::string(3, '\1'));
  const std::string labels_only = write("only-labels-idx1", idx_header({3}) + "abc");
  const std::string bad_gz = write("bad/train-images-idx3-ubyte.gz", "\x1f\x8b\x08 this is no gzip stream");
  const std::string odd_cifar = write("odd/data_batch_1.bin", std::string(3073 + 100, '\1'));
  const std::string wrong_label = write("label/data_batch_1.bin", std::string(3073, '\17'));
  const std::string tall = write_tensors(path("tall.safetensors"), {2, 1, 9, 8}, 0, 2);
  const std::string flat = write_tensors(path("flat.safetensors"), {2, 64}, 0, 2);
  const std::string nan = write_tensors(path("nan.safetensors"), {2, 1, 8, 8}, NAN, 2);
  const std::string counts = write_tensors(path("counts.safetensors"), {2, 1, 8, 8}, 0, 3);
  const std::string negative = write_tensors(path("negative.safetensors"), {2, 1, 8, 8}, 0, 2, -1);
  const std::string four = write_tensors(path("four.safetensors"), {2, 1, 8, 8}, 0, 2, 3);
  const std::string unlabelled = write_tensors(path("unlabelled.safetensors"), {2, 1, 8, 8}, 0, 0);
  const std::string none = write_tensors(path("none.safetensors"), {0, 1, 8, 8}, 0, 0);
  const std::string bright = path("bright.safetensors"), whole = path("whole.safetensors");
  SafetensorsWriter bright_writer, whole_writer;
  std::vector<float> values(128);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i == 127 ? 255 : i);
  bright_writer.add("samples", {2, 1, 8, 8}, values);
  bright_writer.write(bright);
  whole_writer.add_i64("samples", {2, 1, 8, 8}, std::vector<int64_t>(128, 7));
  whole_writer.write(whole);
  write("short-labels/train-images.idx3-ubyte", idx_header({4, 8, 8}) + pixels);
  write("short-labels/train-labels.idx1-ubyte", idx_header({2}) + "ab");
  write("mixed/gif/a.gif", "GIF89a");
  std::filesystem::create_directories(path("mixed/png"));
  write_png(path("mixed/png/a.png"), Image(8, 8, 1));
  std::filesystem::create_directories(path("split/val"));
  write_png(path("split/val/a.png"), Image(8, 8, 1));
  write("pickles/data_batch_1", "\x80\2");
  write("pickles/batches.meta", "\x80\2");
  Json free_size = tiny_model(), four_channels = tiny_model();
  free_size["sample_size"] = nullptr;
  four_channels["in_channels"] = four_channels["out_channels"] = 4;
  const Words any_size{"--model", write("free.json", json_text(free_size))};
  const Words latent{"--model", write("latent.json", json_text(four_channels))};
  const std::string advice = "; give it data with labels, or as many class embeddings as there are classes";
  check({
      row("no such data", "fashion-mnits",
          "data set 'fashion-mnits': no such name, file or folder; did you mean "
          "'fashion-mnist'?"),
      row("nothing known", write("data.txt", "hello"),
          path("data.txt") + ": is none of the data sets that can be loaded: *"),
      row("empty folder", path("empty"),
          path("empty") + ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders"),
      row("no pictures", path("notes"),
          path("notes") + ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders; it holds 1 .txt"),
      row("images in and below", mixed_depth,
          mixed_depth +
              ": has images both directly in it (1) and in sub-folders (12); with sub-folders as classes every "
              "image must be in one"),
      row("mixed sizes", path("sizes"),
          path("sizes/b.png") + ": is 8x10, the images before it are 8x8; give a resolution to bring them to one size",
          any_size),
      row("mixed channels", path("depths"),
          path("depths/b.png") + ": has 3 channels, the images before it have 1; ask for 1 or 3 channels to bring them "
                                 "together",
          latent),
      row("channels of the model", path("sizes"),
          path("sizes") + ": images have 1 channels, the model takes 4; choose "
                          "another --model",
          latent),
      row("too long to crop", path("long"),
          path("long/a.png") + ": is 2000x2, too long to be cut to 8x8; take it out of the data set"),
      row("corrupt PNG", path("cut"), cut_png + ": is a damaged PNG image: *"),
      row("corrupt JPEG", path("jpeg"), bad_jpeg + ": is a JPEG image that cannot be read: *"),
      row("not an image", path("text"), not_png + ": is neither a PNG nor a JPEG image (by its first bytes)"),
      row("IDX cut short", path("short"),
          short_idx + ": holds 200 values where its header announces 256; it is cut short"),
      row("IDX of floats", floats_idx,
          floats_idx + ": holds IDX type 13; unsigned bytes (8) are read, 0 black and 255 white"),
      row("IDX labels mismatch", path("count"), idx_labels + ": holds 3 labels; " + idx_images + " has 4 images"),
      row("IDX labels as images", labels_only,
          labels_only + ": has one dimension, so it holds labels; give the images "
                        "file"),
      row("corrupt gz", path("bad"), bad_gz + ": is a damaged gzip file: *"),
      row("CIFAR of odd length", path("odd"),
          odd_cifar + ": is 3173 bytes long, not a whole number of CIFAR-10 records "
                      "of 3073 bytes; it is cut short or another format"),
      row("CIFAR label", path("label"), wrong_label + ": record 0 has label 15; CIFAR-10 labels are 0 to 9"),
      row("wrong size", tall, tall + ": samples are 9x8 floats, which are not resized; 8x8 was asked for"),
      row("size not divisible", tall, "images of 9 x 8: a UNet of 2 levels needs multiples of 2", any_size),
      row("dimensions", flat, flat + ": tensor 'samples' has 2 dimensions; (N, C, H, W) is expected"),
      row("no images", none, none + ": tensor 'samples' has a dimension of 0"),
      row("NaN", nan, nan + ": tensor 'samples' has a value of nan in image 1"),
      row("label count", counts, counts + ": tensor 'labels': has shape [3], expected [2]"),
      row("labels of other images", path("short-labels"),
          path("short-labels/train-labels.idx1-ubyte") + ": holds 2 labels; " +
              path("short-labels/train-images.idx3-ubyte") + " has 4 images"),
      row("a class of pictures that are not read", path("mixed"),
          path("mixed/gif") +
              ": holds pictures (1 .gif) and none that is read; convert them to PNG or JPEG, or take the "
              "folder out, since it would be a class"),
      row("validation alone", path("split"),
          path("split") + ": has a folder val and none for training; give " + path("split/val") +
              " itself to train on it"),
      row("CIFAR for Python", path("pickles"),
          path("pickles") + ": is a version of CIFAR for Python or MATLAB, of which the former can run code when it is "
                            "read; get the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)"),
      row("an archive", write("data.zip", "PK\3\4"),
          path("data.zip") + ": is no zip archive, or one that is empty or cut short"),
      row("floats that were never scaled", bright,
          bright +
              ": its values are 0 to 255; images of floats are expected in [-1, 1]: divide by 127.5 and subtract 1, "
              "or store them as U8"),
      row("whole numbers for floats", whole,
          whole + ": tensor 'samples' is I64; expected U8, 0 to 255, or floats in [-1, 1]"),
      row("negative label", negative, negative + ": labels: -1 is not a class (0, 1, 2, ...)"),
      row("more classes than the model", four, four + ": has 4 classes, the model num_class_embeds 3" + advice),
      row("no labels", unlabelled, unlabelled + ": has 0 classes, the model num_class_embeds 3" + advice),
  });
}

TEST_F(BadInput, Evaluation) {
  const std::string good = write_tensors(path("good.safetensors"), {2, 1, 8, 8}, 0, 2);
  const std::string nan = write_tensors(path("nan.safetensors"), {2, 1, 8, 8}, NAN, 0);
  const std::string tall = write_tensors(path("tall.safetensors"), {2, 1, 9, 8}, 0, 0);
  const std::string flat = write_tensors(path("flat.safetensors"), {2, 64}, 0, 0);
  const std::string many = write_tensors(path("many.safetensors"), {2, 1, 8, 8}, 0, 2, 2000000000);
  write("none.npz", "PK");
  const auto eval = [&](const std::string& samples, const std::string& data, const Words& more = {}) {
    return Words{"eval", "--samples", samples, "--data", data} + more;
  };
  check({
      {"NaN", eval(nan, good), nan + ": samples has a value of nan; expected finite numbers"},
      {"dimensions", eval(flat, good), flat + ": samples has 2 dimensions; expected (N, C, H, W)"},
      {"sizes", eval(tall, good), good + ": samples are 8x8 floats, which are not resized; 9x8 was asked for"},
      {"classes", eval(good, many), many + ": has labels up to 2000000000; expected at most 65536 classes"},
      {"no data", eval(good, path("none")), "data set '" + path("none") + "': no such name, file or folder"},
      {"no samples", eval(model_file_, good), model_file_ + ": its header claims *"},
      {"projections", eval(good, good, {"--projections", "0"}), "--projections 0: expected 1 to 1048576"},
      {"absurd projections", eval(good, good, {"--projections", "2000000000"}),
       "--projections 2000000000: expected 1 to 1048576"},
      {"test images", eval(good, good, {"--test-images", "-1"}), "--test-images -1: expected at least 1"},
      {"metric", eval(good, good, {"--metrics", "frechet,ssim"}),
       "--metrics ssim: no metric is called 'ssim'; use all, or some of sliced-wasserstein, frechet, mmd-polynomial, "
       "kid, mmd-rbf, precision-recall, density-coverage"},
      {"features", eval(good, good, {"--features", "pixel"}),
       "--features pixel: expected pixels, classifier, dinov2:WEIGHTS, inception:WEIGHTS or given; did you mean "
       "'pixels'?"},
      {"weights of no DINOv2", eval(good, good, {"--features", "dinov2:" + good}),
       good + ": has no patch_embed.proj.weight; expected DINOv2's weights as its release or transformers names them"},
      {"weights of no Inception", eval(good, good, {"--features", "inception:" + good}),
       good +
           ": has no Conv2d_1a_3x3.conv.weight; expected Inception-v3's weights under the names of its PyTorch ports"},
      {"no weights", eval(good, good, {"--features", "inception:" + path("none")}), path("none") + ": *"},
      {"neighbours", eval(good, good, {"--neighbours", "-1"}),
       "--neighbours -1: expected at least 0 (0: as the metric's paper has it)"},
      {"many neighbours", eval(good, good, {"--metrics", "precision-recall"}),
       "precision-recall: asks for neighbour 3 of a point, and the smaller set has 2 points; give more of them or "
       "fewer "
       "neighbours"},
      {"threads", eval(good, good, {"--threads", "-1"}), "--threads -1: expected 0 to # (0: all cores)"},
      {"a classifier of pixels", eval(good, good, {"--classifier", path("c")}),
       "--classifier " + path("c") + ": is for --features classifier alone; give that too, or leave the flag out"},
      {"a classifier of one class", eval(good, good, {"--features", "classifier"}),
       good + ": has one class; a classifier needs two classes or more, so compare pixels, or features of your own"},
      {"no classifier", eval(good, good, {"--features", "classifier", "--classifier", path("none.npz")}),
       path("none.npz") + ": is no classifier's folder: it has no config.json; give another folder, or one that does "
                          "not exist, and a classifier is trained there"},
      {"features that are images", eval(good, good, {"--features", "given"}),
       good + ": holds no features; expected an .npz file with arr_0 (N, D), or mu (D) and sigma (D, D)"},
      {"a place for results", eval(good, good, {"--out", path("none/at/all.json"), "--projections", "1"}),
       path("none/at/all.json") + ": *"},
  });
}

// What a row of predict gives in the file; empty shapes leave the tensor out.
struct Inputs {
  std::vector<int64_t> sample{2, 1, 8, 8};
  TensorType sample_type = TensorType::F32;
  std::vector<float> timestep{1, 2};
  TensorType timestep_type = TensorType::F32;
  std::vector<int64_t> labels{0, 2};
};

std::string write_inputs(const std::string& path, const Inputs& inputs) {
  SafetensorsWriter writer;
  int64_t count = 1;
  for (const int64_t extent : inputs.sample) count *= extent;
  const std::vector<uint8_t> zeros(count * size_of(inputs.sample_type) + 64, 0);
  if (!inputs.sample.empty())
    writer.add_raw("sample", inputs.sample_type, inputs.sample, {zeros.data(), count * size_of(inputs.sample_type)});
  const auto steps = static_cast<int64_t>(inputs.timestep.size());
  if (steps && inputs.timestep_type == TensorType::F32) writer.add("timestep", {steps}, inputs.timestep);
  if (steps && inputs.timestep_type != TensorType::F32)
    writer.add_raw("timestep", inputs.timestep_type, {steps}, {zeros.data(), steps * size_of(inputs.timestep_type)});
  if (!inputs.labels.empty())
    writer.add_i64("class_labels", {static_cast<int64_t>(inputs.labels.size())}, inputs.labels);
  writer.write(path);
  return path;
}

TEST_F(BadInput, Predict) {
  const std::string model = make_model("model");
  const std::string table = make_model("table", {{"time_embedding_type", "learned"}, {"num_train_timesteps", 100}});
  const std::string fourier = make_model("fourier", {{"time_embedding_type", "fourier"}});
  std::vector<Row> rows;
  const auto add = [&](const std::string& name, const std::string& with, const std::string& message,
                       const std::function<void(Inputs&)>& change) {
    Inputs inputs;
    change(inputs);
    const std::string file = write_inputs(path("input-" + std::to_string(rows.size()) + ".safetensors"), inputs);
    rows.push_back({name, predict(with, file), file + message});
  };
  add("no sample", model, ": has no tensor sample; expected sample (N, C, H, W) and timestep (N)",
      [](Inputs& i) { i.sample.clear(); });
  add("no timestep", model, ": has no tensor timestep; expected sample (N, C, H, W) and timestep (N)",
      [](Inputs& i) { i.timestep.clear(); });
  add("no class_labels", model, ": has no tensor class_labels, which this model needs",
      [](Inputs& i) { i.labels.clear(); });
  add("sample of integers", model, ": sample is I64; expected F32, F16, BF16 or F64",
      [](Inputs& i) { i.sample_type = TensorType::I64; });
  add("timestep of bytes", model, ": timestep is U8; expected I64, I32 or F32",
      [](Inputs& i) { i.timestep_type = TensorType::U8; });
  add("dimensions", model, ": sample has 3 dimensions; expected (N, C, H, W)", [](Inputs& i) { i.sample = {2, 8, 8}; });
  add("no images", model, ": sample has a dimension of 0; expected 1 to 16777216", [](Inputs& i) {
    i.sample = {0, 1, 8, 8};
  });
  add("channels", model, ": sample has 3 channels; the model takes 1", [](Inputs& i) { i.sample = {2, 3, 8, 8}; });
  add("timestep count", model, ": tensor 'timestep': has shape [3], expected [2]", [](Inputs& i) {
    i.timestep = {1, 2, 3};
  });
  add("label count", model, ": tensor 'class_labels': has shape [1], expected [2]", [](Inputs& i) { i.labels = {1}; });
  add("label too large", model, ": class_labels holds 3; the model has classes 0 to 2", [](Inputs& i) {
    i.labels = {0, 3};
  });
  add("label negative", model, ": class_labels holds -1; the model has classes 0 to 2", [](Inputs& i) {
    i.labels = {-1, 0};
  });
  add("timestep NaN", model, ": timestep holds nan; expected finite numbers", [](Inputs& i) { i.timestep = {1, NAN}; });
  const std::string whole =
      "; the model takes whole numbers 0 to 99 (its learned time embedding has num_train_timesteps 100)";
  add("past a learned table", table, ": timestep holds 100" + whole, [](Inputs& i) { i.timestep = {1, 100}; });
  add("before a learned table", table, ": timestep holds -1" + whole, [](Inputs& i) { i.timestep = {-1, 1}; });
  add("between rows", table, ": timestep holds 0.5" + whole, [](Inputs& i) { i.timestep = {1, 0.5f}; });
  add("logarithm of zero", fourier,
      ": timestep holds 0; the model takes numbers above 0 (time_embedding_type is fourier, which takes the logarithm "
      "of t)",
      [](Inputs& i) {
        i.timestep = {1, 0};
      });
  const std::string odd = write_inputs(path("odd.safetensors"), {.sample = {2, 1, 7, 8}});
  const std::string large = write_inputs(path("large.safetensors"), {.sample = {2, 1, 1, 100000}});
  const std::string good = write_inputs(path("fine.safetensors"), {});
  rows.push_back(
      {"size not divisible", predict(model, odd), "images of 7 x 8: a UNet of 2 levels needs multiples of 2"});
  rows.push_back({"images too large", predict(model, large),
                  large + ": sample is of images of 1 x 100000; expected at most 16384 a side"});
  rows.push_back({"output is a folder", predict(model, good, {"--output", outputs_}),
                  outputs_ + ": cannot be written: Is a directory; give the name of a file"});
  rows.push_back(
      {"output nowhere", predict(model, good, {"--output", out("no/p.safetensors")}),
       out("no/p.safetensors") + ": cannot be created: No such file or directory; create its directory first"});
  rows.push_back({"output below a file", predict(model, good, {"--output", good + "/p"}),
                  good + "/p: cannot be created: Not a directory; a part of the path is a file, not a directory"});
  rows.push_back({"batch", predict(model, good, {"--batch", "0"}), "--batch 0: expected 1 to 65536"});
  rows.push_back(
      {"precision", predict(model, good, {"--precision", "fp16"}), "--precision fp16: expected fp32 or bf16"});
  check(rows);
}

TEST_F(BadInput, InitialNoise) {
  const std::string model = make_model("model");
  const auto noise = [&](const std::string& name, const char* tensor, const std::vector<int64_t>& shape) {
    SafetensorsWriter writer;
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    writer.add(tensor, shape, std::vector<float>(count, 0.1f));
    writer.write(path(name));
    return path(name);
  };
  const std::string unnamed = noise("unnamed.safetensors", "noize", {2, 1, 8, 8});
  const std::string few = noise("few.safetensors", "noise", {1, 1, 8, 8});
  const std::string flat = noise("flat.safetensors", "noise", {2, 64});
  check({
      {"no tensor", sample(model, {"--initial-noise", unnamed}),
       unnamed + ": tensor 'noise': is not in the file; did you mean 'noize'?"},
      {"too few", sample(model, {"--initial-noise", few}),
       few + ": tensor 'noise': has shape [1, 1, 8, 8], expected [2, 1, 8, 8]"},
      {"flat", sample(model, {"--initial-noise", flat}),
       flat + ": tensor 'noise': has shape [2, 64], expected [2, 1, 8, 8]"},
      {"no file", sample(model, {"--initial-noise", path("none")}),
       path("none") + ": cannot be read: No such file or "
                      "directory"},
  });
}

}  // namespace
}  // namespace ito
