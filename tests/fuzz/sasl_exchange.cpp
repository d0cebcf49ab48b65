// What a client may send inside AUTH: PLAIN, LOGIN and SCRAM messages through our parsers, and
// whole SCRAM and EXTERNAL exchanges through Cyrus; certificates and revocation lists. First octet:
// `P` a PLAIN message, `N` a name or password, `S`, `B` and `1` two SCRAM messages parted by a line
// feed, by SHA-256 without and with channel binding and by SHA-1; `E` an EXTERNAL message, and
// behind a line feed the name that a certificate has; `C` a certificate in PEM, `L` one of an
// authority and revocation lists parted by a line with `=`. Nothing may succeed but Ann's own
// certificate, and nothing foreign may look like our own failure.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "auth/certificate_authority.hpp"
#include "auth/sasl_message.hpp"
#include "auth/sasl_server.hpp"
#include "auth/saslprep.hpp"

namespace {

using namespace postern::auth;

void require(bool holds) {
    if (!holds) std::abort();
}

class Login {
  public:
    Login() {
        std::string name =
            (std::filesystem::temp_directory_path() / "postern-fuzz-XXXXXX").string();
        require(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        StoreSettings settings;
        settings.path = folder_ / "accounts.db";
        auto opened = AccountStore::open(std::move(settings));
        require(opened.has_value());
        store_ = std::move(*opened);
        NewAccount ann;
        ann.name = "ann@example.net";
        ann.password = postern::proto::Secret("a password that no fuzzer finds");
        store_->set_scram_sha1(ScramSha1::kept);
        require(store_->add(ann, Time{}).has_value());
        auto started_server = SaslServer::start({}, *store_, memory_, FakeVerifiers("key"));
        require(started_server.has_value());
        server_ = std::move(*started_server);
    }
    ~Login() {
        server_.reset();
        store_.reset();
        std::error_code error;
        std::filesystem::remove_all(folder_, error);
    }
    Login(const Login&) = delete;
    Login& operator=(const Login&) = delete;

    void scram(const char* mechanism, std::string_view first, std::string_view final) {
        ExchangeContext context;
        context.mechanism = mechanism;
        context.offered = SaslServer::mechanisms();
        context.bindings.tls_exporter = std::string(32, 'e');
        context.bindings.tls_server_end_point = std::string(32, 'p');
        const auto exchange = server_->begin(std::move(context));
        if (!goes_on(exchange->step(postern::proto::Secret(first)))) return;
        require(parse_scram_first(first).has_value());
        require(!goes_on(exchange->step(postern::proto::Secret(final))));
    }

    /// Under the name that an authority vouches for.
    void external(std::string_view message, std::string_view name) {
        ExchangeContext context;
        context.mechanism = "EXTERNAL";
        context.offered = SaslServer::mechanisms();
        context.certificate.emplace().fingerprint = std::string(64, 'f');
        if (well_formed(name)) context.certificate->name = name;
        const auto exchange = server_->begin(std::move(context));
        const auto said = exchange->name_in(std::nullopt);
        require(said.has_value() && valid_utf8(*said));
        const StepResult result = exchange->step(postern::proto::Secret(message));
        if (const auto* const success = std::get_if<Success>(&result)) {
            require(normalised_login(name) == "ann@example.net");
            require(success->identity.authzid == "ann@example.net");
            return;
        }
        require(!goes_on(result));
    }

  private:
    static bool goes_on(const StepResult& result) {
        require(!std::holds_alternative<Success>(result));
        if (const auto* const failure = std::get_if<Failure>(&result)) {
            require(failure->kind != Failure::Kind::unavailable);
            require(failure->account.size() <= 320);
            require(valid_utf8(failure->account));
            return false;
        }
        return true;
    }

    std::filesystem::path folder_;
    std::unique_ptr<AccountStore> store_;
    PasswordMemory memory_;
    std::unique_ptr<SaslServer> server_;
};

void check_certificate(std::string_view pem) {
    const auto read = read_certificate(pem, Time{});
    if (!read) return;
    require(read->fingerprint.size() == 64);
    const auto again = read_certificate(read->pem, Time{});
    require(again.has_value() && again->fingerprint == read->fingerprint);
}

void check_authority(std::string_view text) {
    const std::size_t parted = text.find("\n=\n");
    const std::string_view ca = text.substr(0, parted);
    std::optional<std::string_view> lists;
    if (parted != std::string_view::npos) lists = text.substr(parted + 3);
    for (const NameFrom from : {NameFrom::email, NameFrom::common_name}) {
        const auto made = CertificateAuthority::make(ca, lists, from);
        if (made) require((*made)->ca_ends().has_value() || (*made)->unlisted() <= 1000);
    }
}

void check_plain(std::string_view message) {
    const auto parsed = parse_plain(message);
    if (!parsed) return;
    std::string again(parsed->authzid);
    again.append(1, '\0').append(parsed->authcid).append(1, '\0').append(parsed->password);
    require(again == message);
}

void check_text(std::string_view text) {
    const auto query = saslprep(text, PrepUse::query);
    const auto stored = saslprep(text, PrepUse::stored);
    if (stored) require(query == stored);
    if (!query) return;
    require(valid_utf8(text));
    require(valid_utf8(*query));
    if (const auto name = normalised_login(text)) require(valid_utf8(*name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Login login;
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::size_t line = text.find('\n');
    const std::string_view first = text.substr(0, line);
    const std::string_view final =
        line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
    switch (data[0]) {
        case 'P':
            check_plain(text);
            break;
        case 'N':
            check_text(text);
            break;
        case 'S':
            login.scram("SCRAM-SHA-256", first, final);
            break;
        case 'B':
            login.scram("SCRAM-SHA-256-PLUS", first, final);
            break;
        case '1':
            login.scram("SCRAM-SHA-1", first, final);
            break;
        case 'E':
            login.external(first, final);
            break;
        case 'C':
            check_certificate(text);
            break;
        case 'L':
            check_authority(text);
            break;
        default:
            (void)parse_scram_first(text);
            (void)binding_of_final(text);
            break;
    }
    return 0;
}
