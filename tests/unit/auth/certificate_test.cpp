#include "auth/certificate_authority.hpp"
#include "certificates.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::crl;
using test::issue;
using test::Issued;
using test::noon;
using test::pem;
using test::Wish;

using AuthorityPtr = std::shared_ptr<const CertificateAuthority>;

AuthorityPtr authority(const std::string& ca, std::optional<std::string> lists = std::nullopt,
                       NameFrom from = NameFrom::email) {
    auto made = CertificateAuthority::make(ca, lists, from);
    if (!made) FAIL(made.error().text);
    return *made;
}

Wish of(std::string alternatives) {
    return {.alternatives = std::move(alternatives)};
}
const Wish an_authority{.common_names = {"Clients of Example"}, .authority = true};

/// The name that is vouched for, or "-".
std::string judged(const CertificateAuthority& by, const Issued& one,
                   const std::vector<const Issued*>& others = {}, Time now = noon) {
    const test::Ssl<STACK_OF(X509)> sent(sk_X509_new_null());
    for (const Issued* const other : others) sk_X509_push(sent.get(), other->get());
    const ClientCertificate said = by.judge(one.get(), sent.get(), now);
    CHECK(said.name.has_value() == said.no_name.empty());
    return said.name.value_or("-");
}

TEST_CASE("what is kept of a certificate is its fingerprint, and no key goes with it") {
    const Issued one = issue({});
    const auto read = read_certificate(test::key_pem(one) + pem(one), noon);
    REQUIRE(read.has_value());
    CHECK(read->pem == pem(one));
    CHECK(read->not_after == noon + 24h);
    CHECK(read->fingerprint == shown_certificate(one.get(), noon).fingerprint);
    unsigned char* der = nullptr;
    const int size = i2d_X509(one.get(), &der);
    CHECK(read->fingerprint ==
          hex(view(sha256({reinterpret_cast<char*>(der), static_cast<std::size_t>(size)}))));
    OPENSSL_free(der);
}

TEST_CASE("what is no certificate, or proves nothing, is said to be so") {
    const Issued good = issue({});
    std::string damaged = pem(good);
    damaged[damaged.size() / 2] = damaged[damaged.size() / 2] == 'A' ? 'B' : 'A';
    damaged[damaged.size() / 2 + 1] = '*';
    const std::pair<std::string, const char*> rows[] = {
        {"", "holds no certificate in PEM"},
        {"certificate", "holds no certificate in PEM"},
        {test::key_pem(good), "holds no certificate in PEM"},
        {damaged, "holds no certificate in PEM"},
        {pem(good).substr(0, 100), "holds no certificate in PEM"},
        {std::string(70'000, 'x'), "is larger than 64 KiB"},
        {pem(issue({.ends = -1h})), "has expired"},
        {pem(issue({.rsa_bits = 1024})), "has a key that is too weak: at least RSA 2048 or P-256"},
    };
    for (const auto& [text, expected] : rows) {
        const auto read = read_certificate(text, noon);
        REQUIRE_FALSE(read.has_value());
        CHECK(read.error().text == expected);
        CHECK(read.error().code == AuthError::invalid_certificate);
    }
}

TEST_CASE("a certificate is good from its beginning to its end") {
    const Issued one = issue({});
    using enum ClientCertificate::Validity;
    CHECK(shown_certificate(one.get(), noon).validity == good);
    CHECK(shown_certificate(one.get(), noon - 1h).validity == good);
    CHECK(shown_certificate(one.get(), noon - 1h - 1s).validity == not_yet);
    CHECK(shown_certificate(one.get(), noon + 24h).validity == good);
    CHECK(shown_certificate(one.get(), noon + 24h + 1s).validity == expired);
}

TEST_CASE("an authority vouches for what it has issued to clients, now") {
    const Issued ca = issue(an_authority);
    const Issued another = issue(an_authority);
    const AuthorityPtr by = authority(pem(ca));
    const auto issued = [&](Wish wish) { return judged(*by, issue(wish, &ca)); };
    CHECK(issued(of("email:ann@example.net")) == "ann@example.net");
    CHECK(issued({.alternatives = "email:ann@example.net", .usage = "clientAuth"}) ==
          "ann@example.net");
    CHECK(issued({.alternatives = "email:ann@example.net", .usage = "serverAuth"}) == "-");
    CHECK(issued({.alternatives = "email:ann@example.net", .ends = -1h}) == "-");
    CHECK(issued({.alternatives = "email:ann@example.net", .begins = 1h}) == "-");
    CHECK(issued({.alternatives = "email:ann@example.net", .rsa_bits = 1024}) == "-");
    // Another authority of the same name, and nobody.
    CHECK(judged(*by, issue(of("email:ann@example.net"), &another)) == "-");
    CHECK(judged(*by, issue(of("email:ann@example.net"))) == "-");
    const Issued third = issue({.common_names = {"Third"}, .authority = true});
    CHECK(judged(*authority(pem(third) + pem(ca)), issue(of("email:ann@example.net"), &ca)) ==
          "ann@example.net");
    // The authority itself has ended.
    CHECK(judged(*by, issue({.alternatives = "email:ann@example.net", .ends = 240h}, &ca), {},
                 noon + 48h) == "-");
}

TEST_CASE("exactly one name must stand in the certificate, where it is looked for") {
    const Issued ca = issue(an_authority);
    struct Row {
        NameFrom from;
        Wish wish;
        const char* expected;
    };
    const Row rows[] = {
        {NameFrom::email,
         {.alternatives = "DNS:example.net,email:ann@example.net"},
         "ann@example.net"},
        {NameFrom::email, {.alternatives = "email:ann@example.net,email:bob@example.net"}, "-"},
        {NameFrom::email, {.alternatives = "email:ann@example.net,email:ann@example.net"}, "-"},
        {NameFrom::email, {.alternatives = "DNS:example.net"}, "-"},
        {NameFrom::email, {.common_names = {"ann@example.net"}}, "-"},
        {NameFrom::common_name, {.common_names = {"ann@example.net"}}, "ann@example.net"},
        {NameFrom::common_name, {.common_names = {"Ann@Example.net"}}, "Ann@Example.net"},
        {NameFrom::common_name, {.common_names = {"ann@example.net", "Ann"}}, "-"},
        {NameFrom::common_name, {.common_names = {}, .alternatives = "email:ann@example.net"}, "-"},
        {NameFrom::common_name, {.common_names = {"ann@example.net\0.example.org"s}}, "-"},
    };
    for (const Row& row : rows) {
        INFO(row.wish.alternatives << " " << row.wish.common_names.size());
        const AuthorityPtr by = authority(pem(ca), std::nullopt, row.from);
        CHECK(judged(*by, issue(row.wish, &ca)) == row.expected);
    }
}

TEST_CASE(
    "between client and authority others may stand, and one of those may be the trusted one") {
    const Issued root = issue(an_authority);
    const Issued middle = issue({.common_names = {"Middle"}, .authority = true}, &root);
    const Issued client = issue(of("email:ann@example.net"), &middle);
    CHECK(judged(*authority(pem(root)), client, {&middle}) == "ann@example.net");
    CHECK(judged(*authority(pem(root)), client) == "-");
    CHECK(judged(*authority(pem(middle)), client) == "ann@example.net");
    // A client is no authority for others.
    const Issued below = issue(of("email:bob@example.net"), &client);
    CHECK(judged(*authority(pem(root)), below, {&client, &middle}) == "-");
}

TEST_CASE("who is revoked gets no name, nor anybody while a list is overdue or missing") {
    const Issued root = issue(an_authority);
    const Issued middle = issue({.common_names = {"Middle"}, .authority = true}, &root);
    const Issued ann = issue(of("email:ann@example.net"), &root);
    const Issued bob = issue(of("email:bob@example.net"), &root);
    const Issued carl = issue(of("email:carl@example.net"), &middle);
    const AuthorityPtr by = authority(pem(root), crl(root, {&bob}));
    CHECK(judged(*by, ann) == "ann@example.net");
    CHECK(judged(*by, bob) == "-");
    CHECK(judged(*by, carl, {&middle}) == "-");  // Middle's own list is not there.
    CHECK(judged(*authority(pem(root), crl(root, {}) + crl(middle, {})), carl, {&middle}) ==
          "carl@example.net");
    CHECK(judged(*authority(pem(root), crl(root, {&middle}) + crl(middle, {})), carl, {&middle}) ==
          "-");
    // The list about the trusted one itself would be of somebody above it.
    CHECK(judged(*authority(pem(middle), crl(middle, {})), carl) == "carl@example.net");
    CHECK(judged(*authority(pem(middle), crl(middle, {&carl})), carl) == "-");
    const AuthorityPtr late = authority(pem(root), crl(root, {}, -1h));
    CHECK(judged(*late, ann) == "-");
    CHECK(late->crl_ends() == noon - 1h);
}

TEST_CASE("files that cannot be what they are named for are refused") {
    const Issued ca = issue(an_authority);
    const Issued foreign = issue(an_authority);
    const Issued client = issue({});
    struct Row {
        std::string ca;
        std::optional<std::string> lists;
        CertificateAuthority::Fault::In in;
        const char* text;
    };
    using In = CertificateAuthority::Fault::In;
    std::string damaged = pem(ca);
    damaged[damaged.size() / 2] = '*';
    const Row rows[] = {
        {"", {}, In::ca, "holds no certificate in PEM"},
        {crl(ca, {}), {}, In::ca, "holds no certificate in PEM"},
        {damaged, {}, In::ca, "holds a certificate that is damaged"},
        {pem(ca) + damaged, {}, In::ca, "holds a certificate that is damaged"},
        {pem(client), {}, In::ca, "holds a certificate that is no authority's"},
        {pem(ca), "", In::crl, "holds no certificate revocation list in PEM"},
        {pem(ca), pem(ca), In::crl, "holds no certificate revocation list in PEM"},
        {pem(ca), crl(ca, {}).substr(0, 200), In::crl, "holds a list that is damaged"},
        // Same name, another key.
        {pem(ca), crl(foreign, {}), In::crl, "is no list of an authority in auth.external.ca"},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        const auto made = CertificateAuthority::make(row.ca, row.lists, NameFrom::email);
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error().in == row.in);
        CHECK(made.error().text == row.text);
    }
    const AuthorityPtr both = authority(pem(ca) + pem(foreign), crl(ca, {}));
    CHECK(both->unlisted() == 1);
    CHECK(both->ca_ends() == noon + 24h);
    CHECK_FALSE(authority(pem(ca))->crl_ends().has_value());
}

}  // namespace
}  // namespace postern::auth
