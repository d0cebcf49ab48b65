#include "proto/classify.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "proto/utf8.hpp"

namespace postern::proto {
namespace {

/// What speaks of a recipient, of content or of the sender's domain, whatever else the text says:
/// the message's own.
constexpr auto of_the_message = std::to_array<std::string_view>({
    "mailbox",
    "inbox",
    "recipient's",
    "recipient has",
    "recipient address",
    "receiving mail",
    "tried to reach",
    "sender address",
    "sender domain",
    "sending domain",
    "from domain",
    "helo command",
    "spf",
    "dkim",
    "dmarc",
    "content",
    "virus",
    "malware",
    "phish",
    "attachment",
    "contains",
    " url",
    " uri",
    " link",
    "dbl.",
    "uribl",
    "surbl",
});

/// All words of one row must stand in the text (lower case); empty ones are none.
struct VerbRow {
    std::array<std::string_view, 2> words;
};

/// The upstream's own trouble: our address or our account there is blocked, our quota is spent.
constexpr auto of_the_path = std::to_array<VerbRow>({
    // our address is listed or blocked
    {{"client host", "blocked"}},
    {{"client host", "listed"}},
    {{"client host", "rejected"}},
    {{"client address", "blocked"}},
    {{"client address", "listed"}},
    {{"your ip", "block"}},
    {{"your ip", "list"}},
    {{"your ip", "denied"}},
    {{"ip address", "blocked"}},
    {{"ip address", "listed"}},
    {{"ip address", "blocklist"}},
    {{"ip address", "blacklist"}},
    {{"sending ip", "block"}},
    {{"sending ip", "list"}},
    {{"sending ip", "banned"}},
    {{"sending ip", "reputation"}},
    {{"sender ip", "block"}},
    {{"sender ip", "list"}},
    {{"from this ip", ""}},
    {{"your server", "listed"}},
    {{"your server", "blocked"}},
    {{"sending mta", "reputation"}},
    {{"blocked using", ""}},
    {{"spamhaus.org", ""}},
    {{"barracudacentral.org", ""}},
    {{"spamcop.net", ""}},
    {{"dnsbl", "block"}},
    {{"dnsbl", "list"}},
    {{"dnsbl", "reject"}},
    // our quota or rate
    {{"sending quota", ""}},
    {{"sending limit", ""}},
    {{"sending rate", ""}},
    {{"submission quota", ""}},
    {{"submissionquota", ""}},
    {{"message quota", ""}},
    {{"messaging limit", ""}},
    {{"relay limit", ""}},
    {{"daily limit", ""}},
    {{"daily", "quota"}},
    {{"hourly limit", ""}},
    {{"hourly", "quota"}},
    {{"monthly limit", ""}},
    {{"monthly", "quota"}},
    {{"outbound", "limit exceeded"}},
    {{"rate limit exceeded", ""}},
    {{"exceeded", "rate limit"}},
    {{"too many messages", ""}},
    {{"maximum credits", ""}},
    // our account
    {{"your account", "suspended"}},
    {{"your account", "disabled"}},
    {{"your account", "blocked"}},
    {{"your account", "inactive"}},
    {{"your account", "not active"}},
    {{"authentication required", ""}},
    {{"authenticate first", ""}},
    {{"auth first", ""}},
});

/// Enhanced codes that speak of one address, one mailbox or the content (RFC 3463 3.2, 3.3, 3.7),
/// with any class digit.
bool names_recipient_or_content(std::string_view enhanced) noexcept {
    constexpr auto codes = std::to_array<std::string_view>(
        {".1.1", ".1.2", ".1.3", ".1.6", ".1.10", ".2.1", ".2.2", ".2.3"});
    if (enhanced.size() < 2) return false;
    const std::string_view rest = enhanced.substr(1);
    return rest.starts_with(".6.") || std::ranges::find(codes, rest) != codes.end();
}

/// The text less what stands in <> and all words with an @: an upstream repeats the addresses of
/// the envelope, and their words are the client's choice.
std::string_view without_addresses(std::string_view text, std::span<char> room) noexcept {
    std::size_t n = 0;
    while (!text.empty()) {
        if (text.front() == '<') {
            const auto end = text.find('>');
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
            continue;
        }
        if (text.front() == ' ') {
            room[n++] = ' ';
            text.remove_prefix(1);
            continue;
        }
        const std::string_view word = text.substr(0, text.find_first_of(" <"));
        if (!word.contains('@')) {
            std::ranges::copy(word, room.begin() + static_cast<std::ptrdiff_t>(n));
            n += word.size();
        }
        text.remove_prefix(word.size());
    }
    return {room.data(), n};
}

/// A domain of the table counts where it ends there, and not as a part of a longer name.
bool says(std::string_view text, std::string_view word) noexcept {
    if (!word.contains('.')) return text.contains(word);
    const auto in_name = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    };
    for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
        std::string_view rest = text.substr(at + word.size());
        if (rest.starts_with('.')) rest.remove_prefix(1);
        if (rest.empty() || !in_name(rest.front())) return true;
    }
    return false;
}

/// Letters' case aside; `needle` as the operator wrote it.
bool holds(std::string_view lower, std::string_view needle) noexcept {
    const auto found =
        std::ranges::search(lower, needle, [](char a, char b) { return a == ascii_lower(b); });
    return !found.empty() || needle.empty();
}

bool names(const PathReply& named, const Reply& reply, std::string_view lower) noexcept {
    return named.code == reply.code &&
           (named.enhanced.empty() || named.enhanced == reply.enhanced) && holds(lower, named.text);
}

bool asks_for_login(int code) noexcept {
    return code == 530 || code == 535 || code == 538;
}

bool before_mail(UpstreamStage stage) noexcept {
    return stage <= UpstreamStage::auth;
}

bool in_transaction(UpstreamStage stage) noexcept {
    return stage >= UpstreamStage::mail && stage <= UpstreamStage::dot;
}

}  // namespace

std::string_view name(Judges judges) noexcept {
    return judges == Judges::message ? "message" : "path";
}

bool is_path_trouble(const Reply& reply, PathReplies more) noexcept {
    if (reply.code < 400) return false;
    if (asks_for_login(reply.code)) return true;
    std::array<char, 512> lower{};
    const std::string_view seen = std::string_view(reply.text).substr(0, lower.size());
    std::ranges::transform(seen, lower.begin(), ascii_lower);
    const std::string_view whole(lower.data(), seen.size());
    std::array<char, 512> own{};
    const std::string_view text = without_addresses(whole, own);
    // What the operator knows of this upstream goes before what is known of all.
    if (std::ranges::any_of(more, [&](const PathReply& one) { return names(one, reply, text); }))
        return true;
    if (names_recipient_or_content(reply.enhanced)) return false;
    const auto in_whole = [whole](std::string_view word) { return whole.contains(word); };
    if (std::ranges::any_of(of_the_message, in_whole)) return false;
    const auto has = [text](std::string_view word) { return says(text, word); };
    return std::ranges::any_of(
        of_the_path, [&](const VerbRow& row) { return std::ranges::all_of(row.words, has); });
}

bool asks_for_less(UpstreamStage stage, const Reply& reply) noexcept {
    if (reply.code == 421) return true;
    return stage != UpstreamStage::rcpt && stage != UpstreamStage::dot && reply.transient() &&
           reply.enhanced.starts_with("4.7.");
}

Judges judges(UpstreamStage stage, const Reply& reply, PathReplies more) noexcept {
    if (!in_transaction(stage) || reply.transient() || is_path_trouble(reply, more))
        return Judges::path;
    return Judges::message;
}

BreakerEffect breaker_effect(UpstreamStage stage, const Reply& reply, PathReplies more) noexcept {
    if (reply.positive() || stage == UpstreamStage::quit) return BreakerEffect::none;
    if (before_mail(stage)) {
        return reply.permanent() || is_path_trouble(reply, more) ? BreakerEffect::opens
                                                                 : BreakerEffect::counts;
    }
    if (is_path_trouble(reply, more)) return BreakerEffect::opens;
    if (!in_transaction(stage)) return BreakerEffect::counts;
    return reply.code == 421 && stage != UpstreamStage::dot ? BreakerEffect::counts
                                                            : BreakerEffect::none;
}

BreakerEffect breaker_effect(const ClientSession::Failed& failed, PathReplies more) noexcept {
    using Kind = ClientSession::Failed::Kind;
    if (failed.dot_sent) return BreakerEffect::doubt;
    switch (failed.kind) {
        case Kind::refused:
            return breaker_effect(failed.stage, failed.reply, more);
        case Kind::no_tls:
        case Kind::no_auth:
        case Kind::sasl:
            return BreakerEffect::opens;
        case Kind::eof:
        case Kind::timeout:
            return failed.stage == UpstreamStage::quit ? BreakerEffect::none
                                                       : BreakerEffect::counts;
        case Kind::protocol:
            break;
    }
    return BreakerEffect::counts;
}

}  // namespace postern::proto
