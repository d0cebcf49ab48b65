#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>

#include <boost/system/error_code.hpp>

namespace postern::relay::net {

struct TtlBounds {
    std::chrono::seconds min_ttl{5};
    std::chrono::seconds max_ttl{3600};
    std::chrono::seconds negative_ttl{5};  ///< Of "there is none", and of a failure.
    std::chrono::seconds keep{3600};       ///< A good answer past its time, while asking fails.
    std::size_t entries = 4096;
};

/// What name servers have said, by key, for as long as it holds. Pure: the time is an argument.
///
///   answer -> fresh until its TTL -> last good for `keep` -> gone
///   "there is none" replaces an answer; a failure does not, and puts off the next question.
template <typename Value>
class TtlCache {
  public:
    using time_point = std::chrono::steady_clock::time_point;

    struct Kept {
        boost::system::error_code error;  ///< Set: there is none.
        Value value;
        time_point fresh_until;
        time_point good_until;  ///< As a last resort.
        bool stale = false;     ///< Its time is over, and a question since has failed.
    };

    explicit TtlCache(TtlBounds bounds) : bounds_(bounds) {}

    /// What need not be asked for now; null: ask.
    [[nodiscard]] const Kept* fresh(const std::string& key, time_point now) const {
        const auto at = kept_.find(key);
        return at != kept_.end() && now < at->second.fresh_until ? &at->second : nullptr;
    }
    /// The answer to fall back on while asking fails; null: none.
    [[nodiscard]] const Kept* last_good(const std::string& key, time_point now) const {
        const auto at = kept_.find(key);
        const bool good = at != kept_.end() && !at->second.error && now < at->second.good_until;
        return good ? &at->second : nullptr;
    }

    void answer(const std::string& key, Value value, std::chrono::seconds ttl, time_point now) {
        const time_point until = now + std::clamp(ttl, bounds_.min_ttl, bounds_.max_ttl);
        put(key, {{}, std::move(value), until, until + bounds_.keep, false}, now);
    }
    void none(const std::string& key, boost::system::error_code error, time_point now) {
        const time_point until = now + bounds_.negative_ttl;
        put(key, {error, {}, until, until, false}, now);
    }
    void failed(const std::string& key, time_point now) {
        const auto at = kept_.find(key);
        if (at == kept_.end() || last_good(key, now) == nullptr) return;
        at->second.stale = true;
        at->second.fresh_until = std::min(now + bounds_.negative_ttl, at->second.good_until);
    }
    void clear() noexcept { kept_.clear(); }
    [[nodiscard]] std::size_t size() const noexcept { return kept_.size(); }

  private:
    void put(const std::string& key, Kept one, time_point now) {
        if (kept_.size() >= bounds_.entries && !kept_.contains(key)) {
            std::erase_if(kept_, [now](const auto& each) { return each.second.good_until <= now; });
            if (kept_.size() >= bounds_.entries) kept_.erase(kept_.begin());
        }
        if (bounds_.entries > 0) kept_.insert_or_assign(key, std::move(one));
    }

    TtlBounds bounds_;
    std::unordered_map<std::string, Kept> kept_;
};

}  // namespace postern::relay::net
