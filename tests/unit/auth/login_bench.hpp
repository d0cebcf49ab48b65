#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "auth/sasl_server.hpp"
#include "scram_client.hpp"
#include "scratch.hpp"

namespace postern::auth::test {

/// A whole login back-end on a scratch store: ann (password "pencil"), sue (suspended), nopass (no
/// password).
struct LoginBench {
    Scratch scratch;
    std::unique_ptr<AccountStore> store;
    PasswordMemory memory;
    std::unique_ptr<SaslServer> server;

    LoginBench() : store(open_store(settings_at(scratch / "accounts.db"))) {
        add("ann@example.net", "pencil");
        add("sue@example.net", "pencil");
        add("nopass@example.net", "");
        REQUIRE(store
                    ->suspend("sue@example.net",
                              {"operator", {"spam"}, "write to help@example.net", "root"}, noon)
                    .has_value());
        auto started_server = SaslServer::start({}, *store, memory, FakeVerifiers("fake key"));
        if (!started_server) FAIL(started_server.error().text);
        server = std::move(*started_server);
    }

    void add(std::string_view name, std::string_view password) {
        REQUIRE(store->add(account_named(name, password), noon).has_value());
    }

    [[nodiscard]] static ExchangeContext context(std::string mechanism) {
        ExchangeContext made;
        made.mechanism = std::move(mechanism);
        made.source = "192.0.2.7";
        made.bindings.tls_exporter = std::string(32, 'e');
        made.bindings.tls_server_end_point = std::string("\0point\xFF", 7);
        made.offered = SaslServer::mechanisms();
        return made;
    }

    [[nodiscard]] std::unique_ptr<Exchange> begin(std::string mechanism) const {
        return server->begin(context(std::move(mechanism)));
    }
};

[[nodiscard]] inline std::optional<proto::Secret> says(std::string_view text) {
    return proto::Secret(text);
}

[[nodiscard]] inline std::string plain(std::string_view name, std::string_view password,
                                       std::string_view authzid = {}) {
    std::string out(authzid);
    out += '\0';
    out += name;
    out += '\0';
    out += password;
    return out;
}

/// How a step ended, in a word that a table can hold.
[[nodiscard]] inline std::string outcome(const StepResult& result) {
    if (const auto* const challenge = std::get_if<Challenge>(&result))
        return "challenge " + challenge->octets;
    if (const auto* const success = std::get_if<Success>(&result))
        return "success " + success->identity.account->name;
    switch (std::get<Failure>(result).kind) {
        case Failure::Kind::bad_credentials:
            return "bad_credentials";
        case Failure::Kind::malformed:
            return "malformed";
        case Failure::Kind::suspended:
            return "suspended";
        case Failure::Kind::unavailable:
            return "unavailable";
        case Failure::Kind::not_offered:
            return "not_offered";
    }
    return "?";
}

/// The whole SCRAM exchange; the server's signature is checked where it comes so far.
[[nodiscard]] inline StepResult run_scram(Exchange& exchange, ScramClient& client) {
    StepResult result = exchange.step(says(client.first()));
    if (!std::holds_alternative<Challenge>(result)) return result;
    result = exchange.step(says(client.final(std::get<Challenge>(result).octets)));
    if (!std::holds_alternative<Challenge>(result)) return result;
    CHECK(std::get<Challenge>(result).octets == "v=" + client.expected_signature);
    return exchange.step(says(""));
}

}  // namespace postern::auth::test
