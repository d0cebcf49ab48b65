#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/config/config.hpp"
#include "relay/config/reading.hpp"

// How the text of a value is read. A format is a small function object: it sets `out` and is
// silent, or it adds a fault that says what is wrong and what would be right, and leaves `out`
// alone.

namespace postern::relay::config::formats {

struct Text {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// Text that says something: not empty.
struct Word {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// A file or folder; relative ones start at the configuration's folder.
struct Path {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

struct Hostname {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// A mail domain; it becomes the form in which domains are compared (A-labels).
struct Domain {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// A mail address of a person.
struct Mailbox {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// One that stands in the header of every mail: ASCII, for not all of them may carry more, and
/// without what ends a part of a field.
struct HeaderMailbox {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// The same, or "" for none.
struct HeaderMailboxOrNone {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

struct UserName {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// An upstream's name: it becomes a label.
struct Label {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

struct Flag {
    void read(Reading& r, const Node& node, const std::string& key, bool& out) const;
};

struct Count {
    std::uint32_t min = 0;
    std::uint32_t max = 0;
    void read(Reading& r, const Node& node, const std::string& key, std::uint32_t& out) const;
};

struct Number {
    double min = 0;
    double max = 0;
    void read(Reading& r, const Node& node, const std::string& key, double& out) const;
};

/// "25MiB"
struct Size {
    std::uint64_t min = 0;
    std::uint64_t max = 0;
    void read(Reading& r, const Node& node, const std::string& key, std::uint64_t& out) const;
};

/// "20s"
struct Span {
    Duration min{};
    Duration max{};
    void read(Reading& r, const Node& node, const std::string& key, Duration& out) const;
};

struct ListenOn {
    void read(Reading& r, const Node& node, const std::string& key, Listen& out) const;
};
/// "127.0.0.1:2424 lmtp"
struct IntakeOn {
    void read(Reading& r, const Node& node, const std::string& key, IntakeListen& out) const;
};
/// { rcpt = "/mail/to" }: JSON pointers (RFC 6901) by name.
struct Pointers {
    void read(Reading& r, const Node& node, const std::string& key,
              std::map<std::string, std::string>& out) const;
};
struct AdminOn {
    void read(Reading& r, const Node& node, const std::string& key, AdminListen& out) const;
};
struct Networks {
    void read(Reading& r, const Node& node, const std::string& key, Network& out) const;
};
struct Resolver {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};
struct UpstreamAddress {
    void read(Reading& r, const Node& node, const std::string& key, Address& out) const;
};
/// "sha256//BASE64": a key's SHA-256.
struct Pin {
    void read(Reading& r, const Node& node, const std::string& key, KeyPin& out) const;
};
/// The address that connections come from: an IP literal.
struct SourceAddress {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};
/// "554 5.7.1 TEXT": a reply that judges the path.
struct UpstreamReply {
    void read(Reading& r, const Node& node, const std::string& key, proto::PathReply& out) const;
};
/// A domain of senders, in any script.
struct SenderDomain {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};
struct Windows {
    void read(Reading& r, const Node& node, const std::string& key, policy::Window& out) const;
};
struct Target {
    void read(Reading& r, const Node& node, const std::string& key, LogTarget& out) const;
};
struct Mechanism {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};
/// "https://a.example/jwks", or a file.
struct KeySetAt {
    void read(Reading& r, const Node& node, const std::string& key, KeySetPlace& out) const;
};
/// Where tokens are fetched: https, or http on loopback.
struct TokenUrl {
    void read(Reading& r, const Node& node, const std::string& key, KeySetPlace& out) const;
};
/// How we log in to an upstream; becomes upper case.
struct UpstreamMechanism {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};
struct Separator {
    void read(Reading& r, const Node& node, const std::string& key, std::string& out) const;
};

/// One word of a closed set; `later` are words that only a later version knows.
template <typename E>
struct Choice {
    std::vector<std::pair<std::string_view, E>> words;
    std::vector<std::string_view> later = {};
    void read(Reading& r, const Node& node, const std::string& key, E& out) const;
};

/// A list; one string serves where a list is asked for, and the environment's text is split at
/// commas.
template <typename F>
struct ListOf {
    F item;
    std::size_t most = 64;
    template <typename T>
    void read(Reading& r, const Node& node, const std::string& key, std::vector<T>& out) const;
};

/// The node's text where it is one (of file or environment); else a fault "expected EXPECTED, not a
/// list".
[[nodiscard]] std::optional<std::string> text_of(Reading& r, const Node& node,
                                                 const std::string& key, std::string_view expected);
/// The items of a list in any of its forms; empty optional and a fault where it is none.
[[nodiscard]] std::optional<std::vector<Node>> items_of(Reading& r, const Node& node,
                                                        const std::string& key, std::size_t most);
void no_such_word(Reading& r, const Node& node, const std::string& key, std::string_view word,
                  const std::vector<std::string_view>& words,
                  const std::vector<std::string_view>& later);

template <typename E>
void Choice<E>::read(Reading& r, const Node& node, const std::string& key, E& out) const {
    std::vector<std::string_view> names;
    for (const auto& [word, value] : words) names.push_back(word);
    const auto text = text_of(r, node, key, any_of(names));
    if (!text) return;
    for (const auto& [word, value] : words) {
        if (*text == word) {
            out = value;
            return;
        }
    }
    no_such_word(r, node, key, *text, names, later);
}

template <typename F>
template <typename T>
void ListOf<F>::read(Reading& r, const Node& node, const std::string& key,
                     std::vector<T>& out) const {
    const auto items = items_of(r, node, key, most);
    if (!items) return;
    std::vector<T> read_items;
    const std::size_t faults_before = r.faults.size();
    for (const Node& one : *items) {
        T value{};
        item.read(r, one, key, value);
        read_items.push_back(std::move(value));
    }
    if (r.faults.size() == faults_before) out = std::move(read_items);
}

}  // namespace postern::relay::config::formats
