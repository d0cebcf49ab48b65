#include "relay/intake/attribution.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "proto/address.hpp"
#include "proto/ref.hpp"
#include "proto/utf8.hpp"

namespace postern::relay::intake {

namespace {

WordKind kind_of(proto::ReportAction action) {
    switch (action) {
        case proto::ReportAction::failed:
            return WordKind::bounce;
        case proto::ReportAction::delayed:
            return WordKind::deferral;
        case proto::ReportAction::delivered:
        case proto::ReportAction::relayed:
        case proto::ReportAction::expanded:
            break;
    }
    return WordKind::delivery;
}

/// Feedback types (RFC 5965 7.3, 6430, 6591) that call nothing abuse.
bool is_no_complaint(std::string_view feedback_type) {
    static constexpr std::array<std::string_view, 3> harmless{"not-spam", "auth-failure", "dkim"};
    return std::ranges::find(harmless, feedback_type) != harmless.end();
}

bool counts(WordKind kind) {
    return kind == WordKind::bounce || kind == WordKind::complaint;
}

/// Of a word in memory, and how bad it is.
int rank(Taken taken) {
    switch (taken) {
        case Taken::counted:
            return 0;
        case Taken::duplicate:
            return 1;
        case Taken::passed:
            return 2;
        case Taken::unknown:
            return 3;
        case Taken::unreadable:
            return 4;
        case Taken::overloaded:
            break;
    }
    return 5;
}

}  // namespace

std::vector<Saying> sayings_of(const proto::Report& report) {
    std::vector<Saying> out;
    if (report.kind == proto::ReportKind::delivery) {
        for (const proto::ReportedRecipient& one : report.recipients) {
            Saying saying{.kind = kind_of(one.action),
                          .via = Via::dsn,
                          .enhanced = one.status,
                          .text = one.diagnostic};
            saying.rcpts.push_back(one.rcpt);
            if (!one.final_rcpt.empty()) saying.rcpts.push_back(one.final_rcpt);
            out.push_back(std::move(saying));
        }
        if (out.empty()) out.push_back({.kind = WordKind::bounce, .via = Via::dsn});
    } else if (report.kind == proto::ReportKind::feedback) {
        const bool harmless = is_no_complaint(report.feedback_type);
        const Saying saying{
            .kind = harmless ? WordKind::other : WordKind::complaint,
            .via = Via::arf,
            .detail = report.feedback_type.empty() ? "abuse" : report.feedback_type};
        for (const std::string& rcpt : report.original_rcpts) {
            out.push_back(saying);
            out.back().rcpts = {rcpt};
        }
        if (out.empty()) {
            out.push_back(saying);
            out.back().rcpts = report.returned_to;
            out.back().among = !report.returned_to.empty();
        }
    }
    return out;
}

Saying saying_of(const Word& word) {
    Saying out{.kind = word.kind,
               .via = word.via,
               .enhanced = word.enhanced,
               .text = word.text,
               .detail = word.detail};
    if (!word.rcpt.empty()) out.rcpts.push_back(word.rcpt);
    if (word.kind == WordKind::complaint && out.detail.empty()) out.detail = "abuse";
    return out;
}

Finding attribute(const Saying& saying, const event::MappedMessage& message) {
    // Where nobody is named who can be told apart, the only recipient is meant.
    const bool only = message.rcpts.size() == 1 && (saying.rcpts.empty() || saying.among);
    std::string meant = only ? message.rcpts.front() : std::string();
    std::size_t matches = only ? 1 : 0;
    for (const std::string& named : saying.rcpts) {
        if (only) break;
        const std::string wanted = proto::normalised_address(named);
        const auto found = std::ranges::find_if(message.rcpts, [&](const std::string& rcpt) {
            return proto::normalised_address(rcpt) == wanted;
        });
        if (found == message.rcpts.end() || *found == meant) continue;
        if (matches == 0) meant = *found;
        ++matches;
        if (!saying.among) break;
    }
    if (matches != 1) return {.taken = Taken::unknown, .rcpt = {}};
    if (!counts(saying.kind)) return {.taken = Taken::passed, .rcpt = {}};
    return {.taken = Taken::counted, .rcpt = std::move(meant)};
}

bool was_told(const event::MappedMessage& message, WordKind kind, std::string_view rcpt) {
    return std::ranges::any_of(message.told, [&](const event::MappedMessage::Told& told) {
        return told.event == name(kind) && told.rcpt == rcpt;
    });
}

Taken worse(Taken a, Taken b) noexcept {
    return rank(a) < rank(b) ? b : a;
}

bool is_own_message_id(std::string_view id, std::string_view hostname) {
    if (!id.starts_with('<') || !id.ends_with('>')) return false;
    id = id.substr(1, id.size() - 2);
    const auto at = id.find('@');
    return at != std::string_view::npos && proto::parse_ref(id.substr(0, at)) &&
           proto::same_ignoring_case(id.substr(at + 1), hostname);
}

bool Once::add(std::string_view token, WordKind kind, std::string_view rcpt) {
    std::string key(token);
    key += static_cast<char>('0' + static_cast<int>(kind));
    key += rcpt;
    if (!known_.insert(key).second) return false;
    order_.push_back(std::move(key));
    if (order_.size() > most_) {
        known_.erase(order_.front());
        order_.pop_front();
    }
    return true;
}

bool ForwardLimit::take(std::string_view token, std::size_t recipients) {
    const auto [at, is_new] = taken_.try_emplace(std::string(token), 0);
    if (!is_new && at->second >= recipients + beyond_recipients) return false;
    ++at->second;
    if (is_new) order_.emplace_back(token);
    if (order_.size() > most_) {
        taken_.erase(order_.front());
        order_.pop_front();
    }
    return true;
}

}  // namespace postern::relay::intake
