// What our signing of a message costs beside what it cannot do without: one SHA-256 over as many
// octets and the two bare signatures, by OpenSSL, with keys of the same kinds.
//
//   bench_dkim [SECONDS A MEASUREMENT]
//
// One thread, CPU time; both sides in turns, medians of many short rounds. One line of JSON a size.

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "relay/dkim/key_store.hpp"
#include "relay/dkim/signer.hpp"
#include "relay/event/stream.hpp"
#include "relay/spool/file.hpp"

namespace {

using namespace postern::relay;
using postern::proto::DkimAlgorithm;

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_dkim: {}\n", what);
    std::exit(1);
}

/// CPU of this thread: what others do on the machine meanwhile counts as little as it can.
double cpu_us() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Free {
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
    void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
    void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;
using Digest = std::array<unsigned char, 32>;

/// Two keys, and the bare calls.
class Bare {
  public:
    Bare()
        : rsa_(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})),
          ed25519_(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")) {
        if (!rsa_ || !ed25519_) fail("OpenSSL makes no keys");
    }

    void sign(std::string_view message) const {
        Digest digest{};
        unsigned int size = 0;
        if (EVP_Digest(message.data(), message.size(), digest.data(), &size, EVP_sha256(),
                       nullptr) != 1) {
            fail("EVP_Digest");
        }
        sign_rsa(digest);
        sign_ed25519(digest);
    }

  private:
    void sign_rsa(const Digest& digest) const {
        const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new(rsa_.get(), nullptr));
        std::array<unsigned char, 256> signature{};
        std::size_t size = signature.size();
        if (!context || EVP_PKEY_sign_init(context.get()) != 1 ||
            EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1 ||
            EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) != 1 ||
            EVP_PKEY_sign(context.get(), signature.data(), &size, digest.data(), digest.size()) !=
                1) {
            fail("RSA does not sign");
        }
    }
    void sign_ed25519(const Digest& digest) const {
        const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
        std::array<unsigned char, 64> signature{};
        std::size_t size = signature.size();
        if (!context ||
            EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, ed25519_.get()) != 1 ||
            EVP_DigestSign(context.get(), signature.data(), &size, digest.data(), digest.size()) !=
                1) {
            fail("Ed25519 does not sign");
        }
    }

    Owned<EVP_PKEY> rsa_;
    Owned<EVP_PKEY> ed25519_;
};

/// Our signer with both keys of a domain, in a folder of its own.
class Ours {
  public:
    Ours() : files_(posix_file_system()) {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "postern-bench-dkim-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) fail("no folder can be made");
        folder_ = pattern;
        store_ = std::make_unique<dkim::KeyStore>(
            *files_, folder_ + "/dkim",
            [](const std::string& file, const std::string& why) { fail(file + ": " + why); });
        constexpr std::array both{DkimAlgorithm::rsa, DkimAlgorithm::ed25519};
        const auto made = store_->make("example.net", both, std::chrono::system_clock::now());
        if (!made) fail("no keys: " + made.error().message());
        signer_ = std::make_unique<dkim::Signer>(*store_, events_);
        wanted_ = {.ref = "01REF",
                   .from_domain = "example.net",
                   .default_domain = {},
                   .algorithms = {both.begin(), both.end()},
                   .unix_seconds = 1'700'000'000};
    }
    ~Ours() {
        std::error_code error;
        std::filesystem::remove_all(folder_, error);
    }
    Ours(const Ours&) = delete;
    Ours& operator=(const Ours&) = delete;

    void sign(const std::vector<std::string_view>& pieces) {
        const std::string fields = signer_->sign(wanted_, pieces);
        if (fields.size() < 400 || fields.find("a=ed25519-sha256") == std::string::npos)
            fail("a message was not signed by both keys");
    }

  private:
    std::unique_ptr<FileSystem> files_;
    std::string folder_;
    std::unique_ptr<dkim::KeyStore> store_;
    event::NullStream events_;
    std::unique_ptr<dkim::Signer> signer_;
    dkim::Wanted wanted_;
};

/// As mail is: fields, and lines of words.
std::string message(std::size_t octets) {
    std::string out =
        "Received: from relay.example.net by relay.example.net with ESMTPSA\r\n"
        " id 01ARZ3NDEKTSV4RRFFQ69G5FAV; Mon, 02 Mar 2026 09:15:00 +0000\r\n"
        "From: Ann Example <ann@example.net>\r\nTo: Bob <bob@example.org>,\r\n"
        " Carl <carl@example.org>\r\nSubject: About the things of which we spoke\r\n"
        "Date: Mon, 02 Mar 2026 09:15:00 +0000\r\nMessage-ID: <1@client.example.net>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        "X-Abuse: https://relay.example.net/abuse; ref=00112233445566778899aabbccddeeff\r\n"
        "Feedback-ID: 0011223344:::relay.example.net\r\n\r\n";
    constexpr std::string_view line =
        "It was agreed that the second delivery is to come by Friday, at the usual \r\n";
    while (out.size() + line.size() <= octets) out += line;
    return out;
}

double median(std::vector<double>& of) {
    const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
    std::ranges::nth_element(of, middle);
    return *middle;
}

void measure(Ours& ours, const Bare& bare, std::size_t octets, double seconds) {
    const std::string text = message(octets);
    // In pieces, as messages stand in memory.
    constexpr std::size_t a_piece = 16384;
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < text.size(); at += a_piece)
        pieces.push_back(std::string_view(text).substr(at, a_piece));
    constexpr int calls = 10;
    std::vector<double> of_ours;
    std::vector<double> of_bare;
    const double until = cpu_us() + seconds * 1e6;
    // The first round warms up and is not counted.
    for (bool counted = false; cpu_us() < until || of_bare.empty(); counted = true) {
        const double began = cpu_us();
        for (int i = 0; i < calls; ++i) ours.sign(pieces);
        const double between = cpu_us();
        for (int i = 0; i < calls; ++i) bare.sign(text);
        const double ended = cpu_us();
        if (!counted) continue;
        of_ours.push_back((between - began) / calls);
        of_bare.push_back((ended - between) / calls);
    }
    const double mine = median(of_ours);
    const double theirs = median(of_bare);
    fmt::print(
        "{{\"octets\":{},\"ours_us\":{:.1f},\"bare_us\":{:.1f},\"ratio\":{:.3f},\"goal\":1.2,"
        "\"reached\":{}}}\n",
        text.size(), mine, theirs, mine / theirs, mine / theirs <= 1.2);
}

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 3;
    Ours ours;
    const Bare bare;
    for (const std::size_t octets : {std::size_t{2048}, std::size_t{65536}})
        measure(ours, bare, octets, seconds);
}
