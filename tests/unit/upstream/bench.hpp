#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "relay/event/stream.hpp"
#include "relay/upstream/pool.hpp"
#include "tests/catch.hpp"
#include "tests/unit/upstream/server.hpp"

namespace postern::test {

/// What an attempt refers to.
struct Mail {
    proto::Envelope envelope;
    std::string text = "\r\n";
};

/// One thread's pool, an upstream of its own and the loop that both run on.
class Bench {
  public:
    explicit Bench(std::uint32_t concurrency, relay::config::Upstream upstream = {}) {
        relay::PathSettings settings;
        settings.upstream = std::move(upstream);
        settings.upstream.name = "primary";
        settings.upstream.concurrency = concurrency;
        settings.upstream.address.host = "127.0.0.1";
        settings.upstream.address.port = server.port();
        settings.hostname = "relay.example";
        path = std::make_shared<relay::Path>(std::move(settings), events);
        path->on_free = [this] {
            asio::post(context, [this] { pool.wake_waiters(); });
            if (freed) freed();
        };
    }
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;
    ~Bench() {
        freed = nullptr;
        pool.stop();
        server.stop();
        context.run_for(std::chrono::seconds(5));
    }

    /// A mail from `sender`, which waits at most half a minute for a connection. In so many pieces.
    relay::AttemptPtr start(const std::string& sender, std::size_t pieces = 1,
                            const std::string& customer = {}, bool client_waits = false) {
        auto mail = std::make_shared<Mail>();
        mail->envelope.mail_from = *proto::parse_mailbox(sender + "@example.org", false);
        mail->envelope.recipients.push_back({});
        mail->envelope.recipients[0].address = *proto::parse_mailbox("somebody@example.net", false);
        return pool.start(
            path,
            relay::Outgoing{.ref = sender,
                            .envelope = &mail->envelope,
                            .recipients = {0},
                            .pieces = std::vector<std::string_view>(pieces, mail->text),
                            .size = mail->text.size() * pieces,
                            .keep = mail,
                            .shares_as = customer},
            client_waits, std::chrono::steady_clock::now() + std::chrono::seconds(30));
    }
    /// Runs until it is so, or for two seconds.
    template <typename Condition>
    bool run_until(Condition condition) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        while (!condition() && std::chrono::steady_clock::now() < end)
            context.run_one_for(std::chrono::milliseconds(50));
        return condition();
    }
    /// Starts a mail and lets it come to a stop in the row.
    relay::AttemptPtr start_waiting(const std::string& sender, const std::string& customer = {},
                                    bool client_waits = false) {
        const int before = path->waiting.load();
        relay::AttemptPtr attempt = start(sender, 1, customer, client_waits);
        REQUIRE(run_until([&] { return path->waiting.load() == before + 1; }));
        return attempt;
    }

    asio::io_context context{1};
    relay::event::NullStream events;
    relay::net::Resolver resolver{context, {}};
    relay::net::TaskGroup tasks{context.get_executor(), [this](std::string_view) { ++thrown; }};
    relay::UpstreamPool pool{context, resolver, tasks, events, {}};
    Server server{context};
    relay::PathPtr path;
    std::function<void()> freed;  ///< Heard when a slot comes free while somebody waits.
    int thrown = 0;
};

}  // namespace postern::test
