#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace postern::policy {

/// A map from text that never holds more than `max` values. Each insertion looks at a few values in
/// turn, as a clock's hand goes round, and forgets those of no worth; at the bound the least worthy
/// of those looked at goes as well. References stay valid until the next get(). Not thread-safe.
template <typename Value>
class BoundedMap {
  public:
    explicit BoundedMap(std::size_t max) : max_(max < 1 ? 1 : max) {}
    BoundedMap(const BoundedMap&) = delete;
    BoundedMap& operator=(const BoundedMap&) = delete;

    [[nodiscard]] Value* find(std::string_view key) {
        const auto found = index_.find(key);
        return found == index_.end() ? nullptr : &found->second->second;
    }
    [[nodiscard]] const Value* find(std::string_view key) const {
        const auto found = index_.find(key);
        return found == index_.end() ? nullptr : &found->second->second;
    }

    /// The value of `key`, made where there is none. `worth(const Value&)` is an integer; 0 or
    /// less: nothing is lost by forgetting it.
    template <typename Worth>
    [[nodiscard]] Value& get(std::string_view key, Worth&& worth) {
        if (auto* value = find(key)) return *value;
        sweep(worth);
        values_.emplace_front(std::string(key), Value{});
        index_.emplace(values_.front().first, values_.begin());
        return values_.front().second;
    }

    void erase(std::string_view key) {
        const auto found = index_.find(key);
        if (found == index_.end()) return;
        forget(found->second);
    }
    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
    [[nodiscard]] auto begin() const noexcept { return values_.begin(); }
    [[nodiscard]] auto end() const noexcept { return values_.end(); }

  private:
    using Values = std::list<std::pair<std::string, Value>>;
    static constexpr std::size_t looked_at = 2;
    static constexpr std::size_t looked_at_when_full = 16;

    void forget(typename Values::iterator which) {
        if (hand_ == which) ++hand_;
        index_.erase(which->first);
        values_.erase(which);
    }

    template <typename Worth>
    void sweep(Worth&& worth) {
        const bool full = values_.size() >= max_;
        auto least = values_.end();
        auto least_worth = std::numeric_limits<std::int64_t>::max();
        const auto looks = full ? looked_at_when_full : looked_at;
        for (std::size_t i = 0; i < looks && !values_.empty(); ++i) {
            if (hand_ == values_.end()) hand_ = values_.begin();
            const auto at = hand_++;
            const auto w = static_cast<std::int64_t>(worth(std::as_const(at->second)));
            if (w <= 0) {
                if (least == at) least = values_.end();
                forget(at);
            } else if (w < least_worth) {
                least_worth = w;
                least = at;
            }
        }
        if (values_.size() >= max_ && least != values_.end()) forget(least);
    }

    std::size_t max_;
    Values values_;
    typename Values::iterator hand_ = values_.end();
    std::unordered_map<std::string_view, typename Values::iterator>
        index_;  // keys: views into values_
};

}  // namespace postern::policy
