#include "relay/config/toml_scan.hpp"

namespace postern::relay::config {
namespace {

/// Follows strings and comments, no more of TOML: where a text is wrong otherwise, the parser stops
/// there by itself.
class Scan {
  public:
    explicit Scan(std::string_view text) noexcept : text_(text) {}

    std::optional<unsigned> run() noexcept {
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        if (text_.starts_with(byte_order_mark)) at_ = byte_order_mark.size();
        while (at_ < text_.size()) {
            if (beyond_ascii()) return line_;
            const char c = text_[at_];
            const bool quote = c == '"' || c == '\'';
            if (quote && !may_begin()) broken_ = true;
            if (c != ' ' && c != '\t' && c != '\r') before_ = c;
            bool clean = true;
            if (broken_) {
                step();
            } else if (c == '#') {
                comment();
            } else if (quote) {
                clean = string(c);
            } else {
                step();
            }
            if (!clean) return line_;
        }
        return std::nullopt;
    }

  private:
    [[nodiscard]] bool beyond_ascii() const noexcept {
        return at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80;
    }

    void step() noexcept {
        if (text_[at_] == '\n') ++line_;
        ++at_;
    }

    void comment() noexcept {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    }

    /// Whether a string may stand here: at the begin of a line, or behind what separates keys and
    /// values.
    [[nodiscard]] bool may_begin() const noexcept {
        constexpr std::string_view separators = "\n=[,{.";
        return separators.find(before_) != std::string_view::npos;
    }

    [[nodiscard]] bool fence(char quote) const noexcept {
        return text_.substr(at_, 3) == (quote == '"' ? R"(""")" : "'''");
    }

    /// False: a stray octet in it.
    bool string(char quote) noexcept {
        const bool several_lines = fence(quote);
        at_ += several_lines ? 3 : 1;
        while (at_ < text_.size()) {
            if (!several_lines && (text_[at_] == quote || text_[at_] == '\n')) {
                step();
                return true;
            }
            if (several_lines && fence(quote)) {
                at_ += 3;
                // Up to two quotes may stand before the fence.
                for (int extra = 0; extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra)
                    ++at_;
                return true;
            }
            if (quote == '"' && text_[at_] == '\\') {
                if (!escape(several_lines)) return false;
            } else {
                step();
            }
        }
        return true;
    }

    /// False: a stray octet behind it.
    bool escape(bool several_lines) noexcept {
        ++at_;
        const std::size_t start = at_;
        while (several_lines && at_ < text_.size() && is_space(text_[at_])) step();
        if (several_lines && beyond_ascii()) return false;
        const bool line_ends = !several_lines && at_ < text_.size() && text_[at_] == '\n';
        if (at_ == start && at_ < text_.size() && !line_ends) step();
        return true;
    }

    [[nodiscard]] static bool is_space(char c) noexcept {
        return c == ' ' || (c >= '\t' && c <= '\r');
    }

    std::string_view text_;
    std::size_t at_ = 0;
    char before_ = '\n';  // The last octet outside of strings that is no white space.
    bool broken_ = false;
    unsigned line_ = 1;
};

}  // namespace

std::optional<unsigned> line_with_stray_octet(std::string_view text) noexcept {
    return Scan(text).run();
}

}  // namespace postern::relay::config
