#include "relay/dkim/signer.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace postern::relay::dkim {

namespace {

using clock = std::chrono::steady_clock;
using proto::DkimAlgorithm;

bool is_wanted(const Wanted& wanted, DkimAlgorithm algorithm) {
    return std::ranges::find(wanted.algorithms, algorithm) != wanted.algorithms.end();
}

bool can_sign(const DomainKeys& keys, const Wanted& wanted) {
    return std::ranges::any_of(
        keys.active, [&](const ActiveKey& one) { return is_wanted(wanted, one.key.algorithm()); });
}

}  // namespace

Wanted wanted_by(const config::Config& config, std::string ref, std::string_view from_domain) {
    Wanted out;
    out.ref = std::move(ref);
    out.from_domain = domain_form(from_domain).value_or("");
    out.default_domain = config.dkim.default_domain;
    out.algorithms = config.dkim.algorithms;
    out.unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
    return out;
}

std::string_view Signer::name(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::ok:
            return "ok";
        case Outcome::failed:
            return "failed";
        case Outcome::no_key:
            return "no_key";
        case Outcome::overload:
            break;
    }
    return "overload";
}

bool Signer::may_sign(const Wanted& wanted) {
    for (const std::string* domain : {&wanted.from_domain, &wanted.default_domain}) {
        if (domain->empty()) continue;
        const DomainKeysPtr keys = keys_.known(*domain, clock::now());
        // What is damaged is counted with each message that it does not sign.
        if (!keys || !keys->whole() || can_sign(*keys, wanted)) return true;
    }
    count(Outcome::no_key);
    return false;
}

/// Null: no key signs it, which is counted.
DomainKeysPtr Signer::keys_for(const Wanted& wanted) {
    bool failed = false;
    for (const std::string* domain : {&wanted.from_domain, &wanted.default_domain}) {
        if (domain->empty()) continue;
        DomainKeysPtr keys = keys_.load(*domain, clock::now());
        for (const DkimAlgorithm algorithm : keys->unusable) {
            if (!is_wanted(wanted, algorithm)) continue;
            count(Outcome::failed, algorithm);
            failed = true;
        }
        if (keys->unreadable) {
            count(Outcome::failed);
            failed = true;
        }
        if (can_sign(*keys, wanted)) return keys;
    }
    if (!failed) count(Outcome::no_key);
    return nullptr;
}

std::string Signer::fail(const Wanted& wanted, const DomainKeys& keys, std::string_view why) {
    count(Outcome::failed);
    events_.log(event::Level::warning, "dkim",
                fmt::format("{} goes unsigned by {}: {}", wanted.ref, keys.domain, why));
    return {};
}

std::string Signer::sign(const Wanted& wanted, std::span<const std::string_view> pieces) {
    const DomainKeysPtr keys = keys_for(wanted);
    if (!keys) return {};
    Sha256 body;
    proto::SigningReader reader(body);
    for (const std::string_view piece : pieces) reader.feed(piece);
    reader.finish();
    const auto body_hash = body.digest();
    if (!body_hash) return fail(wanted, *keys, body_hash.error().message());
    if (reader.overlong()) return fail(wanted, *keys, "its header section is too long");
    const auto fields = proto::signed_fields(reader.header());
    if (!fields) return fail(wanted, *keys, "it has not one From, or too many fields to sign");

    std::string out;
    for (const ActiveKey& one : keys->active) {
        const DkimAlgorithm algorithm = one.key.algorithm();
        if (!is_wanted(wanted, algorithm)) continue;
        std::string field = proto::unsigned_dkim_field({.algorithm = algorithm,
                                                        .domain = keys->domain,
                                                        .selector = one.selector,
                                                        .unix_seconds = wanted.unix_seconds,
                                                        .body_hash = auth::view(*body_hash),
                                                        .names = fields->names});
        const auto signature = one.key.sign(auth::sha256(proto::dkim_hash_input(*fields, field)));
        if (!signature) {
            count(Outcome::failed, algorithm);
            events_.log(event::Level::error, "dkim",
                        fmt::format("{} goes unsigned by key {} of {}: {}", wanted.ref,
                                    one.selector, keys->domain, signature.error().message()));
            continue;
        }
        count(Outcome::ok, algorithm);
        out += proto::dkim_field(std::move(field), *signature);
    }
    return out;
}

void Signer::count(Outcome outcome) noexcept {
    whole_[static_cast<std::size_t>(outcome)].fetch_add(1, std::memory_order_relaxed);
}

void Signer::count(Outcome outcome, DkimAlgorithm algorithm) noexcept {
    by_algorithm_[static_cast<std::size_t>(algorithm)][static_cast<std::size_t>(outcome)].fetch_add(
        1, std::memory_order_relaxed);
}

std::uint64_t Signer::counted(Outcome outcome) const noexcept {
    return whole_[static_cast<std::size_t>(outcome)].load(std::memory_order_relaxed);
}

std::uint64_t Signer::counted(Outcome outcome, DkimAlgorithm algorithm) const noexcept {
    return by_algorithm_[static_cast<std::size_t>(algorithm)][static_cast<std::size_t>(outcome)]
        .load(std::memory_order_relaxed);
}

}  // namespace postern::relay::dkim
