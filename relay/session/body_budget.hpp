#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace postern::relay {

/// The memory that all message bodies together may take (resources.body_memory). A message claims
/// its declared size at MAIL and grows as its octets come; a claim that does not fit is answered
/// 452 4.3.1.
class BodyBudget {
  public:
    explicit BodyBudget(std::uint64_t limit) noexcept : limit_(limit) {}

    /// Octets claimed, given back on destruction. Movable between threads.
    class Claim {
      public:
        Claim() = default;
        Claim(Claim&& other) noexcept
            : budget_(std::exchange(other.budget_, nullptr)),
              bytes_(std::exchange(other.bytes_, 0)) {}
        Claim& operator=(Claim&& other) noexcept {
            if (this != &other) {
                release();
                budget_ = std::exchange(other.budget_, nullptr);
                bytes_ = std::exchange(other.bytes_, 0);
            }
            return *this;
        }
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim() { release(); }

        /// Grows the claim to at least `bytes`. False: it does not fit, the claim is as before.
        [[nodiscard]] bool cover(std::uint64_t bytes) noexcept {
            if (budget_ == nullptr) return false;
            if (bytes <= bytes_) return true;
            if (!budget_->take(bytes - bytes_)) return false;
            bytes_ = bytes;
            return true;
        }
        [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
        void release() noexcept {
            if (budget_ != nullptr) budget_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
            budget_ = nullptr;
            bytes_ = 0;
        }

      private:
        friend class BodyBudget;
        BodyBudget* budget_ = nullptr;
        std::uint64_t bytes_ = 0;
    };

    /// A claim of `bytes`; its cover() is false for ever where that did not fit.
    [[nodiscard]] Claim claim(std::uint64_t bytes) noexcept {
        Claim out;
        if (!take(bytes)) return out;
        out.budget_ = this;
        out.bytes_ = bytes;
        return out;
    }
    [[nodiscard]] std::uint64_t used() const noexcept {
        return used_.load(std::memory_order_relaxed);
    }
    void set_limit(std::uint64_t limit) noexcept { limit_.store(limit, std::memory_order_relaxed); }

  private:
    bool take(std::uint64_t bytes) noexcept {
        const std::uint64_t limit = limit_.load(std::memory_order_relaxed);
        std::uint64_t have = used_.load(std::memory_order_relaxed);
        do {
            if (bytes > limit || have > limit - bytes) return false;
        } while (!used_.compare_exchange_weak(have, have + bytes, std::memory_order_relaxed));
        return true;
    }
    std::atomic<std::uint64_t> limit_;
    std::atomic<std::uint64_t> used_{0};
};

}  // namespace postern::relay
