#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "auth/auth_pool.hpp"
#include "login_bench.hpp"

namespace postern::auth {
namespace {

using test::LoginBench;
using test::outcome;
using test::plain;
using test::says;

/// A client's exchange without test macros, which are not for several threads at a time.
std::string log_in_by_scram(const LoginBench& bench, std::string_view name,
                            std::string_view password) {
    const auto exchange = bench.begin("SCRAM-SHA-256-PLUS");
    const std::string gs2 = "p=tls-exporter,,";
    const std::string bare = "n=" + std::string(name) + ",r=nonce";
    StepResult result = exchange->step(says(gs2 + bare));
    const auto* challenge = std::get_if<Challenge>(&result);
    if (challenge == nullptr) return outcome(result);
    const std::string server_first = challenge->octets;
    const auto field = [&](std::string_view key) {
        const std::size_t at = server_first.find(key);
        return server_first.substr(at + key.size(),
                                   server_first.find(',', at + key.size()) - at - key.size());
    };
    const std::string without_proof = "c=" + base64(gs2 + std::string(32, 'e')) +
                                      ",r=" + server_first.substr(2, server_first.find(',') - 2);
    const std::string auth_message = bare + "," + server_first + "," + without_proof;
    const Digest salted = pbkdf2_sha256(password, test::unbase64(field(",s=")),
                                        static_cast<unsigned>(std::stoul(field(",i="))));
    Digest proof = hmac_sha256(view(salted), "Client Key");
    const Digest signature = hmac_sha256(view(sha256(view(proof))), auth_message);
    for (std::size_t i = 0; i < proof.size(); ++i) proof[i] ^= signature[i];
    result = exchange->step(says(without_proof + ",p=" + base64(view(proof))));
    if (!std::holds_alternative<Challenge>(result)) return outcome(result);
    return outcome(exchange->step(says("")));
}

TEST_CASE("many exchanges at once, while accounts change, each get their own answer") {
    const LoginBench bench;
    AuthPool::Settings settings;
    settings.threads = 4;
    settings.queue = 10000;
    AuthPool pool(std::move(settings));
    constexpr int rounds = 60;
    std::atomic<int> wrong{0};
    std::latch done(rounds * 5);
    const auto submit = [&](std::function<std::string()> run, std::string expected) {
        AuthPool::Job job;
        job.run = [&wrong, &done, run = std::move(run), expected = std::move(expected)] {
            if (run() != expected) ++wrong;
            done.count_down();
        };
        if (!pool.submit(std::move(job))) std::abort();
    };
    std::jthread changing([&](const std::stop_token& stop) {
        for (int i = 0; !stop.stop_requested(); ++i) {
            const std::string name = "new" + std::to_string(i) + "@example.net";
            if (!bench.store->add(test::account_named(name, ""), test::noon)) ++wrong;
            if (!bench.store->remove(name)) ++wrong;
        }
    });
    for (int i = 0; i < rounds; ++i) {
        submit(
            [&] {
                return outcome(
                    bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil"))));
            },
            "success ann@example.net");
        submit(
            [&] {
                return outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", "wrong"))));
            },
            "bad_credentials");
        submit(
            [&] {
                const auto exchange = bench.begin("LOGIN");
                (void)exchange->step(says("sue@example.net"));
                return outcome(exchange->step(says("pencil")));
            },
            "suspended");
        submit([&] { return log_in_by_scram(bench, "ann@example.net", "pencil"); },
               "success ann@example.net");
        submit([&] { return log_in_by_scram(bench, "nobody@example.net", "pencil"); },
               "bad_credentials");
    }
    done.wait();
    changing.request_stop();
    changing.join();
    pool.stop();
    CHECK(wrong == 0);
}

}  // namespace
}  // namespace postern::auth
