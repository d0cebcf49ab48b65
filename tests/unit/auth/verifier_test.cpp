#include "auth/verifier.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "auth/key_file.hpp"
#include "auth/random.hpp"
#include "scram_client.hpp"
#include "scratch.hpp"

namespace postern::auth {
namespace {

std::string xor_of(std::string_view a, const Digest& b) {
    std::string out(a);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<char>(out[i] ^ static_cast<char>(b[i]));
    return out;
}

TEST_CASE("PBKDF2-HMAC-SHA-256 gives the known answers") {
    CHECK(hex(view(pbkdf2_sha256("password", "salt", 1))) ==
          "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b");
    CHECK(hex(view(pbkdf2_sha256("password", "salt", 4096))) ==
          "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
}

TEST_CASE("a verifier proves the exchange of RFC 7677 section 3") {
    const auto verifier = make_verifier("pencil", test::unbase64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
    REQUIRE(verifier.has_value());
    const std::string auth_message =
        "n=user,r=rOprNGfwEbeRWgbNEkqO,"
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const std::string proof = test::unbase64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    REQUIRE(proof.size() == 32);
    const std::string client_key =
        xor_of(proof, hmac_sha256(view(verifier->stored_key), auth_message));
    CHECK(sha256(client_key) == verifier->stored_key);
    CHECK(base64(view(hmac_sha256(view(verifier->server_key), auth_message))) ==
          "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    CHECK(stored_key_of("pencil", verifier->salt, verifier->iterations) == verifier->stored_key);
    CHECK(verifier->text().starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
}

TEST_CASE("passwords that cannot be prepared make no verifier") {
    const std::string salt(salt_octets, 's');
    CHECK(make_verifier("", salt, 4096).error() == AuthError::invalid_password);
    CHECK(make_verifier("bell\a", salt, 4096).error() == AuthError::invalid_password);
    CHECK(make_verifier("\xFF\xFE", salt, 4096).error() == AuthError::invalid_password);
    CHECK(make_verifier("\xC2\xAD", salt, 4096).error() ==
          AuthError::invalid_password);  // Maps to nothing.
    CHECK(make_verifier(std::string(max_password_octets + 1, 'a'), salt, 4096).error() ==
          AuthError::invalid_password);
    CHECK(make_verifier(std::string(max_password_octets, 'a'), salt, 4096).has_value());
}

TEST_CASE("round counts stay within what clients take") {
    const std::string salt(salt_octets, 's');
    CHECK(make_verifier("a", salt, 1)->iterations == min_iterations);
    CHECK(make_verifier("a", salt, 10'000'000)->iterations == max_iterations);
}

TEST_CASE("a fake verifier hangs on key and name alone") {
    const FakeVerifiers fakes("0123456789abcdef0123456789abcdef");
    const FakeVerifiers others("another key");
    const Verifier ann = fakes.of("ann@example.net", {}, 4096);
    CHECK(ann == fakes.of("ann@example.net", {}, 4096));
    CHECK(ann.salt.size() == salt_octets);
    CHECK(ann.iterations == 4096);
    CHECK(ann.salt != fakes.of("bob@example.net", {}, 4096).salt);
    CHECK(ann.salt != others.of("ann@example.net", {}, 4096).salt);
}

TEST_CASE("fakes carry the round counts of real accounts in their proportion") {
    const FakeVerifiers fakes("key");
    const FakeVerifiers::Shares shares = {{4096, 300}, {10000, 100}};
    std::map<unsigned, int> seen;
    for (int i = 0; i < 1000; ++i)
        ++seen[fakes.of("user" + std::to_string(i), shares, 65536).iterations];
    CHECK(seen.size() == 2);
    CHECK(seen[4096] > 650);
    CHECK(seen[4096] < 850);
}

TEST_CASE("fakes have salts as long as those of real accounts") {
    const FakeVerifiers fakes("key");
    const FakeVerifiers::Shares shares = {
        {4096, 100}, {{4096, 12}, 100}, {{10000, max_salt_octets}, 100}};
    std::map<FakeVerifiers::Shape, int> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string name = "user" + std::to_string(i);
        const Verifier fake = fakes.of(name, shares, 65536);
        ++seen[{fake.iterations, fake.salt.size()}];
        CHECK(fake == fakes.of(name, shares, 65536));
        // Whatever the length, the beginning stays.
        const std::size_t both = std::min(fake.salt.size(), salt_octets);
        CHECK(fake.salt.substr(0, both) == fakes.of(name, {}, 4096).salt.substr(0, both));
    }
    CHECK(seen.size() == 3);
    for (const auto& [shape, count] : seen) {
        CHECK(count > 250);
        CHECK(count < 420);
    }
}

TEST_CASE("generated passwords are long, plain to read and never the same") {
    const RandomBytes random = system_random();
    std::set<std::string> seen;
    for (int i = 0; i < 200; ++i) {
        const proto::Secret password = generate_password(random);
        CHECK(password.reveal().size() == 20);
        CHECK(password.reveal().find_first_of("0O1lI") == std::string_view::npos);
        CHECK(seen.insert(std::string(password.reveal())).second);
    }
}

TEST_CASE("a key file is made once, private, and read again") {
    const test::Scratch scratch;
    const auto path = scratch / "keys/fake_salt.key";
    const auto made = load_or_make_key(path, system_random());
    REQUIRE(made.has_value());
    CHECK(made->size() == 32);
    CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::all) ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    const auto again = load_or_make_key(path, system_random());
    REQUIRE(again.has_value());
    CHECK(*again == *made);
    CHECK_FALSE(std::filesystem::exists(scratch / "keys/fake_salt.key.new"));
}

TEST_CASE("a key file of the wrong size is refused and named") {
    const test::Scratch scratch;
    const auto path = scratch / "short.key";
    for (const std::size_t size : {0UL, 31UL, 33UL}) {
        std::filesystem::remove(path);
        {
            FILE* const file = std::fopen(path.c_str(), "w");
            REQUIRE(file != nullptr);
            const std::string text(size, 'k');
            std::fwrite(text.data(), 1, text.size(), file);
            std::fclose(file);
        }
        const auto key = load_or_make_key(path, system_random());
        REQUIRE_FALSE(key.has_value());
        CHECK(key.error().code == AuthError::key_file);
        CHECK(key.error().text.find("short.key") != std::string::npos);
    }
}

}  // namespace
}  // namespace postern::auth
