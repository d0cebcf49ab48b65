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
            const bool clean = text_[at_] == '#'    ? comment()
                               : text_[at_] == '"'  ? string('"')
                               : text_[at_] == '\'' ? string('\'')
                                                    : step();
            if (!clean) return line_;
        }
        return std::nullopt;
    }

  private:
    [[nodiscard]] bool beyond_ascii() const noexcept {
        return at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80;
    }

    bool step() noexcept {
        if (text_[at_] == '\n') ++line_;
        ++at_;
        return true;
    }

    bool comment() noexcept {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
        return true;
    }

    [[nodiscard]] bool fence(char quote) const noexcept {
        return text_.substr(at_, 3) == (quote == '"' ? R"(""")" : "'''");
    }

    bool string(char quote) noexcept {
        const bool several_lines = fence(quote);
        at_ += several_lines ? 3 : 1;
        while (at_ < text_.size()) {
            if (!several_lines && (text_[at_] == quote || text_[at_] == '\n')) {
                return step();
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
        if (!several_lines)
            return at_ >= text_.size() || beyond_ascii() || text_[at_] == '\n' || step();
        const std::size_t start = at_;
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || (text_[at_] >= '\t' && text_[at_] <= '\r')))
            step();
        if (beyond_ascii()) return false;
        return at_ >= text_.size() || at_ != start || step();
    }

    std::string_view text_;
    std::size_t at_ = 0;
    unsigned line_ = 1;
};

}  // namespace

std::optional<unsigned> line_with_stray_octet(std::string_view text) noexcept {
    return Scan(text).run();
}

}  // namespace postern::relay::config
