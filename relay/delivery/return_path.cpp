#include "relay/delivery/return_path.hpp"

#include "proto/utf8.hpp"
#include "relay/event/token_map.hpp"

namespace postern::relay {

namespace {

/// What we put on top, signatures included, is far less.
constexpr std::size_t longest_header = 65536;
constexpr std::string_view marker = "b+";

bool starts_with_folded(std::string_view text, std::string_view lower) {
    if (text.size() < lower.size()) return false;
    for (std::size_t i = 0; i < lower.size(); ++i) {
        if (proto::ascii_lower(text[i]) != lower[i]) return false;
    }
    return true;
}

}  // namespace

std::string token_in(std::span<const std::string_view> pieces) {
    std::string header;
    for (const std::string_view piece : pieces) {
        header.append(piece.substr(0, longest_header - header.size()));
        if (header.size() == longest_header || header.find("\r\n\r\n") != std::string::npos) break;
    }
    bool in_field = false;
    std::string_view rest = header;
    while (!rest.empty()) {
        const std::size_t end = rest.find("\r\n");
        const std::string_view line = rest.substr(0, end);
        if (line.empty()) break;
        if (line.front() != ' ' && line.front() != '\t')
            in_field = starts_with_folded(line, "x-abuse:");
        if (in_field) {
            constexpr std::string_view mark = "ref=";
            const std::size_t at = line.find(mark);
            if (at != std::string_view::npos) {
                if (auto token = event::parse_token(line.substr(at + mark.size()))) return *token;
            }
        }
        if (end == std::string_view::npos) break;
        rest.remove_prefix(end + 2);
    }
    return {};
}

std::optional<proto::Address> return_path_of(const config::Config& config,
                                             const proto::Envelope& envelope,
                                             std::string_view token) {
    if (config.message.return_path != config::ReturnPath::rewrite || !envelope.mail_from ||
        token.empty())
        return std::nullopt;
    return proto::Address{.local = std::string(marker) + std::string(token),
                          .domain = config.message.bounce_domain};
}

std::string token_of_return_path(std::string_view address, std::string_view bounce_domain) {
    const std::size_t at = address.rfind('@');
    if (bounce_domain.empty() || at == std::string_view::npos) return {};
    if (!starts_with_folded(address, marker)) return {};
    if (proto::normalised_domain(address.substr(at + 1)) != bounce_domain) return {};
    return event::parse_token(address.substr(marker.size(), at - marker.size()))
        .value_or(std::string());
}

}  // namespace postern::relay
