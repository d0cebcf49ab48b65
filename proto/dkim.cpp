#include "proto/dkim.hpp"

#include <algorithm>
#include <array>
#include <ranges>

#include <fmt/format.h>

#include "proto/base64.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t signed_line = 78;  // RFC 5322 2.1.1
constexpr std::size_t txt_limit = 255;   // RFC 1035 3.3

struct CoveredField {
    std::string_view name;
    /// Named once more than it stands there. Not those that mailing lists add, and break nothing
    /// by.
    bool sealed;
};

/// RFC 6376 5.4.1, and what mailbox providers ask to be signed (RFC 8058 4, Feedback-ID). From is
/// the first.
constexpr std::array<CoveredField, 24> covered_fields = {{
    {"From", true},
    {"Reply-To", true},
    {"Subject", true},
    {"Date", true},
    {"Message-ID", true},
    {"To", true},
    {"Cc", true},
    {"MIME-Version", true},
    {"Content-Type", true},
    {"Content-Transfer-Encoding", true},
    {"Content-Disposition", false},
    {"Sender", false},
    {"In-Reply-To", false},
    {"References", false},
    {"List-Id", false},
    {"List-Help", false},
    {"List-Unsubscribe", false},
    {"List-Unsubscribe-Post", false},
    {"List-Subscribe", false},
    {"List-Post", false},
    {"List-Owner", false},
    {"List-Archive", false},
    {"X-Abuse", false},
    {"Feedback-ID", false},
}};

/// The next line with those that continue it.
std::string_view take_whole_field(std::string_view& section) noexcept {
    std::size_t end = 0;
    do {
        const std::size_t lf = section.find('\n', end);
        end = lf == std::string_view::npos ? section.size() : lf + 1;
    } while (end < section.size() && (section[end] == ' ' || section[end] == '\t'));
    const std::string_view field = section.substr(0, end);
    section.remove_prefix(end);
    return field;
}

std::string_view without_space_behind(std::string_view text) noexcept {
    while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
    return text;
}

/// RFC 6376 3.4.2: unfolded, runs of white space one space, none at the ends.
void add_relaxed(std::string_view value, std::string& out) {
    const std::size_t begin = out.size();
    bool space = false;
    for (const char c : value) {
        if (is_space(c)) {
            space = true;
            continue;
        }
        if (space && out.size() > begin) out += ' ';
        space = false;
        out += c;
    }
}

}  // namespace

std::string_view name(DkimAlgorithm algorithm) noexcept {
    return algorithm == DkimAlgorithm::rsa ? "rsa" : "ed25519";
}

std::optional<DkimAlgorithm> parse_dkim_algorithm(std::string_view text) noexcept {
    for (const DkimAlgorithm one : {DkimAlgorithm::rsa, DkimAlgorithm::ed25519}) {
        if (text == name(one)) return one;
    }
    return std::nullopt;
}

std::string dkim_record_name(std::string_view selector, std::string_view domain) {
    return fmt::format("{}._domainkey.{}", selector, domain);
}

std::string dkim_record(DkimAlgorithm algorithm, std::string_view key) {
    return fmt::format("v=DKIM1; k={}; p={}", name(algorithm), base64_encode(key));
}

std::string txt_strings(std::string_view value) {
    std::string out;
    do {
        const std::string_view part = value.substr(0, txt_limit);
        value.remove_prefix(part.size());
        if (!out.empty()) out += ' ';
        out += '"';
        for (const char c : part) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    } while (!value.empty());
    return out;
}

std::optional<SignedFields> signed_fields(std::string_view section) {
    std::array<std::vector<std::string_view>, covered_fields.size()> found;
    std::size_t count = 0;
    while (!section.empty()) {
        const std::string_view field = take_whole_field(section);
        const std::size_t colon = field.find(':');
        if (colon == std::string_view::npos) continue;
        const std::string_view called = without_space_behind(field.substr(0, colon));
        const auto* const known = std::ranges::find_if(
            covered_fields,
            [&](const CoveredField& one) { return same_ignoring_case(one.name, called); });
        if (known == covered_fields.end()) continue;
        if (++count > signed_fields_limit) return std::nullopt;
        found[static_cast<std::size_t>(known - covered_fields.begin())].push_back(
            field.substr(colon + 1));
    }
    if (found.front().size() != 1) return std::nullopt;
    SignedFields out;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const std::string_view called = covered_fields[i].name;
        // RFC 6376 5.4.2: of several the last one comes first.
        for (const std::string_view value : std::views::reverse(found[i])) {
            out.names.push_back(called);
            out.canonical.append(to_lower(called)).append(":");
            add_relaxed(value, out.canonical);
            out.canonical += "\r\n";
        }
        if (covered_fields[i].sealed) out.names.push_back(called);
    }
    return out;
}

std::string unsigned_dkim_field(const DkimTags& tags) {
    std::string out = fmt::format(
        "DKIM-Signature: v=1; a={}-sha256; c=relaxed/relaxed;\r\n d={}; s={}; t={};\r\n",
        name(tags.algorithm), tags.domain, tags.selector, tags.unix_seconds);
    std::size_t line = out.size();
    out += " h=";
    bool first = true;
    for (const std::string_view one : tags.names) {
        if (!first) out += ':';
        first = false;
        if (out.size() - line + one.size() + 1 > signed_line) {
            out += "\r\n";
            line = out.size();
            out += "  ";
        }
        out += one;
    }
    out.append(";\r\n bh=").append(base64_encode(tags.body_hash)).append(";\r\n b=");
    return out;
}

std::string dkim_hash_input(const SignedFields& fields, std::string_view unsigned_field) {
    std::string out = fields.canonical;
    const std::size_t colon = unsigned_field.find(':');
    out.append(to_lower(unsigned_field.substr(0, colon))).append(":");
    add_relaxed(unsigned_field.substr(std::min(colon, unsigned_field.size() - 1) + 1), out);
    return out;
}

std::string dkim_field(std::string unsigned_field, std::string_view signature) {
    constexpr std::size_t chunk = 72;
    const std::string text = base64_encode(signature);
    for (std::size_t at = 0; at < text.size(); at += chunk) {
        if (at > 0) unsigned_field += "\r\n  ";
        unsigned_field.append(text, at, chunk);
    }
    unsigned_field += "\r\n";
    return unsigned_field;
}

}  // namespace postern::proto
