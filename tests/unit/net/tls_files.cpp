#include <filesystem>
#include <fstream>
#include <sstream>

#include "relay/net/ticket_keys.hpp"
#include "relay/net/tls.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;

namespace {

std::string content(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

net::TlsFault fault_of(const net::CertificateFiles& files) {
    auto loaded = net::TlsServer::load(std::span(&files, 1), nullptr);
    REQUIRE(!loaded);
    return loaded.error();
}

}  // namespace

TEST_CASE("a certificate that cannot be used names its file and why", "[net][tls]") {
    const Folder folder;
    const auto good = make_certificate(folder, "good", KeyKind::ec, {"DNS:good.example"});
    const auto other = make_certificate(folder, "other", KeyKind::rsa, {});
    folder.write("empty", "");
    folder.write("text", "hello\n");
    folder.write("cut", content(good.certificate).substr(0, 200));
    folder.write(
        "locked",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");

    const auto missing = fault_of({folder.path("nowhere"), good.key});
    CHECK(missing.file == folder.path("nowhere"));
    CHECK(missing.what == "cannot be read: No such file or directory");
    CHECK(fault_of({good.certificate, folder.path("nowhere")}).file == folder.path("nowhere"));
    CHECK(fault_of({folder.path("empty"), good.key}).file == folder.path("empty"));
    CHECK(
        fault_of({folder.path("text"), good.key}).what.starts_with("holds no certificate in PEM"));
    CHECK(fault_of({folder.path("cut"), good.key}).file == folder.path("cut"));
    CHECK(fault_of({good.certificate, folder.path("text")})
              .what.starts_with("holds no private key in PEM"));
    CHECK(fault_of({good.certificate, folder.path("locked")}).what ==
          "the key is encrypted: store it without a passphrase");
    const auto mismatch = fault_of({good.certificate, other.key});
    CHECK(mismatch.file == other.key);
    CHECK(mismatch.what == "is not the key of the first certificate in " + good.certificate);
    CHECK(fault_of({folder.path("."), good.key}).file == folder.path("."));
    CHECK(net::TlsServer::load({}, nullptr).has_error());
}

TEST_CASE("a set tells what it holds", "[net][tls]") {
    const Folder folder;
    const auto ec =
        make_certificate(folder, "a.example", KeyKind::ec, {"DNS:A.example", "DNS:*.b.example"});
    const auto rsa = make_certificate(folder, "only-common-name.example", KeyKind::rsa, {});
    const auto set = server_of({ec, rsa});
    const auto infos = set->certificates();
    REQUIRE(infos.size() == 2);
    CHECK(infos[0].names == std::vector<std::string>{"a.example", "*.b.example"});
    CHECK(infos[0].key_type == "EC");
    CHECK(infos[1].names == std::vector<std::string>{"only-common-name.example"});
    CHECK(infos[1].key_type == "RSA");
    const auto left = infos[0].not_after - std::chrono::system_clock::now();
    CHECK(left > 23h);
    CHECK(left < 25h);
}

TEST_CASE("a missing CA file is named", "[net][tls]") {
    const auto made = net::TlsClient::make({net::PeerCheck::verify, "/nowhere/ca.pem"});
    REQUIRE(!made);
    CHECK(made.error().file == "/nowhere/ca.pem");
}

TEST_CASE("ticket keys rotate, the one before still opens", "[net][tls]") {
    net::TicketKeys keys;
    const auto start = net::TicketKeys::clock::now();
    const auto first = keys.sealing(start);
    REQUIRE(first);
    CHECK(keys.sealing(start + 7h)->name == first->name);
    CHECK(keys.opening(first->name.data(), start + 7h)->current);
    const auto second = keys.sealing(start + 9h);
    CHECK(second->name != first->name);
    const auto old = keys.opening(first->name.data(), start + 9h);
    REQUIRE(old);
    CHECK_FALSE(old->current);
    CHECK_FALSE(keys.opening(first->name.data(), start + 17h));
    const auto third = keys.sealing(start + 18h);
    CHECK_FALSE(keys.opening(first->name.data(), start + 10h));
    CHECK(keys.opening(third->name.data(), start + 18h)->current);
}
