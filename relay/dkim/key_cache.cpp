#include "relay/dkim/key_cache.hpp"

namespace postern::relay::dkim {

DomainKeysPtr KeyCache::find(const std::string& domain, Time now) {
    const std::lock_guard lock(mutex_);
    for (auto* const of : {&loaded_, &absent_}) {
        const Entry* const entry = of->find(domain);
        if (entry == nullptr) continue;
        if (now < entry->until) return entry->keys;
        of->erase(domain);
    }
    return nullptr;
}

std::uint64_t KeyCache::generation() const {
    const std::lock_guard lock(mutex_);
    return generation_;
}

void KeyCache::put(const DomainKeysPtr& keys, std::uint64_t generation, Time now) {
    const std::lock_guard lock(mutex_);
    if (generation != generation_) return;
    const bool any = !keys->active.empty();
    auto& into = any ? loaded_ : absent_;
    (any ? absent_ : loaded_).erase(keys->domain);
    into.put(keys->domain,
             {.keys = keys,
              .until = now + (any && keys->whole() ? bounds_.loaded_for : bounds_.absent_for)});
}

void KeyCache::forget(const std::string& domain) {
    const std::lock_guard lock(mutex_);
    ++generation_;
    loaded_.erase(domain);
    absent_.erase(domain);
}

}  // namespace postern::relay::dkim
