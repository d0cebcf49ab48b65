// What a login costs the relay, without its connection: a remembered PLAIN, the server's part of
// SCRAM-SHA-256, a password that is derived, and how long the store looks for one of very many
// accounts. Prints one line each, with its goal where there is one.
//
//   bench_login [FOLDER] [ACCOUNTS]          (default: /var/tmp, 1,000,000)

#include <time.h>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "auth/account_store.hpp"
#include "auth/sasl_server.hpp"
#include "auth/sqlite.hpp"
#include "proto/base64.hpp"

namespace {

using namespace postern;
using Clock = std::chrono::steady_clock;

constexpr std::string_view password = "correct horse battery staple";

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_login: {}\n", what);
    std::_Exit(1);
}

std::string name_of(std::size_t number) {
    return fmt::format("user{:07}@example.net", number);
}

/// CPU of this thread, in microseconds.
double cpu_us() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// The accounts are written past the store, in one transaction: by the store each would be synced.
void fill(const std::filesystem::path& path, std::size_t accounts) {
    auto opened = auth::Database::open(path, std::chrono::seconds(2));
    if (!opened) fail("cannot open the store's file");
    auth::Database& db = **opened;
    auth::Transaction transaction(db);
    if (transaction.begun()) fail("cannot begin");
    const auto run = [&](const char* sql) {
        if (db.exec(sql)) fail(db.message());
    };
    run("CREATE TEMP TABLE proof AS SELECT kind, salt, iterations, stored_key, server_key, created "
        "FROM credential");
    run(fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
                    "INSERT INTO account (name, version, created) "
                    "SELECT printf('user%07d@example.net', i), 1, 0 FROM n",
                    accounts)
            .c_str());
    run("INSERT INTO owned (account_id, kind, name) SELECT id, 'address', name FROM account "
        "WHERE name LIKE 'user%'");
    run("INSERT INTO credential (account_id, name, kind, salt, iterations, stored_key, server_key, "
        "created) SELECT a.id, '', p.kind, p.salt, p.iterations, p.stored_key, p.server_key, "
        "p.created FROM account a, proof p WHERE a.name LIKE 'user%'");
    if (transaction.commit()) fail("cannot commit");
}

std::unique_ptr<auth::AccountStore> open_store(const std::filesystem::path& path) {
    auth::StoreSettings settings;
    settings.path = path;
    auto opened = auth::AccountStore::open(std::move(settings));
    if (!opened) fail(opened.error().text);
    return std::move(*opened);
}

void told(std::string_view what, double value, std::string_view unit, double goal) {
    fmt::print("{:<58} {:>9.2f} {}", what, value, unit);
    if (goal > 0) fmt::print("   goal {:g}: {}", goal, value <= goal ? "reached" : "MISSED");
    fmt::print("\n");
}

class Logins {
  public:
    explicit Logins(auth::SaslServer& server) : server_(server) {}

    /// One login by PLAIN; true where memory sufficed.
    [[nodiscard]] bool plain() {
        const auto exchange = begin("PLAIN");
        std::string message;
        message += '\0';
        message += name_of(1);
        message += '\0';
        message += password;
        const std::optional<proto::Secret> response{proto::Secret(message)};
        std::optional<auth::StepResult> said = exchange->try_quick(response);
        const bool quick = said.has_value();
        if (!said) said = exchange->step(response);
        if (!std::holds_alternative<auth::Success>(*said)) fail("PLAIN was refused");
        return quick;
    }

    /// One login by SCRAM-SHA-256. The server's CPU in microseconds; what a client computes is not
    /// in it.
    [[nodiscard]] double scram() {
        double cpu = cpu_us();
        const auto exchange = begin("SCRAM-SHA-256");
        const std::string bare = fmt::format("n={},r=rOprNGfwEbeRWgbNEkqO", name_of(1));
        auth::StepResult said = step(*exchange, "n,," + bare);
        double sum = cpu_us() - cpu;
        const auto* challenge = std::get_if<auth::Challenge>(&said);
        if (challenge == nullptr) fail("SCRAM was refused");
        const std::string final = proved(bare, challenge->octets);
        cpu = cpu_us();
        said = step(*exchange, final);
        if (std::holds_alternative<auth::Challenge>(said)) said = step(*exchange, "");
        sum += cpu_us() - cpu;
        if (!std::holds_alternative<auth::Success>(said)) fail("SCRAM was refused at its end");
        return sum;
    }

  private:
    [[nodiscard]] std::unique_ptr<auth::Exchange> begin(std::string mechanism) {
        auth::ExchangeContext context;
        context.mechanism = std::move(mechanism);
        context.source = "192.0.2.7";
        context.offered = {"SCRAM-SHA-256", "PLAIN"};
        return server_.begin(std::move(context));
    }

    [[nodiscard]] static auth::StepResult step(auth::Exchange& exchange, std::string_view octets) {
        const std::optional<proto::Secret> response{proto::Secret(octets)};
        if (auto quick = exchange.try_quick(response)) return std::move(*quick);
        return exchange.step(response);
    }

    /// client-final-message (RFC 5802 7); the salted password is derived once.
    [[nodiscard]] std::string proved(std::string_view bare, std::string_view server_first) {
        const auto field = [&](std::string_view key) {
            const auto at = server_first.find(key) + key.size();
            return server_first.substr(at, server_first.find(',', at) - at);
        };
        if (client_key_.empty()) {
            unsigned rounds = 0;
            const std::string_view digits = field(",i=");
            std::from_chars(digits.data(), digits.data() + digits.size(), rounds);
            const auto salt = proto::base64_decode(field(",s="));
            if (!salt) fail("bad salt");
            const auto salted = auth::pbkdf2_sha256(password, *salt, rounds);
            client_key_ = auth::view(auth::hmac_sha256(auth::view(salted), "Client Key"));
        }
        const std::string without = fmt::format("c=biws,r={}", field("r="));
        const std::string text = fmt::format("{},{},{}", bare, server_first, without);
        const auto signature = auth::hmac_sha256(auth::view(auth::sha256(client_key_)), text);
        std::string proof = client_key_;
        for (std::size_t i = 0; i < proof.size(); ++i)
            proof[i] = static_cast<char>(static_cast<unsigned char>(proof[i]) ^ signature[i]);
        return fmt::format("{},p={}", without, proto::base64_encode(proof));
    }

    auth::SaslServer& server_;
    std::string client_key_;
};

double median(std::vector<double> values, double at = 0.5) {
    std::ranges::sort(values);
    return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

void look_up(auth::AccountStore& store, std::size_t accounts) {
    constexpr std::size_t lookups = 200'000;
    std::mt19937_64 random(1);
    std::vector<double> took;
    took.reserve(lookups);
    for (std::size_t i = 0; i < lookups; ++i) {
        const std::string name = name_of(1 + random() % accounts);
        const auto began = Clock::now();
        const auto found = store.find(name);
        took.push_back(std::chrono::duration<double, std::micro>(Clock::now() - began).count());
        if (!found) fail("an account is not found");
    }
    told(fmt::format("lookup among {} accounts, median", accounts), median(took), "us", 0);
    told(fmt::format("lookup among {} accounts, 99th percentile", accounts), median(took, 0.99),
         "us", 50);
}

}  // namespace

int main(int argc, char** argv) {
    std::string pattern = std::string(argc > 1 ? argv[1] : "/var/tmp") + "/postern-bench.XXXXXX";
    const std::size_t accounts = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1'000'000;
    if (accounts == 0 || ::mkdtemp(pattern.data()) == nullptr) fail("cannot make a folder");
    const std::filesystem::path folder = pattern;
    const auto path = folder / "accounts.db";
    {
        auth::NewAccount first;
        first.name = "first@example.net";
        first.password = proto::Secret(password);
        if (!open_store(path)->add(first, std::chrono::system_clock::now())) fail("cannot add");
    }
    fill(path, accounts);
    {
        const auto store = open_store(path);
        auth::PasswordMemory memory;
        auto server = auth::SaslServer::start({}, *store, memory, auth::FakeVerifiers("key"));
        if (!server) fail(server.error().text);
        Logins logins(**server);

        constexpr int derived = 200;
        constexpr int quick = 200'000;
        constexpr int exchanges = 20'000;
        double began = cpu_us();
        if (logins.plain()) fail("remembered before the first login");
        for (int i = 1; i < derived; ++i) {
            auth::AccountChange change;  // Any change makes memory forget.
            change.plan = fmt::format("plan{}", i);
            if (!store->set(name_of(1), change, std::chrono::system_clock::now()))
                fail("cannot set");
            if (logins.plain()) fail("remembered in spite of a change");
        }
        const double with_changes = (cpu_us() - began) / derived;
        began = cpu_us();
        for (int i = 0; i < quick; ++i) {
            if (!logins.plain()) fail("not remembered");
        }
        told("PLAIN, remembered: CPU a login", (cpu_us() - began) / quick, "us", 20);
        double scram = 0;
        for (int i = 0; i < exchanges; ++i) scram += logins.scram();
        told("SCRAM-SHA-256: the server's CPU a login", scram / exchanges, "us", 60);
        told("PLAIN, derived, and a change of the account: CPU", with_changes, "us", 0);
        look_up(*store, accounts);
    }
    std::filesystem::remove_all(folder);
}
