#include "proto/address_list.hpp"

#include <string>
#include <utility>

#include "proto/utf8.hpp"

namespace postern::proto {
namespace {

enum class Kind : unsigned char { atom, quoted, literal, special, end, bad };

struct Token {
    Kind kind = Kind::end;
    std::string_view
        text;  ///< Of a quoted string or literal with its delimiters; may hold folding.

    [[nodiscard]] bool is(char c) const noexcept { return kind == Kind::special && text[0] == c; }
    [[nodiscard]] bool word() const noexcept { return kind == Kind::atom || kind == Kind::quoted; }
};

bool is_special(char c) noexcept {
    return std::string_view("<>:;,@.()[]\\\"").find(c) != std::string_view::npos;
}

/// RFC 5322 3.2: tokens between comments and folding white space.
class Lexer {
  public:
    Lexer(std::string_view text, std::size_t comment_depth)
        : text_(text), comment_depth_(comment_depth) {}

    Token next() {
        if (!skip_space_and_comments()) return {.kind = Kind::bad, .text = {}};
        if (text_.empty()) return {};
        const char c = text_.front();
        if (c == '"') return delimited(Kind::quoted, '"');
        if (c == '[') return delimited(Kind::literal, ']');
        if (c == '\\' || c == ']' || c == ')' || is_control(c))
            return {.kind = Kind::bad, .text = {}};
        if (is_special(c)) return take(Kind::special, 1);
        std::size_t length = 1;
        while (length < text_.size() && !is_special(text_[length]) && !is_space(text_[length]) &&
               !is_control(text_[length])) {
            ++length;
        }
        return take(Kind::atom, length);
    }

  private:
    Token take(Kind kind, std::size_t length) {
        const Token token{.kind = kind, .text = text_.substr(0, length)};
        text_.remove_prefix(length);
        return token;
    }

    Token delimited(Kind kind, char close) {
        for (std::size_t i = 1; i < text_.size(); ++i) {
            if (text_[i] == close) return take(kind, i + 1);
            if (text_[i] == '\\') ++i;
            if (i < text_.size() && is_control(text_[i]) && !is_space(text_[i])) break;
        }
        return {.kind = Kind::bad, .text = {}};
    }

    bool skip_space_and_comments() {
        std::size_t depth = 0;
        while (!text_.empty()) {
            const char c = text_.front();
            if (c == '(') {
                if (++depth > comment_depth_) return false;
            } else if (depth > 0 && c == ')') {
                --depth;
            } else if (depth > 0 && c == '\\') {
                text_.remove_prefix(1);
                if (text_.empty()) return false;
            } else if (depth == 0 && !is_space(c)) {
                return true;
            }
            text_.remove_prefix(1);
        }
        return depth == 0;
    }

    std::string_view text_;
    std::size_t comment_depth_;
};

void append_unfolded(std::string_view text, std::string& out) {
    for (const char c : text) {
        if (c != '\r' && c != '\n') out += c;
    }
}

class Parser {
  public:
    Parser(std::string_view text, const AddressListBounds& bounds)
        : lexer_(text, bounds.comment_depth), most_(bounds.mailboxes) {
        advance();
    }

    bool list(std::vector<Address>& out) {
        bool in_group = false;
        while (true) {
            if (token_.is(',')) {  // Empty members: RFC 5322 4.4.
                advance();
                continue;
            }
            if (in_group && token_.is(';')) {
                in_group = false;
                advance();
                if (token_.kind != Kind::end && !token_.is(',')) return false;
                continue;
            }
            if (token_.kind == Kind::end) return !in_group;
            bool group = false;
            if (!member(out, group)) return false;
            if (group) {
                if (in_group) return false;
                in_group = true;
                continue;
            }
            if (token_.kind != Kind::end && !token_.is(',') && !(in_group && token_.is(';'))) {
                return false;
            }
        }
    }

  private:
    void advance() { token_ = lexer_.next(); }

    /// A mailbox, or `phrase:` (then `group` is set).
    bool member(std::vector<Address>& out, bool& group) {
        std::string local;  // The words so far, if they can be a local part.
        bool could_be_local = true;
        bool any = false;
        bool after_word = false;
        for (; token_.word() || token_.is('.'); advance()) {
            const bool word = token_.word();
            if (word == after_word) could_be_local = false;
            if (could_be_local) append_unfolded(token_.text, local);
            after_word = word;
            any = true;
        }
        if (token_.is(':')) {
            if (!any) return false;
            advance();
            group = true;
            return true;
        }
        if (token_.is('@')) {
            if (!any || !could_be_local || !after_word || !domain(std::move(local), out))
                return false;
            // `ann@example.net <ann@example.net>`: not RFC 5322, but often written. Readers differ
            // in which of the two they believe, so both count.
            if (!token_.is('<')) return true;
        }
        return token_.is('<') && angle(out);
    }

    bool angle(std::vector<Address>& out) {
        advance();
        if (token_.is('@') || token_.is(',')) {  // An obsolete route: RFC 5322 4.4.
            while (token_.is(',') || token_.is('@')) {
                if (token_.is('@')) {
                    std::string ignored;
                    if (!domain_text(ignored)) return false;
                } else {
                    advance();
                }
            }
            if (!token_.is(':')) return false;
            advance();
        }
        std::string local;
        bool after_word = false;
        for (; token_.word() || token_.is('.'); advance()) {
            if (token_.word() == after_word) return false;
            append_unfolded(token_.text, local);
            after_word = !after_word;
        }
        if (!after_word || !token_.is('@') || !domain(std::move(local), out)) return false;
        if (!token_.is('>')) return false;
        advance();
        return true;
    }

    /// From the `@` on.
    bool domain(std::string local, std::vector<Address>& out) {
        local += '@';
        if (!domain_text(local)) return false;
        auto address = parse_mailbox(local, true);
        if (!address || address->domain.empty() || out.size() == most_) return false;
        out.push_back(std::move(*address));
        return true;
    }

    bool domain_text(std::string& text) {
        advance();
        if (token_.kind == Kind::literal) {
            append_unfolded(token_.text, text);
            advance();
            return true;
        }
        while (true) {
            if (token_.kind != Kind::atom) return false;
            text += token_.text;
            advance();
            if (!token_.is('.')) return true;
            text += '.';
            advance();
        }
    }

    Lexer lexer_;
    Token token_;
    std::size_t most_;
};

}  // namespace

AddressList parse_address_list(std::string_view field_body, const AddressListBounds& bounds) {
    AddressList list;
    if (field_body.size() > bounds.octets) return list;
    list.valid = Parser(field_body, bounds).list(list.mailboxes);
    if (!list.valid) list.mailboxes.clear();
    return list;
}

}  // namespace postern::proto
