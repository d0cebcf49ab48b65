// CSV as RFC 4180 has it, read strictly: a header line names the columns.
#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "auth/digest.hpp"
#include "auth/import_parser.hpp"

namespace postern::auth {
namespace {

enum class Column : std::uint8_t { account, password, hash, customer, plan, owns, authzids };
struct ColumnName {
    std::string_view name;
    Column column;
};
constexpr std::array<ColumnName, 7> columns = {{{"account", Column::account},
                                                {"password", Column::password},
                                                {"hash", Column::hash},
                                                {"customer", Column::customer},
                                                {"plan", Column::plan},
                                                {"owns", Column::owns},
                                                {"authzids", Column::authzids}}};
constexpr std::string_view column_names =
    "account, and password or hash; beside them customer, plan, owns, authzids; commas between";

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> out;
    while (!(text = trimmed(text)).empty()) {
        const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
        out.emplace_back(text.substr(0, end));
        text.remove_prefix(end);
    }
    return out;
}

/// As other files write a hash or a lock: taken as a password it would open the account to whoever
/// reads it.
bool looks_like_hash(std::string_view text) noexcept {
    if (text == "!" || text == "!!" || text == "*") return true;
    if (text.starts_with('{')) return text.find('}') != std::string_view::npos;
    return text.starts_with('$') && text.find('$', 1) != std::string_view::npos;
}

/// The fields of a whole record; unset: its quotes are not as RFC 4180 2 has them.
std::optional<std::vector<std::string>> split(std::string_view record) {
    std::vector<std::string> fields;
    for (;;) {
        std::string field;
        if (record.starts_with('"')) {
            record.remove_prefix(1);
            for (;;) {
                const std::size_t quote = record.find('"');
                if (quote == std::string_view::npos) return std::nullopt;
                field.append(record.substr(0, quote));
                record.remove_prefix(quote + 1);
                if (!record.starts_with('"')) break;
                field += '"';
                record.remove_prefix(1);
            }
            if (!record.empty() && record.front() != ',') return std::nullopt;
        } else {
            const std::size_t end = std::min(record.find(','), record.size());
            field = record.substr(0, end);
            if (field.contains('"')) return std::nullopt;
            record.remove_prefix(end);
        }
        fields.push_back(std::move(field));
        if (record.empty()) return fields;
        record.remove_prefix(1);
    }
}

class CsvParser final : public ImportParser {
  public:
    using ImportParser::ImportParser;
    ~CsvParser() override { drop(); }

    void line(std::size_t number, std::string_view text) override {
        if (given_up_) return;
        if (record_.empty()) begun_ = number;
        // A quoted field may hold line ends.
        if (!record_.empty()) record_ += '\n';
        record_ += text;
        open_ = open_ != (std::ranges::count(text, '"') % 2 == 1);
        if (open_ && record_.size() <= longest_import_record) return;
        if (open_ || record_.size() > longest_import_record) {
            sink_.fault(begun_, "a quoted field has no end within 64 KiB", "a closing quote");
            given_up_ = true;
            open_ = false;
            return drop();
        }
        record();
        drop();
    }

    void lost(std::size_t) override {
        open_ = false;
        drop();
    }

    void end() override {
        if (open_) sink_.fault(begun_, "a quoted field has no end", "a closing quote");
        if (order_.empty() && !given_up_)
            sink_.fault(1, "there is no header line", std::string(column_names));
        drop();
    }

  private:
    void record() {
        if (trimmed(record_).empty()) return;
        auto fields = split(record_);
        if (!fields) {
            sink_.fault(begun_, "the quotes are not right",
                        "a field in quotes whole, with each quote in it doubled");
            // Without columns nothing that follows can be told.
            given_up_ = order_.empty();
            return;
        }
        order_.empty() ? header(*fields) : row(*fields);
        for (std::string& field : *fields) wipe(field.data(), field.size());
    }

    void header(const std::vector<std::string>& fields) {
        for (const std::string& field : fields) {
            const std::string name = lower(trimmed(field));
            const auto* const at = std::ranges::find(columns, name, &ColumnName::name);
            if (at == columns.end()) {
                // A file without a header has a password here: the name is shown of none.
                sink_.fault(begun_, "a column of the header line is not known",
                            std::string(column_names));
                given_up_ = true;
                return;
            }
            if (std::ranges::find(order_, at->column) != order_.end()) {
                sink_.fault(begun_, fmt::format("the column {} stands twice", name), "once");
                given_up_ = true;
                return;
            }
            order_.push_back(at->column);
        }
        const auto has = [this](Column column) {
            return std::ranges::find(order_, column) != order_.end();
        };
        if (has(Column::account) && (has(Column::password) || has(Column::hash))) return;
        sink_.fault(begun_, "a column is missing in the header line", std::string(column_names));
        given_up_ = true;
    }

    void row(const std::vector<std::string>& fields) {
        if (fields.size() != order_.size()) {
            return sink_.fault(begun_, fmt::format("there are {} fields", fields.size()),
                               fmt::format("{}, as in the header line", order_.size()));
        }
        ImportSink::Record record;
        record.line = begun_;
        std::string_view password;
        std::string_view hash;
        for (std::size_t i = 0; i < fields.size(); ++i) {
            const std::string_view field = fields[i];
            switch (order_[i]) {
                case Column::account:
                    record.name = trimmed(field);
                    break;
                case Column::password:
                    password = field;
                    break;
                case Column::hash:
                    hash = trimmed(field);
                    break;
                case Column::customer:
                    record.customer = trimmed(field);
                    break;
                case Column::plan:
                    record.plan = trimmed(field);
                    break;
                case Column::owns:
                    record.owns = words(field);
                    break;
                case Column::authzids:
                    record.authzids = words(field);
                    break;
            }
        }
        if (!password.empty() && !hash.empty())
            return sink_.fault(begun_, "there are a password and a hash", "one of them");
        if (looks_like_hash(password)) {
            return sink_.fault(begun_, "what stands for a password is a hash, or ! or *",
                               "the column hash for it; there {PLAIN} is written before a password "
                               "that only looks so");
        }
        sink_.account(record, password.empty() ? read_secret(hash) : read_cleartext(password));
    }

    void drop() noexcept {
        wipe(record_.data(), record_.size());
        record_.clear();
    }

    std::vector<Column> order_;
    std::string record_;
    std::size_t begun_ = 1;  ///< Its first line.
    bool open_ = false;      ///< In the midst of a quoted field.
    bool given_up_ = false;
};

}  // namespace

std::unique_ptr<ImportParser> make_csv_parser(ImportSink& sink) {
    return std::make_unique<CsvParser>(sink);
}

}  // namespace postern::auth
