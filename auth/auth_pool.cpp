#include "auth/auth_pool.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace postern::auth {

class AuthPool::Impl {
  public:
    explicit Impl(Settings settings) : settings_(std::move(settings)) {
        const unsigned threads = settings_.threads != 0
                                     ? settings_.threads
                                     : std::max(1U, std::thread::hardware_concurrency());
        threads_.reserve(threads);
        for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    }

    bool submit(Job&& job) {
        {
            const std::scoped_lock lock(mutex_);
            std::deque<Job>& queue = queues_[static_cast<std::size_t>(job.priority)];
            if (stopping_ || queue.size() >= settings_.queue) return false;
            queue.push_back(std::move(job));
        }
        ready_.notify_one();
        return true;
    }

    std::size_t queued() const {
        const std::scoped_lock lock(mutex_);
        return waiting();
    }

    void stop() {
        {
            const std::scoped_lock lock(mutex_);
            stopping_ = true;
        }
        ready_.notify_all();
        const std::scoped_lock lock(joining_);
        threads_.clear();  // joins
        // What the threads did not take is nobody's now but ours.
        for (std::deque<Job>& queue : queues_) {
            while (!queue.empty()) {
                Job job = std::move(queue.front());
                queue.pop_front();
                if (job.expired) job.expired();
            }
        }
    }

  private:
    // Of the turns of a queue and those behind it one in eight goes to these while both have
    // somebody waiting: a busy office must not keep everybody else out, nor strangers an owner
    // who mistyped once.
    static constexpr unsigned others_turn = 8;

    [[nodiscard]] std::size_t waiting() const {
        std::size_t sum = 0;
        for (const std::deque<Job>& queue : queues_) sum += queue.size();
        return sum;
    }

    [[nodiscard]] bool anybody_from(std::size_t first) const {
        return std::ranges::any_of(std::span(queues_).subspan(first),
                                   [](const std::deque<Job>& queue) { return !queue.empty(); });
    }

    Job take() {
        std::size_t at = 0;
        while (at + 1 < queues_.size() && anybody_from(at + 1) &&
               (queues_[at].empty() || ++turns_[at] % others_turn == 0))
            ++at;
        std::deque<Job>& queue = queues_[at];
        Job job = std::move(queue.front());
        queue.pop_front();
        return job;
    }

    void work() {
        for (;;) {
            std::unique_lock lock(mutex_);
            ready_.wait(lock, [this] { return stopping_ || anybody_from(0); });
            if (stopping_) return;
            Job job = take();
            lock.unlock();
            if (settings_.now() < job.deadline) {
                if (job.run) job.run();
            } else if (job.expired) {
                job.expired();
            }
        }
    }

    Settings settings_;
    mutable std::mutex mutex_;
    std::condition_variable ready_;
    std::array<std::deque<Job>, 3> queues_;  ///< By priority.
    std::array<unsigned, 3> turns_{};
    bool stopping_ = false;
    std::mutex joining_;
    std::vector<std::jthread> threads_;
};

AuthPool::AuthPool() : AuthPool(Settings()) {}
AuthPool::AuthPool(Settings settings) : impl_(std::make_unique<Impl>(std::move(settings))) {}
AuthPool::~AuthPool() {
    stop();
}
bool AuthPool::submit(Job job) {
    return impl_->submit(std::move(job));
}
std::size_t AuthPool::queued() const {
    return impl_->queued();
}
void AuthPool::stop() {
    impl_->stop();
}

}  // namespace postern::auth
