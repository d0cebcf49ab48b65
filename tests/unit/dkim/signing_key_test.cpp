#include "relay/dkim/signing_key.hpp"

#include "proto/base64.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::dkim;
using proto::DkimAlgorithm;

namespace {

// The key, the message and the signature of RFC 8463 A.
const std::string sample_key =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";

auth::Digest digest_of(std::string_view text) {
    return auth::sha256(text);
}

}  // namespace

TEST_CASE("the sample of RFC 8463: body hash, record and signature") {
    Sha256 body;
    proto::SigningReader reader(body);
    reader.feed(
        "From: Joe SixPack <joe@football.example.com>\r\n\r\n"
        "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n");
    reader.finish();
    const auto hash = body.digest();
    REQUIRE(hash.has_value());
    CHECK(proto::base64_encode(auth::view(*hash)) ==
          "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");

    const auto key = SigningKey::read(sample_key, DkimAlgorithm::ed25519);
    REQUIRE(key.has_value());
    CHECK(*key->record() == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    const auto signature = key->sign(digest_of(
        "from:Joe SixPack <joe@football.example.com>\r\n"
        "to:Suzie Q <suzie@shopping.example.net>\r\n"
        "subject:Is dinner ready?\r\n"
        "date:Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        "message-id:<20030712040037.46341.5F8J@football.example.com>\r\n"
        "dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; "
        "i=@football.example.com; q=dns/txt; s=brisbane; t=1528637909; h=from : to : subject : "
        "date : message-id : from : subject : date; "
        "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b="));
    REQUIRE(signature.has_value());
    CHECK(proto::base64_encode(*signature) ==
          "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw"
          "==");
}

TEST_CASE("the hash of an empty body") {
    Sha256 body;
    const auto hash = body.digest();
    REQUIRE(hash.has_value());
    CHECK(proto::base64_encode(auth::view(*hash)) ==
          "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST_CASE("keys are written and read again, and are of their kind alone") {
    for (const DkimAlgorithm algorithm : {DkimAlgorithm::rsa, DkimAlgorithm::ed25519}) {
        CAPTURE(proto::name(algorithm));
        const auto key = SigningKey::make(algorithm);
        REQUIRE(key.has_value());
        const auto pem = key->pem();
        REQUIRE(pem.has_value());
        CHECK(pem->reveal().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        const auto again = SigningKey::read(pem->reveal(), algorithm);
        REQUIRE(again.has_value());
        CHECK(*again->record() == *key->record());
        const auth::Digest digest = digest_of("x");
        CHECK(*again->sign(digest) == *key->sign(digest));  // Both ways of signing are determined.
        CHECK(key->sign(digest)->size() == (algorithm == DkimAlgorithm::rsa ? 256U : 64U));
        const auto other =
            algorithm == DkimAlgorithm::rsa ? DkimAlgorithm::ed25519 : DkimAlgorithm::rsa;
        CHECK(SigningKey::read(pem->reveal(), other).error() == KeyError::damaged);
        const std::string cut(pem->reveal().substr(0, pem->reveal().size() / 2));
        CHECK(SigningKey::read(cut, algorithm).error() == KeyError::damaged);
        // An RSA-2048 record does not fit into one string of a zone.
        CHECK((key->record()->size() > 255) == (algorithm == DkimAlgorithm::rsa));
    }
    CHECK(SigningKey::read("", DkimAlgorithm::rsa).error() == KeyError::damaged);
    CHECK(SigningKey::read("no key", DkimAlgorithm::rsa).error() == KeyError::damaged);
    // With a passphrase it is refused, not asked about.
    CHECK(SigningKey::read("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSq"
                           "GSIb3DQEFDDAc\n-----END ENCRYPTED PRIVATE KEY-----\n",
                           DkimAlgorithm::rsa)
              .error() == KeyError::damaged);
}
