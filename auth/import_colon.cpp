// Lines of fields between colons: Dovecot's passwd-file, htpasswd, shadow.
#include <algorithm>

#include "auth/import_parser.hpp"

namespace postern::auth {
namespace {

/// Where the field ends that begins here: RFC 5803's form has two colons of its own.
std::size_t field_end(std::string_view rest) noexcept {
    std::string_view field = rest;
    if (field.starts_with('{'))
        field.remove_prefix(std::min(field.find('}'), field.size() - 1) + 1);
    std::size_t end = rest.find(':');
    if (!field.starts_with("SCRAM-SHA-256$")) return end;
    for (int inner = 0; inner < 2 && end != std::string_view::npos; ++inner)
        end = rest.find(':', end + 1);
    return end;
}

class ColonParser final : public ImportParser {
  public:
    ColonParser(ImportSink& into, ImportFormat format) : ImportParser(into), format_(format) {}

    void line(std::size_t number, std::string_view text) override {
        // No format has a way to write a name that begins with a hash.
        if (text.empty() || text.starts_with('#')) {
            if (!text.empty()) ++sink_.passed_over;
            return;
        }
        const std::size_t colon = text.find(':');
        if (colon == std::string_view::npos) {
            return sink_.fault(
                number, "there is no colon",
                format_ == ImportFormat::htpasswd ? "NAME:HASH" : "NAME:PASSWORD:...");
        }
        std::string_view password = text.substr(colon + 1);
        const std::size_t end = field_end(password);
        if (end != std::string_view::npos) {
            if (format_ == ImportFormat::htpasswd)
                return sink_.fault(number, "there is more than a name and a hash", "NAME:HASH");
            password = password.substr(0, end);
        }
        ImportSink::Record record;
        record.line = number;
        record.name = text.substr(0, colon);
        sink_.account(record, read_secret(password));
    }

  private:
    ImportFormat format_;
};

}  // namespace

std::unique_ptr<ImportParser> make_colon_parser(ImportSink& sink, ImportFormat format) {
    return std::make_unique<ColonParser>(sink, format);
}

}  // namespace postern::auth
