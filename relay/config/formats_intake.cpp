// Where reports on mail come in.
#include <fmt/format.h>

#include <algorithm>

#include "relay/config/formats.hpp"
#include "relay/config/names.hpp"
#include "relay/intake/webhook_map.hpp"

namespace postern::relay::config::formats {
namespace {

constexpr std::string_view intake_example =
    "write one like \"127.0.0.1:2424 lmtp\", \"127.0.0.1:2525 smtp\", \"127.0.0.1:8090 http\" or "
    "\"0.0.0.0:8443 http tls\"";

/// The words behind the place, one space between them.
std::optional<IntakeSpeech> speech_of(std::string_view text) {
    std::string words;
    for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
        const std::string_view word = text.substr(0, text.find_first_of(" \t"));
        if (!words.empty()) words += ' ';
        words += word;
        text.remove_prefix(word.size());
    }
    if (words == "lmtp") return IntakeSpeech::lmtp;
    if (words == "smtp") return IntakeSpeech::smtp;
    if (words == "http") return IntakeSpeech::http;
    if (words == "http tls") return IntakeSpeech::https;
    return std::nullopt;
}

}  // namespace

void IntakeOn::read(Reading& r, const Node& node, const std::string& key, IntakeListen& out) const {
    const auto text = text_of(r, node, key, "a listener like \"127.0.0.1:2424 lmtp\"");
    if (!text) return;
    const std::string_view whole = trimmed(*text);
    const std::string_view first = whole.substr(0, whole.find_first_of(" \t"));
    const auto place = parse_host_port(first);
    if (!place || !place->literal || !place->port) {
        r.fault(node.where, key,
                fmt::format("{} is no address and port; {}", in_quotes(*text), intake_example));
        return;
    }
    const auto speech = speech_of(whole.substr(first.size()));
    if (!speech) {
        r.fault(node.where, key,
                fmt::format("{} says neither lmtp, smtp, http nor http tls; {}", in_quotes(*text),
                            intake_example));
        return;
    }
    out = {place->host, *place->port, *speech};
}

void Pointers::read(Reading& r, const Node& node, const std::string& key,
                    std::map<std::string, std::string>& out) const {
    constexpr std::size_t most = 64;
    if (node.kind != Node::Kind::table) {
        r.wrong_kind(node, key, "a table like { rcpt = \"/mail/to\" }");
        return;
    }
    std::map<std::string, std::string> made;
    intake::WebhookMap map;
    const auto take = [&](const Node& value, const std::string& name) {
        const std::string full = fmt::format("{}.{}", key, name);
        const auto text = text_of(r, value, full, "a JSON pointer like \"/mail/to\"");
        if (!text) return;
        if (const std::string wrong = intake::set(map, name, *text); !wrong.empty()) {
            r.fault(value.where, full, wrong);
        } else if (!intake::validate(map).empty()) {
            r.fault(value.where, full,
                    fmt::format("{} is no JSON pointer; write one like \"/mail/to\"",
                                in_quotes(*text)));
            map = {};
        } else {
            made.emplace(name, *text);
        }
    };
    for (const auto& [name, value] : node.fields) {
        if (name == "kinds" && value.kind == Node::Kind::table) {
            for (const auto& [said, meant] : value.fields) take(meant, "kinds." + said);
        } else {
            take(value, name);
        }
    }
    if (made.size() > most) {
        r.fault(node.where, key, fmt::format("at most {} entries", most));
        return;
    }
    out = std::move(made);
}

}  // namespace postern::relay::config::formats
