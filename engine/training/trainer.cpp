// SPDX-License-Identifier: Apache-2.0
// See trainer.h. Everything is allocated once, so that the captured step holds addresses that stay.
#include "engine/training/trainer.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "engine/checkpoint/snapshot.h"
#include "engine/diffusion/forward_rows.h"
#include "engine/diffusion/variational_rows.h"
#include "engine/io/option_name.h"
#include "engine/program/memory_check.h"
#include "kernels/diffusion/by_level.h"
#include "kernels/diffusion/class_labels.h"
#include "kernels/diffusion/loss.h"
#include "kernels/diffusion/noising.h"
#include "kernels/diffusion/unpack.h"
#include "kernels/nn/pointwise.h"
#include "kernels/optim/adamw.h"
#include "kernels/seams/memory_limit.h"

namespace ito {
namespace {

TrainSettings checked(TrainSettings s, const Network& network, const SchedulerConfig& config) {
  ITO_USER_CHECK(s.batch >= 1 && s.batch <= (1 << 20), option_name("batch"), " ", s.batch, ": expected 1 to ", 1 << 20);
  if (s.micro_batch == 0) s.micro_batch = s.batch;
  const int chunk = images_per_chunk();
  ITO_USER_CHECK(s.micro_batch >= 1 && s.micro_batch <= s.batch, option_name("micro_batch"), " ", s.micro_batch,
                 ": expected 1 to the batch, ", s.batch);
  ITO_USER_CHECK(s.micro_batch == s.batch || s.micro_batch % chunk == 0, option_name("micro_batch"), " ", s.micro_batch,
                 " is not a multiple of ", chunk, ", the images that one partial weight gradient covers");
  if (s.micro_batch < s.batch) {
    const int fits = chunk * static_cast<int>(std::bit_floor(static_cast<unsigned>(s.micro_batch / chunk)));
    if (fits != s.micro_batch)
      warn("micro_batch ", s.micro_batch, ": the passes take ", fits, " images, ", chunk, " times a power of two");
    s.micro_batch = fits;
  }
  const bool learned = config.variance_type == VarianceType::LearnedRange;
  const int outputs = network.image.channels * (learned ? 2 : 1);
  ITO_USER_CHECK(network.out_channels == outputs, "the network has ", network.out_channels, " output channels for ",
                 network.image.channels, " of data; with variance_type ", name_of(config.variance_type),
                 " training expects ", outputs);
  ITO_USER_CHECK(
      !network.asks_level,
      "the network is an exact answer that asks for alpha and sigma of its sample; there is nothing to train");
  ITO_USER_CHECK(s.class_dropout == 0 || (network.labels == LabelKind::Index && network.real_classes() > 0),
                 option_name("class_dropout"), " ", s.class_dropout,
                 ": the network has no classes to leave out; take a model with a class embedding for none besides");
  return s;
}

// Of the errors by level: a mean over the last hundred images of a timestep or so, since the network changes.
constexpr double kStatisticsDecay = 0.99;

// An op whose batch is another than the images' would have other leaves in its sums than its neighbours.
void check_sums_over_images(const Program& program) {
  for (const auto& op : program.ops())
    ITO_CHECK(op->parameters.empty() || program.info(op->outputs.front()).n == program.options().n, op->name,
              ": has parameters and works on ", program.info(op->outputs.front()).n, " rows for ", program.options().n,
              " images; training that is not implemented");
}

}  // namespace

Trainer::Trainer(Plan, const Network& network, const NoiseSchedule& schedule, const TrainSettings& settings)
    : network_(network),
      settings_(checked(settings, network, schedule.config())),
      schedule_steps_(schedule.steps()),
      level_sampler_(settings.level_draw, Levels(schedule)) {
  plan_shares();
  plan_programs();
  ITO_USER_CHECK(program().layout().trainable_floats() > 0, "the network has no weights that could be trained");
  check_sums_over_images(program());
  own_ranges_ = {{0, layout().trainable_floats()}};
  if (ranks() > 1) {
    const int64_t leaves = ceil_div(settings_.batch, images_per_chunk());
    shared_.emplace(*settings_.ranks, program(), leaves, settings_.bucket_bytes);
    own_ranges_ = shared_->own_ranges();
  }
  ITO_USER_CHECK(settings_.learning_rate.steps >= 1, option_name("steps"), " 0: expected at least 1");
  declare();
  buffer_bytes_ = buffers_.bytes();
}

// Which images each rank has, and in which passes this one takes its own.
void Trainer::plan_shares() {
  const int64_t chunk = images_per_chunk(), leaves = ceil_div(settings_.batch, chunk);
  for (int rank = 0; rank < ranks(); ++rank)
    images_of_ranks_.push_back(images_of(leaves_of_rank(leaves, ranks(), rank)));
  const int64_t most = settings_.micro_batch < settings_.batch
                           ? settings_.micro_batch / chunk
                           : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(leaves)));
  passes_ = plan_passes(subtrees_of(leaves_of_rank(leaves, ranks(), rank()), leaves), most);
}

void Trainer::plan_programs() {
  std::vector<int> sizes;
  for (const RankPass& pass : passes_.passes) sizes.push_back(static_cast<int>(images_of(pass.leaves).count));
  std::ranges::sort(sizes, std::greater<>());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  for (const int images : sizes) {
    PassProgram& made = programs_.emplace_back(PassProgram{images, std::make_unique<Program>(options_for(images)), {}});
    made.inputs = plan_network(*made.program, network_);
  }
}

IndexRange Trainer::images_of(const IndexRange& leaves) const {
  const int64_t chunk = images_per_chunk(), first = leaves.first * chunk;
  return {first, std::min<int64_t>(leaves.end() * chunk, settings_.batch) - first};
}

Trainer::PassProgram& Trainer::program_of(const RankPass& pass) {
  const int64_t images = images_of(pass.leaves).count;
  return *std::ranges::find_if(programs_, [&](const PassProgram& p) { return p.images == images; });
}

size_t Trainer::bytes_needed(const Network& network, const NoiseSchedule& schedule, const TrainSettings& settings) {
  const Trainer planned(Plan{}, network, schedule, settings);
  size_t sum = 0;
  for (const size_t part :
       {planned.activation_bytes(), planned.buffer_bytes_, planned.data_bytes(), planned.checkpoint_bytes()})
    if (__builtin_add_overflow(sum, part, &sum)) return SIZE_MAX;
  return sum;
}

size_t Trainer::data_bytes() const {
  return device_memory_is_the_hosts() ? settings_.data_bytes : 0;
}

size_t Trainer::checkpoint_bytes() const {
  return device_memory_is_the_hosts() && settings_.checkpoints ? checkpoint_copy_bytes(layout(), ranks(), ema_count())
                                                               : 0;
}

Trainer::Trainer(const Network& network, const NoiseSchedule& schedule, const TrainSettings& settings,
                 size_t memory_limit)
    : Trainer(Plan{}, network, schedule, settings) {
  const std::vector<ForwardRow> rows =
      forward_rows(Levels(schedule), Reading::of(schedule.config()), settings_.weighting);
  std::vector<VariationalRow> bound_rows;
  if (settings_.loss != TrainLoss::Squared)
    bound_rows = variational_rows({.levels = Levels(schedule),
                                   .config = schedule.config(),
                                   .reverse = reverse_option_named(schedule.config().reverse, "training"),
                                   .last = settings_.last_term});
  check_memory("training",
               {{"activations", activation_bytes()},
                {"parameters and images", buffer_bytes_},
                {"data set", data_bytes()},
                {"copies for a checkpoint", checkpoint_bytes()}},
               memory_limit, "lower micro_batch or batch, or take a smaller model or resolution");
  buffers_.allocate();
  activations_ = {activation_bytes(), "the network's activations"};
  learning_rates_.upload(stream_, learning_rate_table(settings_.learning_rate).data());
  levels_.upload(stream_, rows.data());
  bound_rows_.upload(stream_, bound_rows.data());
  level_sampler_.start(stream_);
  level_sums_.zero(stream_);
  gradients_.zero(stream_);  // the padding between tensors stays zero
  for (DeviceBuffer<float>& buffer : waiting_) buffer.zero(stream_);
  if (shared_) shared_->clear_times(stream_);
  for (const PassProgram& p : programs_)
    p.program->bind(weights_.data(), gradients_.data(), activations_.data(), bf16_weights_.data());
}

ProgramOptions Trainer::options_for(int images) const {
  return {.n = images, .mode = Mode::Training, .compute = settings_.compute, .bf16_weights_given = true};
}

void Trainer::declare() {
  BufferList& buffers = buffers_;
  const size_t arena = layout().arena_floats(), trainable = layout().trainable_floats(), batch = settings_.batch;
  const size_t own = own_images().count;
  size_t updated = 0;
  for (const IndexRange& range : own_ranges_) updated += range.count;
  buffers.add(weights_, arena, "weights");
  buffers.add(bf16_weights_, program().reads_bf16_weights() ? arena : 0, "weights in bf16");
  for (int e = 0; e < ema_count(); ++e) buffers.add(emas_[e], arena, "EMA weights");
  buffers.add(gradients_, trainable, "gradients");
  waiting_.resize(passes_.buffers - 1);
  for (DeviceBuffer<float>& buffer : waiting_) buffers.add(buffer, trainable, "gradients of a pass");
  buffers.add(first_moment_, updated, "Adam's first moment");
  buffers.add(second_moment_, updated, "Adam's second moment");
  if (shared_) shared_->declare(buffers);
  buffers.add(state_, 1, "training state");
  buffers.add(learning_rates_, settings_.learning_rate.steps, "learning rates");
  buffers.add(levels_, schedule_steps_, "noise schedule");
  level_sampler_.declare(buffers);
  const size_t numbers = own * network_.image.size();
  buffers.add(bytes_, settings_.byte_images ? numbers : 0, "images as bytes");
  buffers.add(unflipped_, settings_.flip && !settings_.byte_images ? numbers : 0, "images before they are mirrored");
  buffers.add(x0_, numbers, "images");
  buffers.add(rows_, batch, "levels");
  buffers.add(labels_, network_.labels == LabelKind::Index ? own : 0, "labels");
  buffers.add(label_values_, network_.labels == LabelKind::Value ? own * network_.label_width : 0, "labels");
  buffers.add(loss_, batch, "losses");
  const bool bound = settings_.loss != TrainLoss::Squared;
  buffers.add(squared_, bound ? batch : 0, "squared errors");
  buffers.add(bound_rows_, bound ? schedule_steps_ : 0, "terms of the bound");
  buffers.add(level_sums_, 2 * static_cast<size_t>(schedule_steps_), "errors by level");
  buffers.add(norm_partials_, ceil_div(layout().trainable_floats(), kNormSpan), "gradient norm");
}

size_t Trainer::activation_bytes() const {
  size_t most = 0;
  for (const PassProgram& p : programs_) most = std::max(most, p.program->plan().bytes());
  return most;
}

std::string Trainer::cut() const {
  const std::string images = join_text(settings_.batch, " images a step");
  if (ranks() > 1) return join_text(images, ", on this rank in passes of at most ", pass_images());
  return passes() == 1 ? images + " in one pass"
                       : join_text(images, " in ", passes(), " passes of at most ", pass_images());
}

size_t Trainer::planned_bytes() const {
  return activation_bytes() + buffer_bytes_;
}

KernelChoices Trainer::kernel_choices() const {
  KernelChoices all;
  for (const PassProgram& p : programs_) all.merge(p.program->kernel_choices());
  return all;
}

void Trainer::step(const TrainBatch& batch) {
  const auto steps = static_cast<int64_t>(learning_rates_.count());
  ITO_CHECK(next_step_ < steps, "a training step past the last: the learning rates cover ", steps, " steps");
  ITO_CHECK((settings_.byte_images ? batch.bytes != nullptr : batch.numbers != nullptr), "a batch without ",
            settings_.byte_images ? "bytes" : "floats", ", which the trainer was made for");
  ++next_step_;
  const auto copy = [&](void* device, const void* host, size_t bytes) {
    (batch.taken ? enqueue_copy_to_device : copy_to_device)(stream_, device, host, bytes);
  };
  if (settings_.byte_images)
    copy(bytes_.data(), batch.bytes, bytes_.bytes());
  else
    copy(settings_.flip ? unflipped_.data() : x0_.data(), batch.numbers, x0_.bytes());
  if (network_.labels == LabelKind::Index) {
    ITO_CHECK(batch.labels.classes, "a class-conditional network trained without labels");
    copy(labels_.data(), batch.labels.classes, labels_.bytes());
  } else if (network_.labels == LabelKind::Value) {
    ITO_CHECK(batch.labels.values, "a network of real-valued labels trained without them");
    copy(label_values_.data(), batch.labels.values, label_values_.bytes());
  }
  if (batch.taken) stream_.record(*batch.taken);
  // The first step is not captured: a GPU loads code and libraries make their choices at the first call.
  if (!settings_.capture || !warm_) {
    warm_ = true;
    return run_step();
  }
  if (!graph_) graph_ = stream_.capture([this] { run_step(); });
  stream_.replay(graph_);
}

SampleCounter Trainer::counter_from(int offset) const {
  return SampleCounter::of_training(settings_.seed, &state_.data()->step, settings_.batch, offset);
}

void Trainer::unpack() {
  const ImageRows size{network_.image.height, network_.image.width, network_.image.channels};
  const int first = static_cast<int>(own_images().first), count = static_cast<int>(own_images().count);
  if (settings_.byte_images)
    unpack_images(stream_, x0_.data(), bytes_.data(), settings_.flip, counter_from(first), count, size);
  else if (settings_.flip)
    unpack_images(stream_, x0_.data(), unflipped_.data(), true, counter_from(first), count, size);
  if (settings_.class_dropout > 0)
    drop_labels(stream_, labels_.data(), settings_.class_dropout, network_.no_class(), counter_from(first), count);
}

// The levels of all images are drawn by every rank, and what was lost on each is shared.
void Trainer::run_step() {
  if (shared_) shared_->begin(stream_);
  unpack();
  level_sampler_.draw(stream_, rows_.data(), levels_.data(), counter_from(0), settings_.batch);
  packed_ = nullptr;  // the weights are new
  for (const RankPass& pass : passes_.passes) run_pass(pass, &pass == &passes_.passes.back());
  if (shared_) shared_->finish_gradients(stream_, norm_partials_.data());
  const float* squared = settings_.loss == TrainLoss::Squared ? loss_.data() : squared_.data();
  accumulate_by_level(stream_, level_sums_.data(), schedule_steps_, squared, rows_.data(), settings_.batch,
                      kStatisticsDecay);
  if (!shared_)
    gradient_square_sums(stream_, norm_partials_.data(), gradients_.data(), static_cast<int64_t>(gradients_.count()));
  optimizer_prepare(stream_, state_.data(), loss_.data(), settings_.batch, norm_partials_.data(),
                    static_cast<int64_t>(norm_partials_.count()), learning_rates_.data(), settings_.optimizer);
  update();
  level_sampler_.learn(stream_, loss_.data(), rows_.data(), &state_.data()->apply, settings_.batch);
  if (shared_) shared_->end(stream_);
}

// While the weights of one range travel, those of the next are made.
void Trainer::update() {
  bf16* const rounded = bf16_weights_.data();
  EmaArenas emas;
  emas.count = ema_count();
  for (int e = 0; e < emas.count; ++e) emas.of[e] = emas_[e].data();
  int64_t part = 0;  // where the range's moments begin
  for (size_t i = 0; i < own_ranges_.size(); ++i) {
    const auto [first, count] = own_ranges_[i];
    adamw_ema(stream_, weights_.data() + first, first_moment_.data() + part, second_moment_.data() + part,
              emas.from(first), rounded && !shared_ ? rounded + first : nullptr, gradients_.data() + first, count,
              state_.data(), settings_.optimizer);
    if (shared_) shared_->share_weights(stream_, static_cast<int>(i), weights_.data());
    part += count;
  }
  if (!shared_) return;
  shared_->finish_weights(stream_);
  if (rounded) convert(stream_, rounded, weights_.data(), static_cast<int64_t>(weights_.count()));
}

void Trainer::share_losses() {
  std::vector<float*> numbers{loss_.data()};
  if (squared_.data()) numbers.push_back(squared_.data());
  shared_->share_losses(stream_, numbers, images_of_ranks_);
}

// What other buckets' tensors are still to come into is not touched.
void Trainer::share_bucket(int number, const RankPass& last) {
  join_passes(last.arrival, shared_->bucket(number).floats);
  std::vector<const float*> pieces;
  for (const int buffer : passes_.buffer_of_piece) pieces.push_back(gradients_of(buffer));
  shared_->share_bucket(stream_, number, pieces, gradients_.data(), norm_partials_.data());
}

void Trainer::join_passes(const TreeArrival& arrival, const IndexRange& floats) {
  for (int slot = arrival.slot; slot > arrival.slot - arrival.joins; --slot)
    accumulate(stream_, gradients_of(slot - 1) + floats.first, Write::Add, gradients_of(slot) + floats.first, 1.0f,
               floats.count);
}

// Of several ranks' last pass, each bucket goes on its way as soon as the backward has completed it.
void Trainer::run_pass(const RankPass& pass, bool last) {
  PassProgram& p = program_of(pass);
  if (packed_ != p.program.get()) p.program->pack(stream_);
  packed_ = p.program.get();
  p.program->set_gradients(gradients_of(pass.arrival.slot));
  const int offset = static_cast<int>(images_of(pass.leaves).first);
  if (!shared_ || !last) {
    micro_step(*p.program, p.inputs, offset, {}, {});
    return join_passes(pass.arrival, {0, layout().trainable_floats()});
  }
  int next = 0;
  const auto share_what_is_complete = [&](int op) {
    for (; next < shared_->buckets() && shared_->bucket(next).last_op >= op; ++next) share_bucket(next, pass);
  };
  micro_step(
      *p.program, p.inputs, offset, [this] { share_losses(); }, share_what_is_complete);
}

void Trainer::micro_step(Program& program, const NetworkInputs& inputs, int offset, const std::function<void()>& made,
                         const std::function<void(int)>& after_op) {
  const SampleCounter counter = counter_from(offset);
  const int n = program.options().n;
  const int64_t image_size = network_.image.size();
  const int64_t own = offset - own_images().first;
  const float* x0 = x0_.data() + own * image_size;
  const ForwardRow* rows = rows_.data() + offset;

  add_noise(stream_, program.data(inputs.sample), program.data(inputs.timestep).as<float>(), x0, rows, counter, n,
            image_size);
  const int64_t width = network_.label_width;
  if (network_.labels == LabelKind::Index)
    copy_on_device(stream_, program.data(inputs.labels).as<int32_t>(), labels_.data() + own, n * sizeof(int32_t));
  else if (network_.labels == LabelKind::Value)
    copy_on_device(stream_, program.data(inputs.labels).as<float>(), label_values_.data() + own * width,
                   static_cast<size_t>(n * width) * sizeof(float));
  program.set_counter(counter);
  program.forward(stream_);
  take_loss(program, counter, offset);
  if (made) made();
  program.backward(stream_, after_op);
}

void Trainer::take_loss(Program& program, const SampleCounter& counter, int offset) {
  const int n = program.options().n;
  const ImageShape& image = network_.image;
  const float* x0 = x0_.data() + (offset - own_images().first) * image.size();
  const ForwardRow* rows = rows_.data() + offset;
  const bool squared_alone = settings_.loss == TrainLoss::Squared;
  float* squared = (squared_alone ? loss_.data() : squared_.data()) + offset;
  const DataRef answer = program.data(program.output()), gradient = program.gradient(program.output());
  // The bound has a gradient for all of the answer; the squared error is then only for the statistics by level.
  squared_loss(stream_, squared, settings_.loss == TrainLoss::Bound ? DataRef{} : gradient, answer, x0, rows, counter,
               n, image.size(), settings_.batch, network_.wide() ? image.channels : 0);
  if (squared_alone) return;
  const VariationalLoss loss{.loss = loss_.data() + offset,
                             .squared = settings_.loss == TrainLoss::Hybrid ? squared : nullptr,
                             .dpred = gradient,
                             .of_mean = settings_.loss == TrainLoss::Bound,
                             .factor = bound_factor(settings_.loss, schedule_steps_),
                             .batch = settings_.batch};
  variational_terms(stream_, nullptr, loss, answer, network_.wide(), x0, rows, bound_rows_.data(), counter, n,
                    image.height * image.width, image.channels);
}

}  // namespace ito
