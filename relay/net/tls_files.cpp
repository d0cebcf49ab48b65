#include "relay/net/tls_files.hpp"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace postern::relay::net {

namespace {

constexpr std::size_t file_limit = std::size_t{1024} * 1024;

result<std::string, TlsFault> read_file(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text;
    if (file) {
        text.resize(file_limit + 1);
        file.read(text.data(), static_cast<std::streamsize>(text.size()));
        text.resize(static_cast<std::size_t>(file.gcount()));
    }
    if (!file.is_open() || file.bad()) {
        return TlsFault{path,
                        std::string("cannot be read: ") + std::strerror(errno == 0 ? EIO : errno)};
    }
    if (text.empty()) return TlsFault{path, "is empty or cannot be read"};
    if (text.size() > file_limit) return TlsFault{path, "is larger than 1 MiB"};
    return {boost::system::in_place_value, std::move(text)};
}

BioPtr open_text(const std::string& text) {
    return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

int no_passphrase(char*, int, int, void*) {
    return -1;
}

std::string lower_name(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::vector<std::string> names_of(X509* certificate) {
    std::vector<std::string> names;
    struct Free {
        void operator()(GENERAL_NAMES* list) const noexcept { GENERAL_NAMES_free(list); }
    };
    const std::unique_ptr<GENERAL_NAMES, Free> list(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(list.get(), i);
        if (name->type != GEN_DNS) continue;
        const auto* data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
        names.push_back(
            lower_name({data, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
    }
    if (names.empty()) {
        std::string common(256, '\0');
        const int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                                common.data(), static_cast<int>(common.size()));
        if (n > 0) {
            common.resize(static_cast<std::size_t>(n));
            names.push_back(lower_name(common));
        }
    }
    return names;
}

std::string type_of(const EVP_PKEY* key) {
    const char* name = EVP_PKEY_get0_type_name(key);
    return name != nullptr ? name : "unknown";
}

}  // namespace

std::string take_tls_reason() {
    const unsigned long code = ERR_peek_last_error();
    const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    ERR_clear_error();
    return reason != nullptr ? reason : "unknown reason";
}

result<LoadedCertificate, TlsFault> load_certificate(const CertificateFiles& files) {
    ERR_clear_error();
    LoadedCertificate loaded;
    const auto text = read_file(files.certificate);
    if (!text) return text.error();
    const BioPtr bio = open_text(*text);
    loaded.leaf.reset(PEM_read_bio_X509_AUX(bio.get(), nullptr, &no_passphrase, nullptr));
    if (!loaded.leaf)
        return TlsFault{files.certificate,
                        "holds no certificate in PEM (" + take_tls_reason() + ")"};
    while (X509* more = PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr))
        loaded.chain.emplace_back(more);
    const unsigned long end = ERR_peek_last_error();
    if (end != 0 && ERR_GET_REASON(end) != PEM_R_NO_START_LINE) {
        return TlsFault{files.certificate, "its chain is damaged (" + take_tls_reason() + ")"};
    }
    ERR_clear_error();

    const auto key_text = read_file(files.key);
    if (!key_text) return key_text.error();
    const BioPtr key_bio = open_text(*key_text);
    loaded.key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, &no_passphrase, nullptr));
    if (!loaded.key) {
        const bool locked = key_text->find("ENCRYPTED") != std::string::npos;
        const std::string reason = take_tls_reason();
        return TlsFault{files.key, locked ? "the key is encrypted: store it without a passphrase"
                                          : "holds no private key in PEM (" + reason + ")"};
    }
    if (X509_check_private_key(loaded.leaf.get(), loaded.key.get()) != 1) {
        ERR_clear_error();
        return TlsFault{files.key,
                        "is not the key of the first certificate in " + files.certificate};
    }
    loaded.info.file = files.certificate;
    loaded.info.names = names_of(loaded.leaf.get());
    loaded.info.key_type = type_of(loaded.key.get());
    std::tm end_time{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(loaded.leaf.get()), &end_time) == 1) {
        loaded.info.not_after = std::chrono::system_clock::from_time_t(::timegm(&end_time));
    }
    ERR_clear_error();
    return loaded;
}

result<std::shared_ptr<const auth::CertificateAuthority>, TlsFault> load_authority(
    const std::string& ca, const std::string& crl, auth::NameFrom from) {
    using In = auth::CertificateAuthority::Fault::In;
    const auto authorities = read_file(ca);
    if (!authorities) return authorities.error();
    std::optional<std::string> lists;
    if (!crl.empty()) {
        auto text = read_file(crl);
        if (!text) return text.error();
        lists = std::move(*text);
    }
    auto made = auth::CertificateAuthority::make(*authorities, lists, from);
    if (!made) return TlsFault{made.error().in == In::ca ? ca : crl, made.error().text};
    return std::move(*made);
}

void set_common_options(SSL_CTX* context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Forward secrecy always; CBC with SHA-2 last, for devices that know nothing newer.
    SSL_CTX_set_cipher_list(
        context, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+SHA256:ECDHE+SHA384:!aNULL:!eNULL:!PSK");
}

}  // namespace postern::relay::net
