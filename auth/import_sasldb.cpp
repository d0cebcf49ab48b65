// What db_dump (with -p or without) writes of a sasldb2: a header, then pairs of lines, key and
// value, each behind a space. A key is NAME, NUL, REALM, NUL, PROPERTY; the value of the property
// userPassword is the password as it is typed.
#include <optional>

#include <fmt/format.h>

#include "auth/digest.hpp"
#include "auth/import_parser.hpp"

namespace postern::auth {
namespace {

std::optional<unsigned> hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    return std::nullopt;
}

std::optional<char> hex_octet(std::string_view text) noexcept {
    if (text.size() < 2) return std::nullopt;
    const auto high = hex_digit(text[0]);
    const auto low = hex_digit(text[1]);
    if (!high || !low) return std::nullopt;
    return static_cast<char>(*high << 4U | *low);
}

/// `format=bytevalue`: all octets in hex.
std::optional<std::string> from_bytes(std::string_view text) {
    std::string out;
    for (; !text.empty(); text.remove_prefix(2)) {
        const auto octet = hex_octet(text);
        if (!octet) return std::nullopt;
        out += *octet;
    }
    return out;
}

/// `format=print`: `\\` and `\xx` beside what prints.
std::optional<std::string> from_print(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        if (text.front() != '\\') {
            out += text.front();
            text.remove_prefix(1);
        } else if (text.starts_with("\\\\")) {
            out += '\\';
            text.remove_prefix(2);
        } else {
            const auto octet = hex_octet(text.substr(1));
            if (!octet) return std::nullopt;
            out += *octet;
            text.remove_prefix(3);
        }
    }
    return out;
}

class SasldbParser final : public ImportParser {
  public:
    using ImportParser::ImportParser;
    ~SasldbParser() override = default;

    void line(std::size_t number, std::string_view text) override {
        switch (at_) {
            case At::header:
                return header(number, text);
            case At::key:
                if (text == "DATA=END") {
                    at_ = At::end;
                    return;
                }
                key_line_ = number;
                key_ = decoded(number, text);
                at_ = At::value;
                return;
            case At::value: {
                std::optional<std::string> value = decoded(number, text);
                if (key_ && value) entry(*value);
                if (value) wipe(value->data(), value->size());
                at_ = At::key;
                return;
            }
            case At::end:
                // db_dump -l or a further database: nothing of sasldb2's.
                if (text.empty()) return;
                sink_.fault(number, "something follows DATA=END", "the dump of one database");
                at_ = At::nothing;
                return;
            case At::nothing:
                return;
        }
    }

    void lost(std::size_t) override {
        if (at_ == At::key) {
            key_.reset();
            at_ = At::value;
        } else if (at_ == At::value) {
            at_ = At::key;
        }
    }

    void end() override {
        if (at_ == At::end || at_ == At::nothing) return;
        sink_.fault(
            key_line_,
            at_ == At::header ? "this is no dump of a database" : "the dump has no end (DATA=END)",
            "the whole of what db_dump -p /etc/sasldb2 prints");
    }

  private:
    enum class At : std::uint8_t { header, key, value, end, nothing };

    void header(std::size_t number, std::string_view text) {
        if (text == "HEADER=END") {
            at_ = At::key;
        } else if (text == "format=print") {
            print_ = true;
        } else if (text == "format=bytevalue") {
            print_ = false;
        } else if (!text.contains('=')) {
            sink_.fault(number, "this is no dump of a database",
                        "the whole of what db_dump -p /etc/sasldb2 prints");
            at_ = At::nothing;
        }
    }

    std::optional<std::string> decoded(std::size_t number, std::string_view text) {
        std::optional<std::string> out;
        if (text.starts_with(' '))
            out = print_ ? from_print(text.substr(1)) : from_bytes(text.substr(1));
        if (!out)
            sink_.fault(number, "the line of the dump is damaged",
                        "a space and what db_dump wrote");
        return out;
    }

    void entry(std::string_view password) {
        const std::string_view key = *key_;
        const std::size_t first = key.find('\0');
        const std::size_t second =
            first == std::string_view::npos ? first : key.find('\0', first + 1);
        if (second == std::string_view::npos) {
            return sink_.fault(key_line_, "the key is none of sasldb2",
                               "NAME, \\00, REALM, \\00, userPassword");
        }
        if (key.substr(second + 1) != "userPassword") {
            ++sink_.passed_over;  // Of mechanisms that store something of their own.
            return;
        }
        const std::string_view realm = key.substr(first + 1, second - first - 1);
        std::string name(key.substr(0, first));
        // A realm without a dot is a machine's name, and --domain says what it stands for.
        if (!name.contains('@') && realm.contains('.')) name.append("@").append(realm);
        ImportSink::Record record;
        record.line = key_line_;
        record.name = name;
        sink_.account(record, read_cleartext(password));
    }

    At at_ = At::header;
    bool print_ = false;
    std::size_t key_line_ = 1;
    std::optional<std::string> key_;
};

}  // namespace

std::unique_ptr<ImportParser> make_sasldb_parser(ImportSink& sink) {
    return std::make_unique<SasldbParser>(sink);
}

}  // namespace postern::auth
