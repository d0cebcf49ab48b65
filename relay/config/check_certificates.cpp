#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "relay/config/check_parts.hpp"

namespace postern::relay::config {
namespace {

template <auto Free>
struct Freed {
    template <typename T>
    void operator()(T* p) const noexcept {
        Free(p);
    }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

constexpr int soon_days = 14;

/// A key with a passphrase cannot be loaded by a service: never ask for one.
int no_passphrase(char*, int, int, void*) {
    return 0;
}

X509Ptr load_certificate(const std::string& path) {
    const Bio file(BIO_new_file(path.c_str(), "r"));
    return X509Ptr(file ? PEM_read_bio_X509(file.get(), nullptr, no_passphrase, nullptr) : nullptr);
}

KeyPtr load_key(const std::string& path) {
    const Bio file(BIO_new_file(path.c_str(), "r"));
    return KeyPtr(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, no_passphrase, nullptr)
                       : nullptr);
}

std::string day(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return "?";
    return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

bool covers(X509* certificate, const std::string& hostname) {
    return X509_check_host(certificate, hostname.data(), hostname.size(), 0, nullptr) == 1;
}

void check_one(const Certificate& one, std::vector<Finding>& out, X509Ptr& loaded) {
    const auto fail = [&](std::string text, std::string fix) {
        out.push_back({"certificate", Status::fail, std::move(text), std::move(fix)});
    };
    for (const std::string& path : {one.certificate, one.key}) {
        // Missing or forbidden is not the same as wrong.
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return fail(
                fmt::format("{} cannot be read: {}", path, std::generic_category().message(errno)),
                "name a file that is there and that the relay may read");
        }
        ::close(fd);
    }
    ERR_clear_error();
    loaded = load_certificate(one.certificate);
    if (!loaded) {
        return fail(fmt::format("{} holds no certificate that can be read (PEM)", one.certificate),
                    "name the file with the full chain, the relay's own certificate first");
    }
    const KeyPtr key = load_key(one.key);
    if (!key) {
        return fail(
            fmt::format("{} holds no private key that can be read (PEM, without a passphrase)",
                        one.key),
            "name the file with the private key");
    }
    if (X509_check_private_key(loaded.get(), key.get()) != 1) {
        return fail(fmt::format("{} is not the key of {}", one.key, one.certificate),
                    "name the two files that belong together");
    }
    int days = 0;
    int seconds = 0;
    const ASN1_TIME* end = X509_get0_notAfter(loaded.get());
    if (X509_cmp_current_time(end) < 0) {
        return fail(fmt::format("{} expired on {}", one.certificate, day(end)), "renew it");
    }
    if (X509_cmp_current_time(X509_get0_notBefore(loaded.get())) > 0) {
        return fail(fmt::format("{} begins on {} only", one.certificate,
                                day(X509_get0_notBefore(loaded.get()))),
                    "see whether the clock is right");
    }
    const bool soon = ASN1_TIME_diff(&days, &seconds, nullptr, end) == 1 && days < soon_days;
    out.push_back({"certificate", soon ? Status::warn : Status::ok,
                   fmt::format("{} and its key match, good until {}", one.certificate, day(end)),
                   soon ? "renew it" : ""});
}

}  // namespace

void check_certificates(const Config& config, std::vector<Finding>& out) {
    bool covered = false;
    bool any = false;
    for (const Certificate& one : config.tls.all()) {
        X509Ptr loaded;
        check_one(one, out, loaded);
        if (!loaded) continue;
        any = true;
        covered = covered || covers(loaded.get(), config.server.hostname);
    }
    if (any && !covered) {
        out.push_back({"certificate", Status::warn,
                       fmt::format("no certificate has the host name {}", config.server.hostname),
                       "mail programs will warn; get one with that name, or set server.hostname to "
                       "the certificate's"});
    }
    ERR_clear_error();
}

}  // namespace postern::relay::config
