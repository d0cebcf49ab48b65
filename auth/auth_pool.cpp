#include "auth/auth_pool.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
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
            std::deque<Job>& queue = job.priority == Priority::known ? known_ : strangers_;
            if (stopping_ || queue.size() >= settings_.queue) return false;
            queue.push_back(std::move(job));
        }
        ready_.notify_one();
        return true;
    }

    std::size_t queued() const {
        const std::scoped_lock lock(mutex_);
        return known_.size() + strangers_.size();
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
        for (std::deque<Job>* const queue : {&known_, &strangers_}) {
            while (!queue->empty()) {
                Job job = std::move(queue->front());
                queue->pop_front();
                if (job.expired) job.expired();
            }
        }
    }

  private:
    // One turn in eight is a stranger's while both wait: a busy office must not keep everybody else
    // out.
    static constexpr unsigned strangers_turn = 8;

    Job take() {
        const bool stranger =
            known_.empty() || (!strangers_.empty() && ++turn_ % strangers_turn == 0);
        std::deque<Job>& queue = stranger ? strangers_ : known_;
        Job job = std::move(queue.front());
        queue.pop_front();
        return job;
    }

    void work() {
        for (;;) {
            std::unique_lock lock(mutex_);
            ready_.wait(lock,
                        [this] { return stopping_ || !known_.empty() || !strangers_.empty(); });
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
    std::deque<Job> known_;
    std::deque<Job> strangers_;
    unsigned turn_ = 0;
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
