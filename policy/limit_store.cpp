#include "policy/limit_store.hpp"

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "policy/bounded_map.hpp"

namespace postern::policy {

namespace {

using std::chrono::nanoseconds;

constexpr std::size_t limit_shards = 64;  // bits of one word: which shards a call locks
constexpr std::size_t key_prefix = 2;     // of key_text(): an account's limits share a shard

/// One window of one key. `tat` is the theoretical arrival time of GCRA: when the bucket is full
/// again.
struct Cell {
    Window window;
    nanoseconds tat{};
    /// What each reservation could give back. A bucket that was nearly full meanwhile has refilled
    /// a part of it anyway: the backlog at each later touch is the most that the reservation can
    /// still have cost.
    struct Held {
        std::uint64_t id;
        nanoseconds refundable;
    };
    std::vector<Held> held;

    [[nodiscard]] nanoseconds backlog(nanoseconds now) const {
        return std::max(nanoseconds{0}, tat - now);
    }

    void take(std::uint64_t id, nanoseconds cost, nanoseconds now) {
        const auto before = backlog(now);
        tat = std::max(tat, now) + cost;
        bool found = false;
        for (auto& h : held) {
            h.refundable = std::min(h.refundable, before);
            if (h.id == id) {
                h.refundable += cost;
                found = true;
            }
        }
        if (!found) held.push_back({id, cost});
    }
    void settle(std::uint64_t id, bool give_back) {
        const auto mine = std::ranges::find(held, id, &Held::id);
        if (mine == held.end()) return;
        if (give_back) tat -= mine->refundable;
        *mine = held.back();
        held.pop_back();
    }
};

struct Bucket {
    std::vector<Cell> cells;
    [[nodiscard]] Cell* find(const Window& window) {
        const auto cell = std::ranges::find(cells, window, &Cell::window);
        return cell == cells.end() ? nullptr : &*cell;
    }
    [[nodiscard]] nanoseconds backlog(nanoseconds now) const {
        nanoseconds most{0};
        for (const auto& cell : cells) most = std::max(most, cell.backlog(now));
        return most;
    }
};

nanoseconds since_start(SteadyTime now) {
    return std::chrono::duration_cast<nanoseconds>(now.time_since_epoch());
}

std::string key_text(Limit limit, LimitKey kind, std::string_view key) {
    std::string out;
    out.reserve(key.size() + 2);
    out += static_cast<char>('0' + static_cast<int>(limit));
    out += static_cast<char>('0' + static_cast<int>(kind));
    out += key;
    return out;
}

/// Tokens that a backlog stands for, rounded up.
std::uint64_t tokens(nanoseconds backlog, const Window& window) {
    __extension__ using Wide = unsigned __int128;
    const Wide period_ns = static_cast<Wide>(window.period.count()) * 1'000'000'000U;
    const Wide used =
        (static_cast<Wide>(backlog.count()) * window.amount + period_ns - 1) / period_ns;
    return static_cast<std::uint64_t>(std::min<Wide>(used, window.amount));
}

}  // namespace

std::string_view name(Limit limit) noexcept {
    switch (limit) {
        case Limit::messages:
            return "messages";
        case Limit::recipients:
            return "recipients";
    }
    return "";
}

std::string_view name(LimitKey key) noexcept {
    switch (key) {
        case LimitKey::account:
            return "account";
        case LimitKey::credential:
            return "credential";
    }
    return "";
}

std::int64_t LimitAnswer::wait_seconds() const noexcept {
    const auto up = std::chrono::ceil<std::chrono::seconds>(wait).count();
    return passed ? 0 : std::max<std::int64_t>(1, up);
}

struct LimitStore::Shard {
    explicit Shard(std::size_t max) : buckets(max) {}
    mutable std::mutex mutex;
    BoundedMap<Bucket> buckets;
};

LimitStore::LimitStore(std::size_t max_keys) {
    shards_.reserve(limit_shards);
    for (std::size_t i = 0; i < limit_shards; ++i) {
        shards_.push_back(std::make_unique<Shard>(max_keys / limit_shards + 1));
    }
}

LimitStore::~LimitStore() = default;

std::size_t LimitStore::shard_of(std::string_view key) const noexcept {
    return std::hash<std::string_view>{}(key.substr(key_prefix)) % limit_shards;
}

LimitAnswer LimitStore::reserve(std::span<const Touch> touches, SteadyTime now_point,
                                Reservation& held) {
    LimitAnswer answer;
    if (touches.empty()) return answer;
    const auto now = since_start(now_point);

    std::vector<std::string> keys;
    keys.reserve(touches.size());
    std::uint64_t wanted = 0;  // shards, as bits
    for (const auto& touch : touches) {
        keys.push_back(key_text(touch.limit, touch.kind, touch.key));
        wanted |= std::uint64_t{1} << shard_of(keys.back());
    }
    // Always in rising order, so that two calls never wait for each other.
    std::vector<std::unique_lock<std::mutex>> locks;
    for (std::size_t i = 0; i < limit_shards; ++i) {
        if ((wanted >> i & 1U) != 0) locks.emplace_back(shards_[i]->mutex);
    }

    for (std::size_t i = 0; i < touches.size(); ++i) {
        const auto& touch = touches[i];
        auto* bucket = shards_[shard_of(keys[i])]->buckets.find(keys[i]);
        for (const auto& window : touch.windows) {
            const auto* cell = bucket == nullptr ? nullptr : bucket->find(window);
            const auto backlog = cell == nullptr ? nanoseconds{0} : cell->backlog(now);
            const auto wait = backlog + window.refill_time(touch.cost) - window.period;
            const bool never = touch.cost > window.amount;
            if (wait <= nanoseconds{0} && !never) continue;
            if (!answer.passed && (answer.never || !never) && wait <= answer.wait) continue;
            answer = {.passed = false,
                      .never = answer.never || never,
                      .limit = touch.limit,
                      .kind = touch.kind,
                      .window = window,
                      .used = tokens(backlog, window),
                      .wait = wait};
        }
    }
    if (!answer.passed) return answer;

    if (held.store_ == nullptr) {
        held.store_ = this;
        held.id_ = next_id_.fetch_add(1, std::memory_order_relaxed);
    }
    for (std::size_t i = 0; i < touches.size(); ++i) {
        const auto& touch = touches[i];
        if (touch.windows.empty()) continue;
        auto& bucket = shards_[shard_of(keys[i])]->buckets.get(
            keys[i], [now](const Bucket& b) { return b.backlog(now).count(); });
        std::erase_if(bucket.cells, [&](const Cell& cell) {
            return cell.held.empty() &&
                   std::ranges::find(touch.windows, cell.window) == touch.windows.end();
        });
        for (const auto& window : touch.windows) {
            auto* cell = bucket.find(window);
            if (cell == nullptr)
                cell = &bucket.cells.emplace_back(Cell{.window = window, .tat = now, .held = {}});
            cell->take(held.id_, window.refill_time(touch.cost), now);
        }
        if (std::ranges::find(held.keys_, keys[i]) == held.keys_.end())
            held.keys_.push_back(std::move(keys[i]));
    }
    return answer;
}

void LimitStore::settle(Reservation& held, bool give_back) noexcept {
    for (const auto& key : held.keys_) {
        auto& shard = *shards_[shard_of(key)];
        const std::scoped_lock lock(shard.mutex);
        auto* bucket = shard.buckets.find(key);
        if (bucket == nullptr) continue;  // full meanwhile, and forgotten
        for (auto& cell : bucket->cells) cell.settle(held.id_, give_back);
    }
}

std::vector<LimitUse> LimitStore::use(Limit limit, LimitKey kind, std::string_view key,
                                      std::span<const Window> windows, SteadyTime now_point) const {
    const auto now = since_start(now_point);
    const auto text = key_text(limit, kind, key);
    auto& shard = *shards_[shard_of(text)];
    const std::scoped_lock lock(shard.mutex);
    auto* bucket = shard.buckets.find(text);
    std::vector<LimitUse> out;
    out.reserve(windows.size());
    for (const auto& window : windows) {
        const auto* cell = bucket == nullptr ? nullptr : bucket->find(window);
        const auto backlog = cell == nullptr ? nanoseconds{0} : cell->backlog(now);
        const auto used = tokens(backlog, window);
        out.push_back({.limit = limit,
                       .kind = kind,
                       .window = window,
                       .used = used,
                       .left = window.amount - used,
                       .resets = backlog});
    }
    return out;
}

std::size_t LimitStore::size() const {
    std::size_t n = 0;
    for (const auto& shard : shards_) {
        const std::scoped_lock lock(shard->mutex);
        n += shard->buckets.size();
    }
    return n;
}

Reservation::Reservation(Reservation&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)), id_(other.id_), keys_(std::move(other.keys_)) {
    other.keys_.clear();
}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
    if (this != &other) {
        give_back();
        store_ = std::exchange(other.store_, nullptr);
        id_ = other.id_;
        keys_ = std::move(other.keys_);
        other.keys_.clear();
    }
    return *this;
}

void Reservation::commit() noexcept {
    if (store_ != nullptr) store_->settle(*this, false);
    store_ = nullptr;
    keys_.clear();
}

void Reservation::give_back() noexcept {
    if (store_ != nullptr) store_->settle(*this, true);
    store_ = nullptr;
    keys_.clear();
}

}  // namespace postern::policy
