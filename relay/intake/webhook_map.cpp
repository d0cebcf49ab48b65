#include "relay/intake/webhook_map.hpp"

#include <algorithm>
#include <array>

#include "proto/utf8.hpp"
#include "relay/intake/webhook_json.hpp"
#include "relay/intake/webhook_kinds.hpp"

namespace postern::relay::intake {
namespace {

constexpr std::size_t max_pointer = 256;  ///< Octets.
constexpr std::size_t max_kinds = 64;

struct FormatName {
    std::string_view name;
    WebhookFormat format;
};
constexpr auto format_names = std::to_array<FormatName>({
    {"ses", WebhookFormat::ses},
    {"mailgun", WebhookFormat::mailgun},
    {"sendgrid", WebhookFormat::sendgrid},
    {"postmark", WebhookFormat::postmark},
    {"custom", WebhookFormat::custom},
});

struct PointerName {
    std::string_view name;
    std::string WebhookMap::* member;
};
constexpr auto pointer_names = std::to_array<PointerName>({
    {"events", &WebhookMap::events},
    {"kind", &WebhookMap::kind},
    {"rcpt", &WebhookMap::rcpt},
    {"message_id", &WebhookMap::message_id},
    {"token", &WebhookMap::token},
    {"enhanced", &WebhookMap::enhanced},
    {"text", &WebhookMap::text},
    {"detail", &WebhookMap::detail},
});

constexpr std::string_view kind_key = "kinds.";

WordKind mapped_kind(const WebhookMap& map, std::string_view value) {
    if (map.kinds.empty()) return kind_of(WebhookFormat::custom, value, {});
    const auto row = std::ranges::find_if(map.kinds, [value](const auto& one) {
        return proto::same_ignoring_case(one.first, value);
    });
    return row == map.kinds.end() ? WordKind::other : row->second;
}

/// What the pointer names; nothing without a pointer: the empty one would name the whole event.
std::string mapped(const Json& event, const std::string& pointer) {
    return pointer.empty() ? std::string() : text_at(event, pointer);
}

void read_mapped(const Json& event, const WebhookMap& map, WordList& words) {
    Word word;
    word.kind = map.kind.empty() ? WordKind::bounce : mapped_kind(map, mapped(event, map.kind));
    word.message_id = mapped(event, map.message_id);
    word.token = mapped(event, map.token);
    word.enhanced = mapped(event, map.enhanced);
    word.text = mapped(event, map.text);
    word.detail = mapped(event, map.detail);
    const bool needs_rcpt = !map.rcpt.empty() && word.kind != WordKind::other;
    const Json* const rcpts = map.rcpt.empty() ? nullptr : at_pointer(event, map.rcpt);
    if (rcpts == nullptr || !rcpts->is_array()) {
        word.rcpt = mapped(event, map.rcpt);
        return words.add(std::move(word), needs_rcpt);
    }
    for (const Json& rcpt : *rcpts) {
        Word one = word;
        one.rcpt = text_at(rcpt, "");
        words.add(std::move(one), true);
    }
}

bool read_custom(const Json& document, const WebhookMap& map, WebhookCall& call) {
    const Json* const events = at_pointer(document, map.events);
    if (events == nullptr) return false;
    WordList words(call);
    if (!events->is_array()) {
        read_mapped(*events, map, words);
        return true;
    }
    for (const Json& event : *events) read_mapped(event, map, words);
    return true;
}

}  // namespace

std::string_view name(WebhookFormat format) noexcept {
    return std::ranges::find(format_names, format, &FormatName::format)->name;
}

std::optional<WebhookFormat> webhook_format(std::string_view name) noexcept {
    const auto row = std::ranges::find(format_names, name, &FormatName::name);
    if (row == format_names.end() || row->format == WebhookFormat::custom) return std::nullopt;
    return row->format;
}

std::string set(WebhookMap& map, std::string_view key, std::string_view value) {
    if (key.starts_with(kind_key)) {
        const std::string_view said = key.substr(kind_key.size());
        const auto kind = word_kind(value);
        if (said.empty())
            return "kinds names what the service says, as kinds = { \"x\" = \"bounce\" }";
        if (!kind)
            return std::string(key) + " is one of bounce, deferral, delivery, complaint, other";
        if (map.kinds.size() >= max_kinds) return "kinds names at most 64 values";
        map.kinds.emplace_back(said, *kind);
        return {};
    }
    const auto row = std::ranges::find(pointer_names, key, &PointerName::name);
    if (row == pointer_names.end())
        return std::string(key) +
               " is none of events, kind, kinds, rcpt, message_id, token, enhanced, text, detail";
    map.*(row->member) = std::string(value);
    return {};
}

std::string validate(const WebhookMap& map) {
    for (const auto& [name, member] : pointer_names) {
        const std::string& pointer = map.*member;
        if (pointer.size() > max_pointer || !is_pointer(pointer))
            return std::string(name) + " is a JSON pointer of at most 256 octets, as \"/mail/to\"";
    }
    return {};
}

boost::system::result<WebhookMap, std::string> make_map(
    const std::map<std::string, std::string>& keys) {
    WebhookMap map;
    std::string wrong;
    for (const auto& [key, value] : keys) {
        if (wrong.empty()) wrong = set(map, key, value);
    }
    if (wrong.empty()) wrong = validate(map);
    // Said in full: a map could be made of a text, too.
    if (!wrong.empty()) return {boost::system::in_place_error, std::move(wrong)};
    return map;
}

boost::system::result<WebhookCall, std::string> read_webhook(WebhookFormat format,
                                                             const WebhookMap& map,
                                                             std::string_view json) {
    if (json.size() > max_webhook_octets) return std::string("more than 1 MiB");
    const std::optional<Json> document = parse_webhook(json);
    if (!document)
        return std::string(
            "no JSON, or deeper than 24, of more than 65536 values, or with a member named twice");
    WebhookCall call;
    bool known = false;
    switch (format) {
        case WebhookFormat::ses:
            known = read_ses(*document, call);
            break;
        case WebhookFormat::mailgun:
            known = read_mailgun(*document, call);
            break;
        case WebhookFormat::sendgrid:
            known = read_sendgrid(*document, call);
            break;
        case WebhookFormat::postmark:
            known = read_postmark(*document, call);
            break;
        case WebhookFormat::custom:
            known = read_custom(*document, map, call);
            break;
    }
    if (!known) return "not in the form of " + std::string(name(format));
    return call;
}

}  // namespace postern::relay::intake
