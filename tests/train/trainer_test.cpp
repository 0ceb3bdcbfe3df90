#include "mc/train/trainer.h"

#include <cmath>
#include <fstream>

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/onnx/onnx.h"
#include "mc/train/checkpoint.h"
#include "mc/train/loss.h"
#include "tests/train/training.h"
#include "tests/train/trial.h"

namespace mc::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Threads cost more than they give on a network this small, and on a busy machine far more.
class OneThread : public ::testing::Environment {
  void SetUp() override { at::set_num_threads(1); }
};
[[maybe_unused]] const auto* const kOneThread = ::testing::AddGlobalTestEnvironment(new OneThread);

// Runs `at_step` after the step of that number.
class AtStep : public Method {
 public:
  AtStep(int64_t step, std::function<void(StepContext&)> at_step)
      : step_(step), at_step_(std::move(at_step)) {}
  std::string name() const override { return "at_step"; }
  void after_step(StepContext& context) override {
    if (context.step == step_) at_step_(context);
  }

 private:
  int64_t step_;
  std::function<void(StepContext&)> at_step_;
};

class InterruptGuard {
 public:
  ~InterruptGuard() { set_interrupted(false); }
};

TEST(TrainStage, LearnsAndReports) {
  Trial run;
  StageResult result = run.train(quick_options(8));
  EXPECT_GT(result.metric, 0.9);
  EXPECT_EQ(result.steps, 8 * 6);
  ASSERT_EQ(result.epochs.size(), 8u);
  EXPECT_LT(result.epochs.back().train_loss, 0.6 * result.epochs.front().train_loss);
  EXPECT_EQ(result.metric, result.epochs.back().metric);
  std::vector<Json> epochs, steps;
  for (const Json& line : run.lines) (line.contains("metric") ? epochs : steps).push_back(line);
  ASSERT_EQ(epochs.size(), 8u);
  EXPECT_EQ(epochs[2]["epoch"], 2);
  EXPECT_EQ(epochs[2]["step"], 18);
  EXPECT_EQ(epochs[2]["metric_name"], "top1");
  EXPECT_EQ(epochs[7]["metric"], result.metric);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[1]["step"], 20);
  EXPECT_EQ(steps[1]["stage"], "train");
  EXPECT_DOUBLE_EQ(steps[1]["lr"].get<double>(), learning_rate(OneCycleOptions{}, 0.05, 20, 48));
  EXPECT_GT(steps[1]["loss"].get<double>(), 0);
}

// One epoch over one batch is one step of plain SGD on the loss that ATen computes.
TEST(TrainStage, TakesTheStepThatAutogradAsksFor) {
  Trial run(mlp(false));
  TrainOptions options = quick_options(1);
  options.optimizer = SgdOptions{.lr = 0.1, .momentum = 0, .weight_decay = 0, .nesterov = false};
  options.schedule = ConstantOptions{};
  options.label_smoothing = 0.1;
  auto data = std::make_shared<Clouds>(16);
  auto loader = make_loader(data, 16, false);
  GraphModule twin(mlp(false));
  Batch batch = all(*data);
  at::cross_entropy_loss(twin.forward(batch.inputs).at(0), batch.labels, {}, at::Reduction::Mean, -100, 0.1)
      .backward();
  train_stage("one", run.module, *loader, nullptr, {}, options, {}, {}, false);
  for (const std::string& name : run.module.names(Role::kWeight)) {
    at::Tensor expected = twin.tensor(name).detach() - 0.1 * twin.tensor(name).grad();
    EXPECT_TRUE(at::allclose(run.module.tensor(name), expected, 1e-5, 1e-7)) << name;
  }
}

TEST(TrainStage, ClipsGradients) {
  Trial run(mlp(false));
  TrainOptions options = quick_options(1);
  options.optimizer = SgdOptions{.lr = 1, .momentum = 0, .weight_decay = 0, .nesterov = false};
  options.schedule = ConstantOptions{};
  options.gradient_clip = 1e-3;
  auto before = copied_state(run.module);
  auto loader = make_loader(std::make_shared<Clouds>(16), 16, false);
  train_stage("one", run.module, *loader, nullptr, {}, options, {}, {}, false);
  double squares = 0;
  for (const std::string& name : run.module.names(Role::kWeight)) {
    squares += (run.module.tensor(name).detach() - before.at(name)).pow(2).sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(squares), 1e-3, 1e-5);
}

TEST(TrainStage, ResumesBitForBitWhereverItWasInterrupted) {
  Trial whole;
  StageResult expected = whole.train(quick_options());
  for (int64_t step : {0, 3, 5, 8, 16}) {  // within and between epochs
    TemporaryFolder folder;
    StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
    {
      InterruptGuard guard;
      Trial first;
      first.methods = {std::make_shared<AtStep>(step, [](StepContext&) { set_interrupted(true); })};
      try {
        first.train(quick_options(), files);
        FAIL() << "was not interrupted";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
        EXPECT_THAT(error.what(), HasSubstr("--resume"));
        EXPECT_THAT(error.what(), HasSubstr(files.checkpoint.string()));
      }
    }
    Trial second;
    second.methods = {std::make_shared<AtStep>(-1, nullptr)};
    StageResult result = second.train(quick_options(), files, true);
    expect_equal_states(second.module.state(), whole.module.state());
    ASSERT_EQ(result.epochs.size(), expected.epochs.size());
    for (size_t i = 0; i < expected.epochs.size(); ++i) {
      EXPECT_EQ(result.epochs[i].train_loss, expected.epochs[i].train_loss) << "interrupted at " << step;
      EXPECT_EQ(result.epochs[i].metric, expected.epochs[i].metric);
    }
  }
}

// Structure and masks come back too: the checkpoint rebuilds what begin() and the steps made of the module.
TEST(TrainStage, ResumesStructureAndMasks) {
  auto prune = [](StepContext& context) {
    context.module.set_mask("w1", context.module.tensor("w1").detach().abs() > 0.3);
    context.module.edit([](Edit& edit) {
      edit.slice("w2", 1, {1, 2, 4, 8});
      for (const char* name : {"w1", "b1", "scale", "shift", "mean", "variance"})
        edit.slice(name, 0, {1, 2, 4, 8});
    });
  };
  auto methods = [&](int64_t stop) -> std::vector<std::shared_ptr<Method>> {
    return {std::make_shared<AtStep>(4, prune),
            std::make_shared<AtStep>(stop, [](StepContext&) { set_interrupted(true); })};
  };
  Trial whole;
  whole.methods = methods(-1);
  whole.train(quick_options());
  EXPECT_EQ(whole.module.tensor("w1").sizes(), at::IntArrayRef({4, kFeatures}));
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
  {
    InterruptGuard guard;
    Trial first;
    first.methods = methods(9);
    EXPECT_THAT(error_of([&] { first.train(quick_options(), files); }), HasSubstr("interrupted"));
  }
  Trial second;
  second.methods = methods(-1);
  second.train(quick_options(), files, true);
  expect_equal_states(second.module.state(), whole.module.state());
  EXPECT_THAT(second.module.masked(), ElementsAre("w1"));
}

TEST(TrainStage, WritesCheckpointsWithinAnEpoch) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = {}, .checkpoint_seconds = 0};
  Trial run;
  Json seen;
  run.methods = {
      std::make_shared<AtStep>(3, [&](StepContext&) { seen = read_checkpoint(files.checkpoint).state; })};
  run.train(quick_options(1), files);
  EXPECT_EQ(seen["step"], 3);
  EXPECT_EQ(seen["epoch"], 0);
  EXPECT_EQ(seen["batch"], 3);
}

TEST(TrainStage, DoesNothingMoreWhenItWasFinished) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
  Trial first, second;
  StageResult expected = first.train(quick_options(), files);
  StageResult result = second.train(quick_options(), files, true);
  expect_equal_states(second.module.state(), first.module.state());
  EXPECT_EQ(result.metric, expected.metric);
  EXPECT_EQ(result.steps, expected.steps);
  EXPECT_TRUE(second.lines.empty());
}

TEST(TrainStage, StartsAnewForAnotherStageAndRefusesOtherSettings) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
  Trial first;
  first.train(quick_options(1), files);
  Trial changed;
  EXPECT_THAT(error_of([&] { changed.train(quick_options(2), files, true); }),
              HasSubstr("was made with epochs 1, this run has 2"));
  Trial other;
  auto loader = training_loader();
  StageResult result =
      train_stage("other", other.module, *loader, nullptr, {}, quick_options(1), files, {}, true);
  EXPECT_EQ(result.steps, 6);
}

TEST(TrainStage, RefusesABrokenCheckpoint) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
  Trial first;
  first.train(quick_options(1), files);
  Checkpoint checkpoint = read_checkpoint(files.checkpoint);
  Checkpoint broken = checkpoint;
  broken.tensors.erase("module/w2");
  write_checkpoint(files.checkpoint, broken);
  EXPECT_THAT(error_of([&] { Trial().train(quick_options(1), files, true); }), HasSubstr("w2"));
  broken = checkpoint;
  broken.state.erase("step");
  write_checkpoint(files.checkpoint, broken);
  EXPECT_THAT(error_of([&] { Trial().train(quick_options(1), files, true); }), HasSubstr("state is broken"));
}

// Records what the loop calls, and checks what it is given.
class Recorder : public Method {
 public:
  explicit Recorder(std::string name, std::vector<std::string>& calls)
      : name_(std::move(name)), calls_(calls) {}
  std::string name() const override { return name_; }
  void begin(StageContext& context, bool resumed) override {
    call(resumed ? "resumed" : "begin");
    EXPECT_EQ(context.total_steps(), 1);
  }
  std::vector<std::string> wanted_taps() const override { return {"h"}; }
  void before_forward(StepContext& context) override {
    call("before_forward");
    EXPECT_TRUE(context.outputs.empty());
    EXPECT_TRUE(context.module.is_training());
  }
  at::Tensor loss(StepContext& context, at::Tensor loss) override {
    call("loss");
    EXPECT_EQ(context.outputs.at(0).sizes(), at::IntArrayRef({16, kClasses}));
    EXPECT_EQ(context.taps.at("h").sizes(), at::IntArrayRef({16, kHidden}));
    return loss * 2;
  }
  void after_backward(StepContext& context) override {
    call("after_backward");
    EXPECT_TRUE(context.module.tensor("w1").grad().defined());
    before_ = context.module.tensor("w1").detach().clone();
  }
  void after_step(StepContext& context) override {
    call("after_step");
    EXPECT_FALSE(at::equal(context.module.tensor("w1"), before_));
  }
  void end(StageContext&) override { call("end"); }
  Json figures() const override { return {{"figure", 0.5}}; }
  std::map<std::string, at::Tensor> save() const override { return {{"own", at::ones({2})}}; }
  void load(const std::map<std::string, at::Tensor>& state) override {
    call("load");
    EXPECT_TRUE(at::equal(state.at("own"), at::ones({2})));
  }

 private:
  void call(const std::string& what) { calls_.push_back(name_ + " " + what); }
  std::string name_;
  std::vector<std::string>& calls_;
  at::Tensor before_;
};

TEST(TrainStage, CallsMethodsInOrder) {
  std::vector<std::string> calls;
  std::vector<std::shared_ptr<Method>> methods = {std::make_shared<Recorder>("a", calls),
                                                  std::make_shared<Recorder>("b", calls)};
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
  std::vector<Json> lines;
  auto sink = [&](const Json& line) { lines.push_back(line); };
  auto loader = make_loader(std::make_shared<Clouds>(16), 16, false);
  GraphModule module(mlp());
  train_stage("one", module, *loader, nullptr, methods, quick_options(1), files, sink, false);
  EXPECT_THAT(calls, ElementsAre("a begin", "b begin", "a before_forward", "b before_forward", "a loss",
                                 "b loss", "a after_backward", "b after_backward", "a after_step",
                                 "b after_step", "a end", "b end"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["b"]["figure"], 0.5);
  EXPECT_FALSE(lines[1].contains("metric"));
  calls.clear();
  train_stage("one", module, *loader, nullptr, methods, quick_options(1), files, sink, true);
  EXPECT_THAT(calls, ElementsAre("a resumed", "b resumed", "a load", "b load", "a end", "b end"));
}

TEST(TrainStage, LeavesTheWholeLossToAMethod) {
  class Pull : public Method {
   public:
    std::string name() const override { return "pull"; }
    at::Tensor loss(StepContext& context, at::Tensor loss) override {
      EXPECT_EQ(loss.item<double>(), 0);
      return loss + context.outputs.at(0).pow(2).mean();
    }
  };
  TrainOptions options = quick_options();
  options.loss = "none";
  Trial run;
  run.methods = {std::make_shared<Pull>()};
  StageResult result = run.train(options);
  EXPECT_LT(result.epochs.back().train_loss, result.epochs.front().train_loss);
  run.methods.clear();
  EXPECT_THAT(error_of([&] { run.train(options); }), HasSubstr("nothing can be trained"));
}

TEST(TrainStage, HoldsMasksOfEarlierStages) {
  Trial run;
  at::Tensor mask = random_tensor({kHidden, kFeatures}, 9) > 0;
  run.module.set_mask("w1", mask);
  auto before = copied_state(run.module);
  run.train(quick_options());
  at::Tensor weight = run.module.tensor("w1").detach();
  EXPECT_EQ(weight.masked_select(~mask).abs().max().item<double>(), 0);
  EXPECT_FALSE(at::equal(weight, before.at("w1")));
}

TEST(TrainStage, StopsAtALossThatIsNotFinite) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = folder / "best.onnx"};
  Trial run;
  TrainOptions options = quick_options();
  options.optimizer = SgdOptions{.lr = 1e30};
  options.schedule = StepDecayOptions{.milestones = {0.4}, .gamma = 1e-30};
  std::string message = error_of([&] { run.train(options, files); });
  EXPECT_THAT(message,
              HasSubstr("stage 'train': the loss is not a finite number since step 1 of 18 (epoch 1 of 3, "
                        "learning rate 1e+30)"));
  EXPECT_FALSE(has_checkpoint(files.checkpoint));
}

TEST(TrainStage, KeepsTheBestModelWhenTheLossBreaksLater) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "checkpoint", .best = folder / "best.onnx"};
  Trial run;
  std::map<std::string, at::Tensor> after_first_epoch;
  run.methods = {
      std::make_shared<AtStep>(5, [&](StepContext& c) { after_first_epoch = copied_state(c.module); }),
      std::make_shared<AtStep>(8, [](StepContext& c) { c.module.tensor("w2").detach().fill_(NAN); })};
  TrainOptions options = quick_options();
  options.select = "best";
  std::string message = error_of([&] { run.train(options, files); });
  EXPECT_THAT(message, HasSubstr("since step 9 of 18"));
  EXPECT_THAT(message, HasSubstr((folder / "best.onnx").string()));
  expect_equal_states(run.module.state(), after_first_epoch);
  GraphModule best(read_onnx(files.best));
  EXPECT_TRUE(at::equal(best.tensor("w2"), after_first_epoch.at("w2")));
  EXPECT_EQ(read_checkpoint(files.checkpoint).state["epoch"], 1);
}

TEST(TrainStage, EndsWithTheBestEpochWhenAsked) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = {}, .best = folder / "best.onnx"};
  Trial run;
  std::map<std::string, at::Tensor> good;
  run.methods = {std::make_shared<AtStep>(11, [&](StepContext& c) { good = copied_state(c.module); }),
                 std::make_shared<AtStep>(17, [](StepContext& c) { c.module.tensor("w2").detach().neg_(); })};
  TrainOptions options = quick_options();
  options.select = "best";
  StageResult result = run.train(options, files);
  ASSERT_GT(result.epochs[1].metric, result.epochs[0].metric);
  ASSERT_GT(result.epochs[1].metric, result.epochs[2].metric);
  EXPECT_EQ(result.metric, result.epochs[1].metric);
  expect_equal_states(run.module.state(), good);
  EXPECT_TRUE(at::equal(GraphModule(read_onnx(files.best)).tensor("w1"), good.at("w1")));
}

// What methods do at the end is part of what the stage ends with, and is measured.
TEST(TrainStage, MeasuresWhatItsMethodsLeave) {
  class Spoil : public Method {
   public:
    std::string name() const override { return "spoil"; }
    void end(StageContext& context) override {
      const at::NoGradGuard no_grad;
      context.module.tensor("w2").zero_();
      context.module.tensor("b2").zero_();
    }
  };
  const auto metric_of = [](const std::string& select, bool spoil) {
    TrainOptions options = quick_options(8);
    options.select = select;
    Trial run;
    if (spoil) run.methods = {std::make_shared<Spoil>()};
    return run.train(options).metric;
  };
  for (const std::string select : {"last", "best"}) {
    EXPECT_GT(metric_of(select, false), 0.9) << select;
    EXPECT_LT(metric_of(select, true), 0.6) << select;  // class 0 always
  }
}

TEST(TrainStage, TrainsInMixedPrecision) {
  Trial run, plain;
  TrainOptions options = quick_options(6);
  StageResult exact = plain.train(options);
  options.precision = "bf16";
  StageResult result = run.train(options);
  EXPECT_EQ(run.module.tensor("w1").scalar_type(), at::kFloat);
  EXPECT_NE(result.epochs[0].train_loss, exact.epochs[0].train_loss);
  EXPECT_NEAR(result.epochs[0].train_loss, exact.epochs[0].train_loss, 0.02 * exact.epochs[0].train_loss);
  EXPECT_GT(result.metric, 0.9);
}

class Warnings : public LogSink {
 public:
  void log(LogLevel level, std::string_view message) override {
    if (level == LogLevel::kWarning) warnings.emplace_back(message);
  }
  void progress(const ProgressState& state) override { notes.emplace_back(state.note); }
  std::vector<std::string> warnings, notes;
};

// A file takes the place of the output folder while the stage runs.
TEST(TrainStage, GoesOnWhenACheckpointCannotBeWritten) {
  TemporaryFolder folder;
  StageFiles files{.checkpoint = folder / "out" / "checkpoint", .best = folder / "out" / "best.onnx"};
  auto sink = std::make_shared<Warnings>();
  auto before = set_log_sink(sink);
  Trial run;
  run.methods = {std::make_shared<AtStep>(2, [&](StepContext&) {
    remove_tree(folder / "out");
    std::ofstream(folder / "out") << "x";
  })};
  StageResult result = run.train(quick_options(1), files);
  set_log_sink(before);
  EXPECT_EQ(result.steps, 6);
  EXPECT_THAT(sink->warnings, ElementsAre(HasSubstr("best model could not be written"),
                                          HasSubstr("training goes on without this checkpoint")));
  EXPECT_THAT(error_of([&] { Trial().train(quick_options(1), files); }),
              HasSubstr((folder / "out").string()));
}

TEST(TrainStage, ShowsFiguresBesideItsProgress) {
  auto sink = std::make_shared<Warnings>();
  auto before = set_log_sink(sink);
  Trial run;
  run.train(quick_options(2));
  set_log_sink(before);
  EXPECT_THAT(sink->notes, ::testing::Contains(
                               ::testing::AllOf(HasSubstr("loss "), HasSubstr("top1 "), HasSubstr("lr "))));
}

}  // namespace
}  // namespace mc::testing
