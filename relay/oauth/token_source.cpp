#include "relay/oauth/token_source.hpp"

#include <utility>

#include <fmt/format.h>

namespace postern::relay::oauth {

TokenSource::TokenSource(Settings settings, event::Stream& events)
    : settings_(std::move(settings)),
      events_(events),
      refresh_tokens_(settings_.oauth.refresh_token, settings_.file) {}

AccessToken TokenSource::current() const {
    return {.text = token_, .serial = serial_, .trouble = {}};
}

std::optional<AccessToken> TokenSource::ask(time now, std::function<void(AccessToken)> done) {
    const std::scoped_lock lock(mutex_);
    switch (schedule_.want(now)) {
        case TokenSchedule::Wanted::holds:
            return current();
        case TokenSchedule::Wanted::later:
            return AccessToken{.text = {}, .trouble = trouble_};
        case TokenSchedule::Wanted::fetch:
            break;
    }
    if (retired_) return AccessToken{.text = {}, .trouble = trouble_};
    if (waiting_.size() >= max_waiting)
        return AccessToken{.text = {}, .trouble = "too many wait for a token"};
    waiting_.push_back(std::move(done));
    return std::nullopt;
}

void TokenSource::worked(std::uint64_t serial) {
    const std::scoped_lock lock(mutex_);
    if (serial == serial_) schedule_.worked();
}

void TokenSource::rejected(time now, std::uint64_t serial) {
    std::function<void()> wake;
    {
        const std::scoped_lock lock(mutex_);
        if (serial != serial_ || !schedule_.rejected(now)) return;
        token_ = {};
        trouble_ = "the upstream refused the token, and there is no new one yet";
        wake = wake_;
    }
    events_.log(event::Level::warning, "oauth",
                fmt::format("upstream {} refused a token that was good before; a new one is "
                            "fetched",
                            settings_.upstream));
    if (wake) wake();
}

TokenSource::time TokenSource::next_fetch() const {
    const std::scoped_lock lock(mutex_);
    return schedule_.next();
}

void TokenSource::fetch_began() {
    const std::scoped_lock lock(mutex_);
    schedule_.began();
}

void TokenSource::fetch_ended(time now, boost::system::result<FetchedToken, TokenFault> got) {
    std::vector<std::function<void(AccessToken)>> waiting;
    AccessToken told;
    unsigned failures = 0;
    bool holds = true;
    {
        const std::scoped_lock lock(mutex_);
        failures = schedule_.failures();
        waiting.swap(waiting_);
        if (got) {
            schedule_.got(now, got->life);
            token_ = std::move(got->token);
            ++serial_;
            trouble_.clear();
        } else {
            const bool passing = got.error().kind == TokenFault::Kind::passing;
            schedule_.failed(
                now, passing ? TokenSchedule::Failure::passing : TokenSchedule::Failure::refused);
            trouble_ = got.error().what;
            holds = schedule_.holds(now);
        }
        if (holds) {
            told = current();
        } else {
            token_ = {};
            told.trouble = trouble_;
        }
    }
    tell(failures, holds, got ? std::string() : got.error().what);
    for (const auto& done : waiting) done(told);
}

void TokenSource::tell(unsigned failures_before, bool holds, const std::string& trouble) {
    if (trouble.empty()) {
        if (failures_before == 0) return;
        events_.log(event::Level::info, "oauth",
                    fmt::format("upstream {} has a token again", settings_.upstream));
        return;
    }
    if (failures_before > 0) return;
    events_.log(event::Level::warning, "oauth",
                fmt::format("no token for upstream {} from {}: {}; {}", settings_.upstream,
                            settings_.oauth.token_url.url, trouble,
                            holds ? "the one at hand goes on to its end" : "it takes no mail"));
}

void TokenSource::tell_unkept(const std::string& error) {
    events_.log(event::Level::error, "oauth",
                fmt::format("the refresh token that was given for upstream {} cannot be kept: {}; "
                            "a restart begins with an older one",
                            settings_.upstream, error));
}

void TokenSource::retire() {
    std::vector<std::function<void(AccessToken)>> waiting;
    AccessToken told;
    {
        const std::scoped_lock lock(mutex_);
        waiting.swap(waiting_);
        wake_ = nullptr;
        retired_ = true;
        told.trouble = "the configuration has changed";
        if (trouble_.empty()) trouble_ = told.trouble;
    }
    for (const auto& done : waiting) done(told);
}

void TokenSource::on_wanted(std::function<void()> wake) {
    const std::scoped_lock lock(mutex_);
    wake_ = std::move(wake);
}

}  // namespace postern::relay::oauth
