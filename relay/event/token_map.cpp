#include "relay/event/token_map.hpp"

#include <cstddef>
#include <utility>
#include <variant>

#include "proto/utf8.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/journal_lines.hpp"
#include "relay/event/journal_reader.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::event {

namespace {

constexpr std::size_t token_digits = 32;

/// That a recipient was told of: what counts once is known by it after a restart.
void append_told(std::string& out, const Event& e, const std::string& token, const std::string& ref,
                 const std::string& rcpt) {
    if (token.empty()) return;
    JsonObject line(out);
    line.time("t", e.t);
    line.field("event", event_name(e.what));
    line.field("token", token);
    line.field("ref", ref);
    line.field("rcpt", rcpt);
    line.number("seq", e.seq);
    line.end();
    out += '\n';
}

}  // namespace

std::optional<std::string> parse_token(std::string_view text) {
    if (text.size() != token_digits) return std::nullopt;
    std::string out;
    out.reserve(token_digits);
    for (const char c : text) {
        const char lower = proto::ascii_lower(c);
        const bool hex = (lower >= '0' && lower <= '9') || (lower >= 'a' && lower <= 'f');
        if (!hex) return std::nullopt;
        out += lower;
    }
    return out;
}

void append_token_line(std::string& out, const Event& e) {
    if (const auto* bounce = std::get_if<Bounce>(&e.what))
        append_told(out, e, bounce->token, bounce->ref, bounce->rcpt);
    if (const auto* complaint = std::get_if<Complaint>(&e.what))
        append_told(out, e, complaint->token, complaint->ref, complaint->rcpt);
    const auto* message = std::get_if<Message>(&e.what);
    if (message == nullptr || message->token.empty()) return;
    JsonObject line(out);
    line.time("t", e.t);
    line.field("event", event_name(e.what));
    line.field("token", message->token);
    line.field("ref", message->ref);
    line.field("account", message->account);
    line.field("customer", message->customer);
    line.field("credential", message->credential);
    line.field("source", message->source);
    line.text("mail_from", message->mail_from);
    line.field("message_id", message->message_id);
    line.texts("rcpts", message->rcpts);
    line.field("outcome", message->outcome);
    line.number("seq", e.seq);
    line.end();
    out += '\n';
}

std::optional<nlohmann::json> find_token(const std::string& folder, std::string_view token) {
    const auto wanted = parse_token(token);
    if (!wanted) return std::nullopt;
    std::optional<nlohmann::json> found;
    const auto look = [&](std::string_view line) {
        auto event = parse_journal_line(line);
        if (!event) return true;
        // A sender may write anybody's token into a Message-ID: only the field counts.
        const auto at = event->find("token");
        if (at == event->end() || !at->is_string() || at->get_ref<const std::string&>() != *wanted)
            return true;
        // What was told of it later stands there, too.
        const auto kind = event->find("event");
        if (kind == event->end() || *kind != "message") return true;
        found = std::move(event);
        return false;
    };
    const auto files = journal_files(folder);
    for (auto file = files.rbegin(); file != files.rend() && !found; ++file) {
        // One that has expired meanwhile holds nothing that is looked for.
        [[maybe_unused]] const auto read = read_lines(file->path, *wanted, look);
    }
    return found;
}

}  // namespace postern::relay::event
