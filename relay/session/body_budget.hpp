#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace postern::relay {

/// The memory that all message bodies together may take (resources.body_memory). A message claims
/// its declared size at MAIL and grows as its octets come; a claim that does not fit is answered
/// 452 4.3.1.
///
/// One account must not use it up: with several messages at once, and more than a quarter, it
/// leaves a quarter to others. Thread-safe.
class BodyBudget {
    struct Holder {
        std::uint64_t bytes = 0;
        std::size_t claims = 0;
    };
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const noexcept {
            return std::hash<std::string_view>{}(s);
        }
    };
    using Holders = std::unordered_map<std::string, Holder, Hash, std::equal_to<>>;

  public:
    explicit BodyBudget(std::uint64_t limit) noexcept : limit_(limit) {}

    /// Octets claimed, given back on destruction. Movable between threads.
    class Claim {
      public:
        Claim() = default;
        Claim(Claim&& other) noexcept;
        Claim& operator=(Claim&& other) noexcept;
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim() { release(); }

        /// Grows the claim to at least `bytes`. False: it does not fit, the claim is as before.
        [[nodiscard]] bool cover(std::uint64_t bytes) noexcept;
        [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
        void release() noexcept;

      private:
        friend class BodyBudget;
        BodyBudget* budget_ = nullptr;
        Holders::value_type* holder_ = nullptr;  ///< Lives as long as it has claims.
        std::uint64_t bytes_ = 0;
    };

    /// A claim of `bytes` for an account; its cover() is false for ever where that did not fit.
    [[nodiscard]] Claim claim(std::string_view account, std::uint64_t bytes);
    [[nodiscard]] std::uint64_t used() const noexcept;
    void set_limit(std::uint64_t limit) noexcept;

  private:
    /// Under the lock. `claims`: of the holder, this one among them.
    [[nodiscard]] bool fits(const Holder& holder, std::size_t claims,
                            std::uint64_t bytes) const noexcept;

    mutable std::mutex mutex_;
    std::uint64_t limit_;
    std::uint64_t used_ = 0;
    Holders holders_;
};

}  // namespace postern::relay
