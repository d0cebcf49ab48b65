#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/account_store.hpp"
#include "relay/suppression/book.hpp"
#include "relay/suppression/index.hpp"

namespace postern::relay::suppression {

/// The lists over the account store: found in memory, written behind. Thread-safe.
class Lists final : public Book {
  public:
    struct Ports {
        /// `delivery.suppress_for` as it is in force; 0: bounces put nobody on a list, and those
        /// that they put there are not found. Thread-safe.
        std::function<std::chrono::milliseconds()> suppress_for;
        /// Runs it where it may block; empty: nothing is written before flush().
        std::function<void(std::function<void()>)> later = nullptr;
        /// A sentence for the operator; empty: nobody hears it. Thread-safe.
        std::function<void(std::string)> trouble = nullptr;
    };
    /// `store` outlives it, and so does what runs `later`'s work.
    Lists(auth::AccountStore& store, Ports ports, std::uint64_t seed, Index::Bounds bounds = {});

    /// Reads what is in the store. Once, before anything else; blocks.
    [[nodiscard]] auth::result<void> load(WallTime now);

    [[nodiscard]] std::optional<Suppressed> find(const Owner& owner, std::string_view rcpt,
                                                 WallTime now) const override;
    void bounced(const Owner& owner, std::string_view rcpt, std::string_view enhanced,
                 std::string_view ref, WallTime now) override;

    // --- all that block; `normalised` by normalised_rcpt ---
    /// By hand: until it is removed. not_found or customer_not_found where the owner is not there.
    [[nodiscard]] auth::result<Suppressed> add(const Owner& owner, std::string_view normalised,
                                               WallTime now);
    /// One recipient, or (unset) all of a list; how many there were.
    [[nodiscard]] auth::result<std::uint64_t> remove(const Owner& owner,
                                                     std::optional<std::string_view> normalised);
    /// As the store has them, with what waits to be written. Times as it keeps them.
    [[nodiscard]] auth::result<auth::SuppressedPage> list(const auth::SuppressedFilter& filter,
                                                          std::string_view cursor,
                                                          std::size_t limit, WallTime now);
    /// Writes what waits. What cannot be written waits on.
    void flush();
    /// To be called twice a minute: writes, forgets what has expired, tells what went wrong.
    void tend(WallTime now);

    /// The owner is gone, and its rows with it. Memory: may be called by who holds the store.
    void forget(const Owner& owner);

    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    /// Bounces that came on no list, or are on one only until a restart: it was full.
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);
    }

  private:
    void queue(const Key& key, auth::SuppressedRow row);
    /// With writing_ held.
    [[nodiscard]] boost::system::error_code write_waiting();

    auth::AccountStore& store_;
    Ports ports_;
    Index index_;
    std::mutex writing_;  ///< Taken before any other.
    std::mutex waiting_mutex_;
    std::unordered_map<std::uint64_t, auth::SuppressedRow> waiting_;  ///< By Key::place.
    bool asked_ = false;                                              ///< `later` has work of ours.
    std::atomic<bool> failing_{false};
    std::atomic<std::uint64_t> dropped_{0};
    std::uint64_t dropped_told_ = 0;  ///< Under writing_.
};

}  // namespace postern::relay::suppression
