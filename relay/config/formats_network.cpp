// Values that name a place: listeners, networks, resolvers, the log.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "relay/config/formats.hpp"
#include "relay/config/mechanisms.hpp"
#include "relay/config/names.hpp"

namespace postern::relay::config::formats {
namespace {

constexpr std::string_view listen_example =
    "write one like \"[::]:587 starttls\" or \"0.0.0.0:465 tls\"";

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    while (!(text = trimmed(text)).empty()) {
        const auto space = text.find_first_of(" \t");
        words.push_back(text.substr(0, space));
        text.remove_prefix(words.back().size());
    }
    return words;
}

constexpr std::string_view listen_words = "starttls, tls, proxy, devices, name=N, mechanisms=A+B";

/// "PLAIN+LOGIN"
std::string apply_mechanisms(std::string_view list, Listen& listen) {
    for (;;) {
        const auto plus = list.find('+');
        const std::string_view one = list.substr(0, plus);
        std::string name;
        if (const std::string wrong = read_mechanism(one, name); !wrong.empty())
            return fmt::format("names {}, which {}", in_quotes(one), wrong);
        if (std::ranges::find(listen.mechanisms, name) == listen.mechanisms.end())
            listen.mechanisms.push_back(std::move(name));
        if (plus == std::string_view::npos) return "";
        list.remove_prefix(plus + 1);
    }
}

/// The word's fault, or empty.
std::string apply_word(std::string_view word, Listen& listen, bool& security_given) {
    if (word == "starttls" || word == "tls") {
        if (security_given) return "has both starttls and tls; write one of them";
        security_given = true;
        listen.tls = word == "tls" ? ListenTls::implicit : ListenTls::starttls;
        return "";
    }
    if (word == "proxy") {
        listen.proxy = true;
        return "";
    }
    if (word == "devices") {
        listen.devices = true;
        return "";
    }
    if (word.starts_with("name=")) {
        listen.name = word.substr(5);
        if (is_label(listen.name)) return "";
        return fmt::format(
            "{} is no name; use up to 64 letters, digits, dots, dashes and underscores",
            in_quotes(listen.name));
    }
    if (word.starts_with("mechanisms=")) return apply_mechanisms(word.substr(11), listen);
    return fmt::format("does not know the word {}; the words are {}", in_quotes(word),
                       listen_words);
}

}  // namespace

void ListenOn::read(Reading& r, const Node& node, const std::string& key, Listen& out) const {
    const auto text = text_of(r, node, key, "a listener like \"[::]:587 starttls\"");
    if (!text) return;
    const auto words = words_of(*text);
    const auto place = words.empty() ? std::nullopt : parse_host_port(words.front());
    if (!place || !place->literal || !place->port) {
        r.fault(node.where, key,
                fmt::format("{} is no address and port; {}", in_quotes(*text), listen_example));
        return;
    }
    Listen listen;
    listen.address = place->host;
    listen.port = *place->port;
    bool security_given = false;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string wrong = apply_word(words[i], listen, security_given);
        if (!wrong.empty()) {
            r.fault(node.where, key, fmt::format("{} {}", in_quotes(*text), wrong));
            return;
        }
    }
    if (!security_given) {
        r.fault(
            node.where, key,
            fmt::format("{} says neither starttls nor tls; {}", in_quotes(*text), listen_example));
        return;
    }
    if (listen.name.empty()) listen.name = std::to_string(listen.port);
    out = std::move(listen);
}

void AdminOn::read(Reading& r, const Node& node, const std::string& key, AdminListen& out) const {
    constexpr std::size_t longest_path = 107;  // sun_path
    const auto text = text_of(r, node, key, "\"unix:/PATH\" or an address and port");
    if (!text) return;
    if (text->starts_with("unix:")) {
        const std::string path = text->size() > 5 ? r.absolute(node, text->substr(5)) : "";
        if (path.empty() || path.size() > longest_path) {
            r.fault(node.where, key,
                    fmt::format("{} is no path of a socket; write one like "
                                "\"unix:/run/postern/admin.sock\" (at most "
                                "{} octets)",
                                in_quotes(*text), longest_path));
            return;
        }
        out = {path, "", 0};
        return;
    }
    const auto place = parse_host_port(*text);
    if (!place || !place->literal || !place->port) {
        r.fault(node.where, key,
                fmt::format("{} is no address and port; write one like \"127.0.0.1:8025\" or "
                            "\"unix:/run/postern/admin.sock\"",
                            in_quotes(*text)));
        return;
    }
    out = {"", place->host, *place->port};
}

void Networks::read(Reading& r, const Node& node, const std::string& key, Network& out) const {
    const auto text = text_of(r, node, key, "a network like \"192.0.2.0/24\"");
    if (!text) return;
    const auto network = Network::parse(*text);
    if (!network) {
        r.fault(node.where, key,
                fmt::format("{} is no network; write one like \"192.0.2.0/24\", \"2001:db8::/32\" "
                            "or \"192.0.2.7\" (no "
                            "bits set behind the slash's count)",
                            in_quotes(*text)));
        return;
    }
    out = *network;
}

void Resolver::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "the address of a resolver");
    if (!text) return;
    const auto place = parse_host_port(*text);
    if (!place || !place->literal) {
        r.fault(node.where, key,
                fmt::format("{} is no address of a resolver; write one like \"192.0.2.53\" or "
                            "\"[2001:db8::53]:5353\"",
                            in_quotes(*text)));
        return;
    }
    const bool six = place->host.find(':') != std::string::npos;
    out = place->host;
    if (place->port)
        out = fmt::format("{}{}{}:{}", six ? "[" : "", place->host, six ? "]" : "", *place->port);
}

void Windows::read(Reading& r, const Node& node, const std::string& key,
                   policy::Window& out) const {
    const auto text = text_of(r, node, key, "a window like \"60/min\"");
    if (!text) return;
    const auto window = policy::parse_window(*text);
    if (!window) {
        r.fault(
            node.where, key,
            fmt::format("{} is no window; write one like \"60/min\", \"9/10min\" or \"5000/day\"",
                        in_quotes(*text)));
        return;
    }
    out = *window;
}

void Target::read(Reading& r, const Node& node, const std::string& key, LogTarget& out) const {
    const auto text = text_of(r, node, key, "\"stdout\", \"journald\" or \"file:/PATH\"");
    if (!text) return;
    if (*text == "stdout") {
        out = {LogKind::standard_output, ""};
    } else if (*text == "journald") {
        out = {LogKind::journald, ""};
    } else if (text->starts_with("file:") && text->size() > 5) {
        out = {LogKind::file, r.absolute(node, text->substr(5))};
    } else {
        r.fault(
            node.where, key,
            fmt::format("{} is not \"stdout\", \"journald\" or \"file:/PATH\"", in_quotes(*text)));
    }
}

void Mechanism::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "a mechanism like \"PLAIN\"");
    if (!text) return;
    if (const std::string wrong = read_mechanism(*text, out); !wrong.empty())
        r.fault(node.where, key, fmt::format("{} {}", in_quotes(*text), wrong));
}

void Separator::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    // What stands in no domain and no address literal.
    constexpr std::string_view known = "+#/%=~!|";
    auto text = text_of(r, node, key, "one character, like \"+\"");
    if (!text) return;
    if (text->size() != 1 || !known.contains(text->front())) {
        r.fault(node.where, key, fmt::format("must be one character of {}", known));
        return;
    }
    out = std::move(*text);
}

}  // namespace postern::relay::config::formats
