#include "relay/delivery/notice_desk.hpp"

#include <algorithm>

namespace postern::relay {

std::chrono::nanoseconds NoticeRate::next(const std::string& account, Time now) {
    static const std::string others;
    if (full_at_.size() >= most_accounts)
        std::erase_if(full_at_, [&](const auto& one) { return one.second <= now; });
    const bool own = full_at_.size() < most_accounts || full_at_.contains(account);
    Time& full_at = full_at_[own ? account : others];
    full_at = std::min(std::max(full_at, now) + each, now + at_once * each + longest);
    return std::max(std::chrono::nanoseconds(full_at - now - at_once * each),
                    std::chrono::nanoseconds(0));
}

std::optional<NewEntry> NoticeDesk::write(const config::Config& config, const NoticeSource& source,
                                          const std::vector<Notice>& notices) {
    const auto& sender = source.envelope->mail_from;
    if (notices.empty() || !sender) return std::nullopt;
    if (ports_.may_tell && !ports_.may_tell(source.account, *sender)) return std::nullopt;
    const auto now = std::chrono::system_clock::now();
    NewEntry entry =
        make_notice_entry(config, source, notices, ports_.make_ref(), ports_.make_ref(), now);
    std::chrono::nanoseconds wait{0};
    {
        const std::lock_guard lock(mutex_);
        wait = rate_.next(source.account, std::chrono::steady_clock::now());
    }
    if (wait > std::chrono::nanoseconds(0)) {
        entry.state = EntryState::deferred;
        entry.next_attempt = now + std::chrono::ceil<std::chrono::milliseconds>(wait);
        entry.last_reply = "kept back: the account has had many notifications just now";
    }
    return entry;
}

}  // namespace postern::relay
