#include "auth/certificate_authority.hpp"

#include <algorithm>
#include <ctime>
#include <stdexcept>
#include <vector>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "auth/openssl_kept.hpp"
#include "auth/sasl_message.hpp"

namespace postern::auth {
namespace {

/// A client may send others beside its own: paths are looked for so far.
constexpr int longest_chain = 6;
/// OpenSSL's own measure: signatures and keys of 112 bits at least.
constexpr int least_level = 2;

/// All of a PEM text, one after the other. False: what comes is damaged.
template <typename Read, typename Take>
bool read_all(std::string_view pem, Read read, Take take) {
    ERR_clear_error();
    const Kept<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    if (!bio) return false;
    while (auto* one = read(bio.get(), nullptr, &no_passphrase, nullptr)) take(one);
    const unsigned long end = ERR_peek_last_error();
    ERR_clear_error();
    return end == 0 || ERR_GET_REASON(end) == PEM_R_NO_START_LINE;
}

void earlier(std::optional<Time>& soonest, std::optional<Time> other) {
    if (other && (!soonest || *other < *soonest)) soonest = other;
}

/// The list of the chain's last authority about itself would be that of an authority above it,
/// which nobody asked for: it is trusted because it stands in the file.
int overlook_the_top(int good, X509_STORE_CTX* context) {
    if (good == 1) return 1;
    const int depth = X509_STORE_CTX_get_error_depth(context);
    const STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context);
    const bool top = depth > 0 && chain != nullptr && depth == sk_X509_num(chain) - 1;
    if (!top || X509_STORE_CTX_get_error(context) != X509_V_ERR_UNABLE_TO_GET_CRL) return 0;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}

std::string utf8_of(const ASN1_STRING* text) {
    unsigned char* out = nullptr;
    const int size = ASN1_STRING_to_UTF8(&out, text);
    const Kept<unsigned char> owner(out);
    if (size < 0) return {};
    return {reinterpret_cast<const char*>(out), static_cast<std::size_t>(size)};
}

std::vector<std::string> addresses_in(const X509* certificate) {
    std::vector<std::string> found;
    const Kept<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type == GEN_EMAIL) found.push_back(utf8_of(name->d.rfc822Name));
    }
    return found;
}

std::vector<std::string> common_names_in(const X509* certificate) {
    std::vector<std::string> found;
    const X509_NAME* const subject = X509_get_subject_name(certificate);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
        found.push_back(utf8_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
    }
    return found;
}

}  // namespace

struct CertificateAuthority::State {
    NameFrom from = NameFrom::email;
    Kept<X509_STORE> store;
    std::optional<Time> ca_ends;
    std::optional<Time> crl_ends;
    std::size_t unlisted = 0;

    std::optional<Fault> add_authorities(std::string_view ca, std::vector<Kept<X509>>& all);
    std::optional<Fault> add_lists(std::string_view crl, const std::vector<Kept<X509>>& all);
    void name_of(const X509* certificate, ClientCertificate& out) const;
};

std::optional<CertificateAuthority::Fault> CertificateAuthority::State::add_authorities(
    std::string_view ca, std::vector<Kept<X509>>& all) {
    const bool whole = read_all(ca, PEM_read_bio_X509, [&](X509* one) { all.emplace_back(one); });
    if (!whole) return Fault{Fault::In::ca, "holds a certificate that is damaged"};
    if (all.empty()) return Fault{Fault::In::ca, "holds no certificate in PEM"};
    for (const auto& one : all) {
        if (X509_check_ca(one.get()) == 0)
            return Fault{Fault::In::ca, "holds a certificate that is no authority's"};
        if (X509_STORE_add_cert(store.get(), one.get()) != 1)
            return Fault{Fault::In::ca, "cannot be used"};
        earlier(ca_ends, time_of(X509_get0_notAfter(one.get())));
    }
    return std::nullopt;
}

std::optional<CertificateAuthority::Fault> CertificateAuthority::State::add_lists(
    std::string_view crl, const std::vector<Kept<X509>>& all) {
    std::vector<Kept<X509_CRL>> lists;
    const bool whole =
        read_all(crl, PEM_read_bio_X509_CRL, [&](X509_CRL* one) { lists.emplace_back(one); });
    if (!whole) return Fault{Fault::In::crl, "holds a list that is damaged"};
    if (lists.empty()) return Fault{Fault::In::crl, "holds no certificate revocation list in PEM"};
    std::vector<bool> listed(all.size());
    for (const auto& one : lists) {
        // Those of authorities between the client's and ours may stand beside.
        for (std::size_t i = 0; i < all.size(); ++i) {
            X509* const issuer = all[i].get();
            if (X509_NAME_cmp(X509_CRL_get_issuer(one.get()), X509_get_subject_name(issuer)) == 0 &&
                X509_CRL_verify(one.get(), X509_get0_pubkey(issuer)) == 1)
                listed[i] = true;
        }
        if (X509_STORE_add_crl(store.get(), one.get()) != 1)
            return Fault{Fault::In::crl, "cannot be used"};
        earlier(crl_ends, time_of(X509_CRL_get0_nextUpdate(one.get())));
    }
    if (std::ranges::find(listed, true) == listed.end())
        return Fault{Fault::In::crl, "is no list of an authority in auth.external.ca"};
    unlisted = static_cast<std::size_t>(std::ranges::count(listed, false));
    X509_STORE_set_flags(store.get(), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return std::nullopt;
}

boost::system::result<std::shared_ptr<const CertificateAuthority>, CertificateAuthority::Fault>
CertificateAuthority::make(std::string_view ca, std::optional<std::string_view> crl,
                           NameFrom from) {
    auto state = std::make_unique<State>();
    state->from = from;
    state->store.reset(X509_STORE_new());
    std::optional<Fault> fault;
    if (!state->store) fault = Fault{Fault::In::ca, "out of memory"};
    std::vector<Kept<X509>> all;
    if (!fault) fault = state->add_authorities(ca, all);
    if (!fault && crl) fault = state->add_lists(*crl, all);
    ERR_clear_error();
    if (fault) return *fault;
    X509_STORE_set_flags(state->store.get(), X509_V_FLAG_PARTIAL_CHAIN);
    X509_STORE_set_verify_cb(state->store.get(), &overlook_the_top);
    return std::shared_ptr<const CertificateAuthority>(new CertificateAuthority(std::move(state)));
}

CertificateAuthority::CertificateAuthority(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
CertificateAuthority::~CertificateAuthority() = default;

void CertificateAuthority::State::name_of(const X509* certificate, ClientCertificate& out) const {
    std::vector<std::string> names =
        from == NameFrom::email ? addresses_in(certificate) : common_names_in(certificate);
    if (names.size() != 1) {
        out.no_name =
            names.empty() ? "the certificate names nobody" : "the certificate names several";
    } else if (!well_formed(names.front())) {
        out.no_name = "the name in the certificate is malformed";
    } else {
        out.name = std::move(names.front());
    }
}

ClientCertificate CertificateAuthority::judge(X509* certificate, STACK_OF(X509) * others,
                                              Time now) const {
    ERR_clear_error();
    ClientCertificate out = shown_certificate(certificate, now);
    const Kept<X509_STORE_CTX> context(X509_STORE_CTX_new());
    bool ready = context &&
                 X509_STORE_CTX_init(context.get(), state_->store.get(), certificate, others) == 1;
    ready = ready && X509_STORE_CTX_set_default(context.get(), "ssl_client") == 1;
    if (!ready) {
        ERR_clear_error();
        out.no_name = "out of memory";
        return out;
    }
    X509_VERIFY_PARAM* const wanted = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_auth_level(wanted, least_level);
    X509_VERIFY_PARAM_set_depth(wanted, longest_chain);
    X509_VERIFY_PARAM_set_time(wanted, std::chrono::system_clock::to_time_t(now));
    if (X509_verify_cert(context.get()) == 1) {
        state_->name_of(certificate, out);
    } else {
        out.no_name = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
    }
    ERR_clear_error();
    return out;
}

std::optional<Time> CertificateAuthority::ca_ends() const noexcept {
    return state_->ca_ends;
}

std::optional<Time> CertificateAuthority::crl_ends() const noexcept {
    return state_->crl_ends;
}

std::size_t CertificateAuthority::unlisted() const noexcept {
    return state_->unlisted;
}

void throw_exception_from_error(const CertificateAuthority::Fault& fault,
                                const boost::source_location& /*where*/) {
    throw std::runtime_error(fault.text);
}

}  // namespace postern::auth
