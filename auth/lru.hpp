#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace postern::auth {

/// A map of bounded size that forgets what was asked for longest ago. Not thread-safe.
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<>>
class Lru {
  public:
    /// `capacity` at least 1.
    explicit Lru(std::size_t capacity) : capacity_(capacity == 0 ? 1 : capacity) {}

    /// Null where it is not there; valid until the next call that is not const.
    template <class K>
    [[nodiscard]] Value* find(const K& key) {
        const auto at = index_.find(key);
        if (at == index_.end()) return nullptr;
        order_.splice(order_.begin(), order_, at->second);
        return &at->second->second;
    }
    void put(Key key, Value value) {
        if (Value* const old = find(key)) {
            *old = std::move(value);
            return;
        }
        if (order_.size() >= capacity_) {
            index_.erase(order_.back().first);
            order_.pop_back();
        }
        order_.emplace_front(std::move(key), std::move(value));
        index_.emplace(order_.front().first, order_.begin());
    }
    template <class K>
    void erase(const K& key) {
        const auto at = index_.find(key);
        if (at == index_.end()) return;
        order_.erase(at->second);
        index_.erase(at);
    }
    template <class Which>
    void erase_if(Which which) {
        for (auto at = order_.begin(); at != order_.end();) {
            if (!which(std::as_const(at->second))) {
                ++at;
                continue;
            }
            index_.erase(at->first);
            at = order_.erase(at);
        }
    }
    [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

  private:
    using Order = std::list<std::pair<Key, Value>>;
    std::size_t capacity_;
    Order order_;
    std::unordered_map<Key, typename Order::iterator, Hash, Equal> index_;
};

/// Lets a map of strings be asked with a view.
struct TextHash {
    using is_transparent = void;
    [[nodiscard]] std::size_t operator()(std::string_view text) const noexcept {
        return std::hash<std::string_view>{}(text);
    }
};

}  // namespace postern::auth
