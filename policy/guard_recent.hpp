#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "policy/guard_score.hpp"

namespace postern::policy::guard {

/// One failure that is remembered. `secret` is a part of its keyed hash; 0: it showed none.
struct Seen {
    std::uint32_t account = 0;
    std::uint32_t secret = 0;
    Tick at = 0;
};

/// Room for those who fail with more than two secrets; bounded. Not thread-safe.
class SeenPool {
  public:
    static constexpr std::size_t block_size = 30;
    using Block = std::array<Seen, block_size>;

    explicit SeenPool(std::size_t max) noexcept : max_(max) {}
    /// A number above 0; 0: none is free.
    [[nodiscard]] std::uint32_t take() {
        if (!free_.empty()) {
            const std::uint32_t number = free_.back();
            free_.pop_back();
            blocks_[number - 1] = {};
            return number;
        }
        if (blocks_.size() >= max_) return 0;
        blocks_.emplace_back();
        return static_cast<std::uint32_t>(blocks_.size());
    }
    void give(std::uint32_t number) {
        if (number != 0) free_.push_back(number);
    }
    [[nodiscard]] Block& operator[](std::uint32_t number) { return blocks_[number - 1]; }
    [[nodiscard]] const Block& operator[](std::uint32_t number) const {
        return blocks_[number - 1];
    }
    [[nodiscard]] std::size_t octets() const noexcept {
        return blocks_.capacity() * sizeof(Block) + free_.capacity() * sizeof(std::uint32_t);
    }

  private:
    std::size_t max_;
    std::vector<Block> blocks_;
    std::vector<std::uint32_t> free_;
};

/// What failed lately in one place, to tell a mistake made again from a guess. Whoever forgets it
/// calls clear() first.
class Recent {
  public:
    /// Notes a failure and says what it weighs. `others_fail`: failures of other accounts at the
    /// source make a repeated SCRAM failure count.
    [[nodiscard]] double note(SeenPool& pool, std::uint32_t account, std::uint32_t secret,
                              bool others_fail, Tick now) {
        bool known_account = false;
        Seen* same = nullptr;
        each(pool, [&](Seen& seen) {
            if (seen.account != account) {
                others_fail = others_fail || since(seen.at, now) < ticks(scram_repeat);
                return;
            }
            known_account = true;
            if (seen.secret == secret) same = &seen;
        });
        if (same != nullptr) {
            const Tick passed = since(same->at, now);
            const bool repeated = secret != 0 ? passed < ticks(secret_repeat)
                                              : passed < ticks(scram_repeat) && !others_fail;
            // One that shows no secret counts again ten minutes after it last counted.
            if (secret != 0 || !repeated) same->at = now;
            return repeated ? 0 : weight_new_secret;
        }
        free_place(pool) = {.account = account, .secret = secret, .at = now};
        return known_account ? weight_new_secret : weight_new_account;
    }

    [[nodiscard]] bool any_within(const SeenPool& pool, TickSpan span, Tick now) const {
        bool any = false;
        each(pool, [&](const Seen& seen) {
            any = any || since(seen.at, now) < static_cast<Tick>(span.count());
        });
        return any;
    }
    /// Different accounts among those remembered.
    [[nodiscard]] std::uint32_t accounts(const SeenPool& pool) const {
        std::array<std::uint32_t, 2 + SeenPool::block_size> found{};
        std::size_t n = 0;
        each(pool, [&](const Seen& seen) {
            const auto end = found.begin() + static_cast<std::ptrdiff_t>(n);
            if (std::find(found.begin(), end, seen.account) == end) found[n++] = seen.account;
        });
        return static_cast<std::uint32_t>(n);
    }
    void clear(SeenPool& pool) {
        pool.give(more_);
        *this = {};
    }

  private:
    template <typename Self, typename Pool, typename F>
    static void each_of(Self& self, Pool& pool, F&& f) {
        for (auto& seen : self.first_) {
            if (seen.at != 0) f(seen);
        }
        if (self.more_ == 0) return;
        for (auto& seen : pool[self.more_]) {
            if (seen.at != 0) f(seen);
        }
    }
    template <typename F>
    void each(SeenPool& pool, F&& f) {
        each_of(*this, pool, f);
    }
    template <typename F>
    void each(const SeenPool& pool, F&& f) const {
        each_of(*this, pool, f);
    }

    /// A place that is free, else that of the oldest.
    [[nodiscard]] Seen& free_place(SeenPool& pool) {
        Seen* oldest = first_.data();
        for (Seen& seen : first_) {
            if (seen.at < oldest->at) oldest = &seen;
        }
        if (oldest->at == 0) return *oldest;
        if (more_ == 0) more_ = pool.take();
        if (more_ == 0) return *oldest;
        for (Seen& seen : pool[more_]) {
            if (seen.at < oldest->at) oldest = &seen;
            if (seen.at == 0) return seen;
        }
        return *oldest;
    }

    std::array<Seen, 2> first_;
    std::uint32_t more_ = 0;
};

}  // namespace postern::policy::guard
