#include "relay/oauth/token_keys.hpp"

#include <cerrno>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace postern::relay::oauth {

namespace {

auth::TokenAuthorityPtr make_authority(const config::OAuth& settings) {
    auth::TokenAuthority::Settings out;
    out.rules = {settings.issuer, settings.audience, settings.claim};
    return std::make_shared<auth::TokenAuthority>(std::move(out));
}

}  // namespace

std::optional<std::string> read_key_file(const std::string& file, std::string& error) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        error = std::generic_category().message(errno);
        return std::nullopt;
    }
    std::string text(auth::max_key_set_octets + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    return text;
}

TokenKeys::TokenKeys(config::OAuth settings, event::Stream& events)
    : settings_(std::move(settings)), events_(events), authority_(make_authority(settings_)) {}

TokenKeys::Asked TokenKeys::ask(time now, std::function<void(bool)> done) {
    // A file is watched: it is as fresh as it can be.
    if (!by_url()) return Asked::settled;
    std::function<void()> wake;
    {
        const std::scoped_lock lock(mutex_);
        if (retired_) return Asked::later;
        switch (schedule_.want(now)) {
            case KeySchedule::Wanted::settled:
                return Asked::settled;
            case KeySchedule::Wanted::later:
                return Asked::later;
            case KeySchedule::Wanted::fetch:
                break;
        }
        if (waiting_.size() >= max_waiting) return Asked::later;
        waiting_.push_back(std::move(done));
        wake = wake_;
    }
    // Before there is a fetcher nobody has to be woken: its first look finds what is wanted.
    if (wake) wake();
    return Asked::wait;
}

void TokenKeys::on_wanted(std::function<void()> wake) {
    const std::scoped_lock lock(mutex_);
    wake_ = std::move(wake);
}

boost::system::result<auth::KeySetPtr, std::string> TokenKeys::read_file() const {
    const std::string& file = settings_.jwks.file;
    std::string error;
    const auto text = read_key_file(file, error);
    if (!text) return fmt::format("auth.oauth.jwks: {}: {}", file, error);
    auto keys = auth::KeySet::parse(*text);
    if (!keys) return fmt::format("auth.oauth.jwks: {}: {}", file, keys.error());
    return std::move(*keys);
}

TokenKeys::Fetches TokenKeys::fetches() const {
    const std::scoped_lock lock(mutex_);
    return fetches_;
}

TokenKeys::time TokenKeys::next_fetch(time now) const {
    const std::scoped_lock lock(mutex_);
    return schedule_.next(now);
}

void TokenKeys::fetch_began(time now) {
    const std::scoped_lock lock(mutex_);
    schedule_.began(now);
}

void TokenKeys::fetch_ended(time now, const std::string* body, std::string error) {
    auth::KeySetPtr keys;
    if (body != nullptr) {
        auto parsed = auth::KeySet::parse(*body);
        if (parsed) {
            keys = std::move(*parsed);
        } else {
            error = parsed.error();
        }
    }
    const bool good = keys != nullptr;
    // Before those that wait hear of it.
    if (good) use(std::move(keys));
    std::vector<std::function<void(bool)>> waiting;
    unsigned failures = 0;
    bool stale = false;
    {
        const std::scoped_lock lock(mutex_);
        failures = schedule_.failures();
        ++(good ? fetches_.good : fetches_.failed);
        if (good) {
            schedule_.succeeded(now);
        } else {
            schedule_.failed(now);
            stale = schedule_.stale(now);
        }
        waiting.swap(waiting_);
    }
    if (good) {
        if (failures > 0) tell_mended(failures);
    } else {
        if (stale) authority_->use(nullptr);
        tell_failed(failures + 1, error);
    }
    for (const auto& done : waiting) done(good);
}

void TokenKeys::retire() {
    std::vector<std::function<void(bool)>> waiting;
    unsigned failures = 0;
    {
        const std::scoped_lock lock(mutex_);
        failures = schedule_.failures();
        waiting.swap(waiting_);
        wake_ = nullptr;
        retired_ = true;
    }
    if (failures >= KeySchedule::alarming) {
        events_.emit(event::AlertRaised{.kind = "backend_down",
                                        .subject = settings_.jwks.url,
                                        .text = "no keys are fetched from there any more",
                                        .resolved = true});
    }
    for (const auto& done : waiting) done(false);
}

void TokenKeys::use(auth::KeySetPtr keys) {
    const auth::KeySetPtr before = authority_->keys();
    if (!before || !before->same_as(*keys)) {
        for (const std::string& fault : keys->faults())
            events_.log(event::Level::warning, "oauth", "auth.oauth.jwks: " + fault);
        events_.log(event::Level::info, "oauth",
                    fmt::format("{} keys to check tokens with", keys->size()));
    }
    authority_->use(std::move(keys));
}

void TokenKeys::tell_failed(unsigned failures, const std::string& error) {
    const std::string& url = settings_.jwks.url;
    const std::string_view now =
        authority_->keys() ? "those fetched before go on for a day" : "logins by token hear 454";
    const std::string text =
        fmt::format("the keys of tokens cannot be fetched from {}: {}; {}", url, error, now);
    if (failures == 1) events_.log(event::Level::warning, "oauth", text);
    if (failures < KeySchedule::alarming) return;
    events_.emit(event::AlertRaised{.kind = "backend_down",
                                    .subject = url,
                                    .text = text,
                                    .action = "see that it answers, and with what; `postern "
                                              "check` tries it from here",
                                    .fields = {{"error", error}}});
}

void TokenKeys::tell_mended(unsigned failures) {
    const std::string text =
        fmt::format("the keys of tokens can be fetched from {} again", settings_.jwks.url);
    events_.log(event::Level::info, "oauth", text);
    if (failures < KeySchedule::alarming) return;
    events_.emit(event::AlertRaised{
        .kind = "backend_down", .subject = settings_.jwks.url, .text = text, .resolved = true});
}

}  // namespace postern::relay::oauth
