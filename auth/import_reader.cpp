#include "auth/import_reader.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "auth/digest.hpp"
#include "auth/import_parser.hpp"
#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t longest_word = 64;  ///< Of a customer's or plan's name.

struct FormatName {
    std::string_view name;
    ImportFormat format;
};
constexpr std::array<FormatName, 5> formats = {{{"csv", ImportFormat::csv},
                                                {"dovecot", ImportFormat::dovecot},
                                                {"htpasswd", ImportFormat::htpasswd},
                                                {"sasldb", ImportFormat::sasldb},
                                                {"shadow", ImportFormat::shadow}}};

bool is_word(std::string_view text) noexcept {
    return text.size() <= longest_word && std::ranges::none_of(text, [](char c) {
               return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
           });
}

std::unique_ptr<ImportParser> make_parser(ImportSink& sink, ImportFormat format) {
    switch (format) {
        case ImportFormat::csv:
            return make_csv_parser(sink);
        case ImportFormat::sasldb:
            return make_sasldb_parser(sink);
        case ImportFormat::dovecot:
        case ImportFormat::htpasswd:
        case ImportFormat::shadow:
            break;
    }
    return make_colon_parser(sink, format);
}

}  // namespace

std::optional<ImportFormat> parse_import_format(std::string_view name) noexcept {
    const auto* const at = std::ranges::find(formats, name, &FormatName::name);
    if (at == formats.end()) return std::nullopt;
    return at->format;
}

void ImportFaults::add(std::size_t line, std::string what, std::string right) {
    ++count_;
    // What concerns the store is found when the file is at its end, for lines far up.
    const auto at = std::ranges::upper_bound(kept_, line, {}, &ImportFault::line);
    if (kept_.size() == most && at == kept_.end()) return;
    kept_.insert(at, {line, std::move(what), std::move(right)});
    if (kept_.size() > most) kept_.pop_back();
}

imported<std::string> ImportSink::name_of(std::string_view text) const {
    std::string whole(text);
    const bool bare = !text.contains('@');
    if (text.empty()) return ImportWrong{"there is no name", "an address, like ann@example.net"};
    if (bare && domain_.empty()) {
        return ImportWrong{"the name is no address",
                           "an address, like ann@example.net, or --domain for the whole file"};
    }
    if (bare) whole += '@' + domain_;
    const auto name = account_name(whole);
    if (!name) return ImportWrong{"the name is no address", "an address, like ann@example.net"};
    return *name;
}

void ImportSink::account(const Record& record, imported<ImportedProof> proof) {
    const auto name = name_of(record.name);
    if (!name) faults.add(record.line, name.error());
    if (!proof) faults.add(record.line, proof.error());
    std::vector<std::string> owns = record.owns;
    if (name) owns.push_back(*name);
    auto owned = parse_owned(owns);
    if (!owned) fault(record.line, "owns something else", "addresses, domains or *");
    std::vector<std::string> authzids;
    for (const std::string& text : record.authzids) {
        const auto other = account_name(text);
        if (!other) {
            fault(record.line, "may act as something else than an account",
                  "addresses with spaces between");
            return;
        }
        authzids.push_back(*other);
    }
    if (!is_word(record.customer))
        return fault(record.line, "the customer's name is none", "at most 64 characters, no space");
    if (!is_word(record.plan))
        return fault(record.line, "the plan's name is none", "a NAME of [limits.NAME]");
    if (!name || !proof || !owned) return;
    const auto [at, fresh] = seen_.emplace(*name, record.line);
    if (!fresh) {
        return fault(record.line, fmt::format("{} is on line {} already", *name, at->second),
                     "each account once");
    }
    accounts.push_back({record.line, *name, std::string(record.customer), std::string(record.plan),
                        std::move(*owned), std::move(authzids), std::move(*proof)});
}

struct ImportReader::State {
    State(ImportFormat format, std::string domain)
        : sink(std::move(domain)), parser(make_parser(sink, format)) {}
    ~State() { wipe(partial.data(), partial.size()); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void line(std::string_view text);

    ImportSink sink;
    std::unique_ptr<ImportParser> parser;
    std::string partial;  ///< A line that has not come whole.
    bool too_long = false;
    std::size_t lines = 0;
};

/// One line that has come whole, without its LF.
void ImportReader::State::line(std::string_view text) {
    ++lines;
    if (text.ends_with('\r')) text.remove_suffix(1);
    constexpr std::string_view mark = "\xEF\xBB\xBF";  // Of a file from a spreadsheet.
    if (lines == 1 && text.starts_with(mark)) text.remove_prefix(mark.size());
    if (too_long || text.size() > longest_import_record) {
        sink.fault(lines, "the line is too long", "64 KiB at most");
        return parser->lost(lines);
    }
    if (!valid_utf8(text) || text.contains('\0')) {
        sink.fault(lines, "the line is no text", "UTF-8 without NUL");
        return parser->lost(lines);
    }
    parser->line(lines, text);
}

ImportReader::ImportReader(ImportFormat format, std::string domain)
    : state_(std::make_unique<State>(format, std::move(domain))) {}
ImportReader::~ImportReader() = default;

void ImportReader::feed(std::string_view octets) {
    State& s = *state_;
    while (!octets.empty()) {
        const std::size_t end = octets.find('\n');
        const std::string_view piece = octets.substr(0, end);
        octets.remove_prefix(end == std::string_view::npos ? octets.size() : end + 1);
        const bool whole = end != std::string_view::npos;
        // One octet more for the CR.
        s.too_long = s.too_long || s.partial.size() + piece.size() > longest_import_record + 1;
        if (!s.too_long && (!whole || !s.partial.empty())) s.partial.append(piece);
        if (!whole) continue;
        s.line(s.too_long || s.partial.empty() ? piece.substr(0, s.too_long ? 0 : piece.size())
                                               : std::string_view(s.partial));
        wipe(s.partial.data(), s.partial.size());
        s.partial.clear();
        s.too_long = false;
    }
}

void ImportReader::finish() {
    State& s = *state_;
    if (s.too_long || !s.partial.empty()) feed("\n");
    s.parser->end();
}

std::vector<ImportedAccount> ImportReader::take() {
    return std::exchange(state_->sink.accounts, {});
}

ImportFaults& ImportReader::faults() noexcept {
    return state_->sink.faults;
}

std::size_t ImportReader::lines() const noexcept {
    return state_->lines;
}

std::size_t ImportReader::passed_over() const noexcept {
    return state_->sink.passed_over;
}

}  // namespace postern::auth
