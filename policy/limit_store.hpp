#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/window.hpp"

namespace postern::policy {

using SteadyTime = std::chrono::steady_clock::time_point;

/// What is limited, and by what it is keyed. More of both come with later rules.
enum class Limit : std::uint8_t { messages, recipients };
[[nodiscard]] std::string_view name(Limit limit) noexcept;
enum class LimitKey : std::uint8_t { account, credential };
[[nodiscard]] std::string_view name(LimitKey key) noexcept;

/// One limit that an action touches: `cost` in each of `windows`.
struct Touch {
    Limit limit = Limit::messages;
    LimitKey kind = LimitKey::account;
    std::string key;                  ///< The account, normalised; with it the credential's name.
    std::span<const Window> windows;  ///< Views into the settings that the plan was made with.
    std::uint64_t cost = 1;
};

/// What the store said to a set of touches.
struct LimitAnswer {
    bool passed = true;
    bool never = false;  ///< More than a window's whole amount: waiting does not help.
    Limit limit{};  ///< As those below: of the window that takes longest. Meaningless when passed.
    LimitKey kind{};
    Window window;
    std::uint64_t used = 0;            ///< In that window, before this.
    std::chrono::nanoseconds wait{0};  ///< When it would pass if nothing else were sent.
    /// `wait` in full seconds, rounded up: what "try again in N s" names. At least 1 when not
    /// passed.
    [[nodiscard]] std::int64_t wait_seconds() const noexcept;
};

class LimitStore;

/// Tokens that are held for a message under way. Given back on destruction unless committed. Moves
/// only.
class Reservation {
  public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;
    ~Reservation() { give_back(); }

    /// The message was accepted: what is held stays spent.
    void commit() noexcept;
    /// The message was refused or forgotten: what is held is there again, less what had refilled
    /// meanwhile anyway.
    void give_back() noexcept;
    [[nodiscard]] bool empty() const noexcept { return keys_.empty(); }

  private:
    friend class LimitStore;
    LimitStore* store_ = nullptr;  // outlives every reservation
    std::uint64_t id_ = 0;
    std::vector<std::string> keys_;
};

/// What `limits show` lists.
struct LimitUse {
    Limit limit{};
    LimitKey kind{};
    Window window;
    std::uint64_t used = 0;
    std::uint64_t left = 0;
    std::chrono::nanoseconds resets{0};  ///< Until it is full again.
};

/// Token buckets (GCRA) in memory, on the steady clock that is passed in. Thread-safe: shards with
/// short locks. Bounded: buckets that are full again are forgotten, which changes nothing; if more
/// are in use than `max_keys`, the one that is nearest to full is forgotten first.
class LimitStore {
  public:
    explicit LimitStore(std::size_t max_keys = 1'000'000);
    ~LimitStore();
    LimitStore(const LimitStore&) = delete;
    LimitStore& operator=(const LimitStore&) = delete;

    /// Takes `touches` (of different keys or limits) from every window, or from none. What was
    /// taken is added to `held`: one Reservation is used for a message from MAIL to its end.
    /// Windows of a key that changed since start full.
    [[nodiscard]] LimitAnswer reserve(std::span<const Touch> touches, SteadyTime now,
                                      Reservation& held);

    /// The state of one key in `windows`, whether or not it was ever touched.
    [[nodiscard]] std::vector<LimitUse> use(Limit limit, LimitKey kind, std::string_view key,
                                            std::span<const Window> windows, SteadyTime now) const;
    [[nodiscard]] std::size_t size() const;

  private:
    friend class Reservation;
    struct Shard;
    void settle(Reservation& held, bool give_back) noexcept;
    [[nodiscard]] std::size_t shard_of(std::string_view key) const noexcept;

    std::vector<std::unique_ptr<Shard>> shards_;
    std::atomic<std::uint64_t> next_id_{1};
};

}  // namespace postern::policy
