#include "auth/auth_pool.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace postern::auth {

/// Shared by its threads: one that hangs for ever outlives the pool.
class AuthPool::Impl : public std::enable_shared_from_this<AuthPool::Impl> {
  public:
    explicit Impl(Settings settings) : settings_(std::move(settings)) {}

    void start() {
        const unsigned threads = settings_.threads != 0
                                     ? settings_.threads
                                     : std::max(1U, std::thread::hardware_concurrency());
        const unsigned all = threads + (settings_.one_for_the_known ? 1 : 0);
        busy_since_.resize(all);
        threads_.reserve(all);
        for (unsigned i = 0; i < all; ++i) {
            const bool known_alone = i == threads;
            threads_.emplace_back(
                [self = shared_from_this(), i, known_alone] { self->work(i, known_alone); });
            ++alive_;
        }
    }

    bool submit(Job&& job) {
        bool for_the_known = false;
        {
            const std::scoped_lock lock(mutex_);
            std::deque<Job>& queue = queues_[static_cast<std::size_t>(job.priority)];
            if (stopping_ || queue.size() >= settings_.queue || stuck()) return false;
            for_the_known = job.priority == Priority::known;
            queue.push_back(std::move(job));
        }
        if (for_the_known) ready_known_.notify_one();
        ready_.notify_one();
        return true;
    }

    std::size_t queued() const {
        const std::scoped_lock lock(mutex_);
        return waiting();
    }

    bool stop(std::optional<std::chrono::steady_clock::duration> patience) {
        const std::scoped_lock joining(joining_);
        std::unique_lock lock(mutex_);
        stopping_ = true;
        ready_.notify_all();
        ready_known_.notify_all();
        // What the threads did not take is nobody's now but ours.
        auto left = std::exchange(queues_, {});
        const auto all_ended = [this] { return ended_ == alive_; };
        const bool ended = !patience || ended_one_.wait_for(lock, *patience, all_ended);
        lock.unlock();
        for (std::thread& thread : threads_) {
            if (ended) {
                thread.join();
            } else {
                thread.detach();
            }
        }
        if (!ended) given_up_ = true;
        threads_.clear();
        for (std::deque<Job>& queue : left) {
            for (Job& job : queue) {
                if (job.expired) job.expired();
            }
        }
        return !given_up_;
    }

  private:
    using Moment = std::chrono::steady_clock::time_point;

    // Of the turns of a queue and those behind it one in eight goes to these while both have
    // somebody waiting: a busy office must not keep everybody else out, nor strangers an owner
    // who mistyped once.
    static constexpr unsigned others_turn = 8;
    /// What a stranger's guess costs is paid when the threads that serve connections need nothing.
    static constexpr int behind_others = 5;

    [[nodiscard]] std::size_t waiting() const {
        std::size_t sum = 0;
        for (const std::deque<Job>& queue : queues_) sum += queue.size();
        return sum;
    }

    [[nodiscard]] bool anybody_from(std::size_t first) const {
        return std::ranges::any_of(std::span(queues_).subspan(first),
                                   [](const std::deque<Job>& queue) { return !queue.empty(); });
    }

    bool stuck() const {
        if (!settings_.stuck_after) return false;
        const Moment before = settings_.now() - *settings_.stuck_after;
        return std::ranges::all_of(busy_since_, [&](const std::optional<Moment>& since) {
            return since && *since < before;
        });
    }

    Job take(bool known_alone) {
        std::size_t at = 0;
        while (!known_alone && at + 1 < queues_.size() && anybody_from(at + 1) &&
               (queues_[at].empty() || ++turns_[at] % others_turn == 0))
            ++at;
        std::deque<Job>& queue = queues_[at];
        Job job = std::move(queue.front());
        queue.pop_front();
        return job;
    }

    void work(unsigned index, bool known_alone) {
        if (settings_.one_for_the_known && !known_alone)
            (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), behind_others);
        std::condition_variable& ready = known_alone ? ready_known_ : ready_;
        std::unique_lock lock(mutex_);
        for (;;) {
            ready.wait(lock, [&] {
                return stopping_ || (known_alone ? !queues_.front().empty() : anybody_from(0));
            });
            if (stopping_) break;
            {
                Job job = take(known_alone);
                const Moment now = settings_.now();
                busy_since_[index] = now;
                lock.unlock();
                if (now < job.deadline) {
                    if (job.run) job.run();
                } else if (job.expired) {
                    job.expired();
                }
            }
            lock.lock();
            busy_since_[index].reset();
        }
        ++ended_;
        ended_one_.notify_all();
    }

    Settings settings_;
    mutable std::mutex mutex_;
    std::condition_variable ready_;
    std::condition_variable ready_known_;  ///< For the thread that serves nobody else.
    std::condition_variable ended_one_;
    std::array<std::deque<Job>, 3> queues_;  ///< By priority.
    std::array<unsigned, 3> turns_{};
    std::vector<std::optional<Moment>> busy_since_;  ///< By thread; unset: it waits.
    unsigned alive_ = 0;
    unsigned ended_ = 0;
    bool stopping_ = false;
    bool given_up_ = false;
    std::mutex joining_;
    std::vector<std::thread> threads_;
};

AuthPool::AuthPool() : AuthPool(Settings()) {}
AuthPool::AuthPool(Settings settings) : impl_(std::make_shared<Impl>(std::move(settings))) {
    impl_->start();
}
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
    (void)impl_->stop(std::nullopt);
}
bool AuthPool::stop_within(std::chrono::steady_clock::duration patience) {
    return impl_->stop(patience);
}

}  // namespace postern::auth
