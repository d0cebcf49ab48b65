// One path, the pools of two threads.
#include <array>
#include <thread>

#include "tests/catch.hpp"
#include "tests/unit/upstream/bench.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::test::Mail;
using postern::test::Server;

namespace {

constexpr int mails_each = 150;

/// A thread's own.
struct Side {
    asio::io_context context{1};
    event::NullStream events;
    net::Resolver resolver{context, {}};
    net::TaskGroup tasks{context.get_executor(), [](std::string_view) {}};
    UpstreamPool pool{context, resolver, tasks, events, {.threads = 2}};
    std::vector<AttemptPtr> attempts;

    void start(const PathPtr& path, int number) {
        auto mail = std::make_shared<Mail>();
        mail->envelope.mail_from = *postern::proto::parse_mailbox("a@example.org", false);
        mail->envelope.recipients.push_back({});
        mail->envelope.recipients[0].address =
            *postern::proto::parse_mailbox("b@example.net", false);
        attempts.push_back(pool.start(path,
                                      Outgoing{.ref = std::to_string(number),
                                               .envelope = &mail->envelope,
                                               .recipients = {0},
                                               .pieces = {mail->text},
                                               .size = mail->text.size(),
                                               .keep = mail,
                                               .shares_as = "c" + std::to_string(number % 5)},
                                      number % 2 == 0, std::chrono::steady_clock::now() + 60s));
    }
    [[nodiscard]] bool all_finished() const {
        return std::ranges::all_of(attempts, [](const auto& one) { return one->finished(); });
    }
    template <typename Done>
    void run_until(Done done) {
        const auto end = std::chrono::steady_clock::now() + 90s;
        while (!done() && std::chrono::steady_clock::now() < end)
            context.run_one_for(std::chrono::milliseconds(10));
    }
};

}  // namespace

TEST_CASE("threads share a path's connections, and nobody waits for ever") {
    for (const std::uint32_t concurrency : {1U, 3U}) {
        asio::io_context serving{1};
        Server server(serving);
        server.answers_itself = true;
        std::array<Side, 2> sides;
        event::NullStream events;
        PathSettings settings;
        settings.upstream.name = "primary";
        settings.upstream.concurrency = concurrency;
        settings.upstream.address = {"127.0.0.1", server.port()};
        settings.hostname = "relay.example";
        const auto path = std::make_shared<Path>(std::move(settings), events);
        path->on_free = [&sides] {
            for (Side& side : sides)
                asio::post(side.context, [&side] { side.pool.wake_waiters(); });
        };
        for (std::size_t i = 0; i < sides.size(); ++i) {
            Side& other = sides.at(1 - i);
            sides.at(i).pool.ask_others = [&other] {
                asio::post(other.context, [&other] { other.pool.shed(); });
            };
        }
        std::atomic<int> finished{0};
        std::thread upstream([&] { serving.run(); });
        std::vector<std::thread> threads;
        for (Side& side : sides) {
            threads.emplace_back([&side, &path, &finished] {
                for (int n = 0; n < mails_each; ++n) side.start(path, n);
                side.run_until([&] { return side.all_finished(); });
                finished.fetch_add(1);
                side.run_until([&] { return finished.load() == 2; });
                side.pool.stop();
                side.run_until([&] { return side.tasks.count() == 0; });
            });
        }
        for (std::thread& one : threads) one.join();
        asio::post(serving, [&server] { server.stop(); });
        upstream.join();
        CHECK(server.dots == 2 * mails_each);
        for (Side& side : sides) {
            REQUIRE(side.all_finished());
            for (const AttemptPtr& attempt : side.attempts)
                CHECK(attempt->take_result().how == AttemptResult::How::answered);
        }
        CHECK(path->waiting.load() == 0);
        CHECK_FALSE(path->first_in_row());
        path->on_free = nullptr;
        CHECK(path->connections() == 0);
    }
}
