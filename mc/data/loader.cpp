#include "mc/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <omp.h>

#include "mc/base/error.h"
#include "mc/base/random.h"

namespace mc {

struct Loader::Impl {
  std::shared_ptr<const Dataset> dataset;
  LoaderOptions options;

  std::thread worker;
  std::mutex mutex;  // guards all below
  std::condition_variable made, taken;
  std::deque<Batch> ready;
  std::exception_ptr error;
  bool started = false;
  bool finished = true;  // the worker adds nothing more
  bool stopping = false;

  ~Impl() { stop(); }

  int64_t samples() const {
    const int64_t size = dataset->size();
    return options.drop_last ? size / options.batch_size * options.batch_size : size;
  }
  int64_t batches() const { return (samples() + options.batch_size - 1) / options.batch_size; }

  std::vector<int64_t> order(uint64_t epoch) const {
    std::vector<int64_t> indices(static_cast<size_t>(dataset->size()));
    std::iota(indices.begin(), indices.end(), 0);
    if (options.shuffle) {
      Random random(options.seed, epoch, 0, "order");
      shuffle(indices, random);
    }
    return indices;
  }

  void stop() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    taken.notify_all();
    if (worker.joinable()) worker.join();
    stopping = false;
    ready.clear();
    error = nullptr;
    finished = true;
  }

  Batch read(std::span<const int64_t> indices, uint64_t epoch) const {
    Batch batch = read_batch(*dataset, indices, options.augment, options.normalization, options.seed, epoch);
    if (!options.device.is_cuda()) return batch;
    // Only from pinned memory can the copy to the device run beside other work.
    for (at::Tensor& input : batch.inputs) input = input.pin_memory();
    if (batch.labels.defined()) batch.labels = batch.labels.pin_memory();
    return batch;
  }

  // Before a batch is made, not after, so that no more than `ahead` of them lie here. False when the epoch
  // was given up meanwhile.
  bool wait_for_room() {
    std::unique_lock lock(mutex);
    taken.wait(lock, [&] { return stopping || static_cast<int64_t>(ready.size()) < options.ahead; });
    return !stopping;
  }

  void add(Batch batch) {
    {
      const std::lock_guard lock(mutex);
      ready.push_back(std::move(batch));
    }
    made.notify_one();
  }

  void run(uint64_t epoch, int64_t first) {
    // Training owns the cores: a second pool of threads in here would take them away from it. LibTorch
    // sets a thread's count when it is first asked, hence the order.
    at::get_num_threads();
    omp_set_num_threads(1);
    std::exception_ptr problem;
    int64_t batch = first;
    try {
      const std::vector<int64_t> indices = order(epoch);
      for (const int64_t count = batches(); batch < count; ++batch) {
        const int64_t begin = batch * options.batch_size,
                      end = std::min(begin + options.batch_size, samples());
        std::span<const int64_t> part(indices.data() + begin, static_cast<size_t>(end - begin));
        if (!wait_for_room()) break;
        add(read(part, epoch));
      }
    } catch (Error& failure) {
      failure.add_context(fmt::format("reading batch {} of {}", batch + 1, dataset->description()));
      problem = std::current_exception();
    } catch (const c10::Error& failure) {
      problem = std::make_exception_ptr(
          Error(fmt::format("reading batch {} of {}: {}", batch + 1, dataset->description(),
                            failure.what_without_backtrace())));
    } catch (...) {
      problem = std::current_exception();
    }
    {
      std::lock_guard lock(mutex);
      error = problem;
      finished = true;
    }
    made.notify_one();
  }
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : impl_(std::make_unique<Impl>()) {
  MC_CHECK(dataset != nullptr, "a loader needs a dataset");
  MC_CHECK(options.batch_size >= 1, "a batch size of {} is not possible; it must be at least 1",
           options.batch_size);
  MC_CHECK(options.ahead >= 1, "{} batches ahead: must be at least 1", options.ahead);
  impl_->dataset = std::move(dataset);
  impl_->options = std::move(options);
}

Loader::~Loader() = default;

int64_t Loader::batches() const {
  return impl_->batches();
}

int64_t Loader::samples() const {
  return impl_->samples();
}

const Dataset& Loader::dataset() const {
  return *impl_->dataset;
}

void Loader::start(uint64_t epoch, int64_t first) {
  MC_CHECK(first >= 0 && first <= batches(), "an epoch of {} batches cannot start at batch {}", batches(),
           first);
  impl_->stop();
  impl_->started = true;
  impl_->finished = false;
  impl_->worker = std::thread([impl = impl_.get(), epoch, first] { impl->run(epoch, first); });
}

std::optional<Batch> Loader::next() {
  MC_CHECK(impl_->started, "Loader::start() must be called before next()");
  std::unique_lock lock(impl_->mutex);
  impl_->made.wait(lock, [&] { return !impl_->ready.empty() || impl_->finished; });
  if (impl_->ready.empty()) {
    if (impl_->error) std::rethrow_exception(impl_->error);
    return std::nullopt;
  }
  Batch batch = std::move(impl_->ready.front());
  impl_->ready.pop_front();
  lock.unlock();
  impl_->taken.notify_one();
  if (impl_->options.device.is_cpu()) return batch;
  auto move = [&](at::Tensor& tensor) {
    tensor = tensor.to(impl_->options.device, tensor.scalar_type(), /*non_blocking=*/true);
  };
  std::ranges::for_each(batch.inputs, move);
  if (batch.labels.defined()) move(batch.labels);
  return batch;
}

}  // namespace mc
