#include "relay/upstream/pool.hpp"

#include "relay/event/stream.hpp"
#include "tests/catch.hpp"
#include "tests/unit/upstream/server.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::test::Server;
using clock_type = std::chrono::steady_clock;
using How = AttemptResult::How;

namespace {

/// What an attempt refers to.
struct Mail {
    postern::proto::Envelope envelope;
    std::string text = "Subject: x\r\n\r\nHello\r\n";
};

/// One thread's pool, an upstream of its own and the loop that both run on.
class Bench {
  public:
    explicit Bench(std::uint32_t concurrency) {
        PathSettings settings;
        settings.upstream.name = "primary";
        settings.upstream.concurrency = concurrency;
        settings.upstream.address.host = "127.0.0.1";
        settings.upstream.address.port = server.port();
        settings.hostname = "relay.example";
        path = std::make_shared<Path>(std::move(settings), events);
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
        context.run_for(5s);
    }

    /// A mail from `sender`, which waits at most half a minute for a connection.
    AttemptPtr start(const std::string& sender) {
        auto mail = std::make_shared<Mail>();
        mail->envelope.mail_from = *postern::proto::parse_mailbox(sender + "@example.org", false);
        mail->envelope.recipients.push_back({});
        mail->envelope.recipients[0].address =
            *postern::proto::parse_mailbox("somebody@example.net", false);
        return pool.start(path,
                          Outgoing{.ref = sender,
                                   .envelope = &mail->envelope,
                                   .recipients = {0},
                                   .pieces = {mail->text},
                                   .size = mail->text.size(),
                                   .keep = mail},
                          false, clock_type::now() + 30s);
    }
    /// Runs until it is so, or for two seconds.
    template <typename Condition>
    bool run_until(Condition condition) {
        const auto end = clock_type::now() + 2s;
        while (!condition() && clock_type::now() < end) context.run_one_for(50ms);
        return condition();
    }
    /// Starts a mail and lets it come to a stop in the row.
    AttemptPtr start_waiting(const std::string& sender) {
        const int before = path->waiting.load();
        AttemptPtr attempt = start(sender);
        REQUIRE(run_until([&] { return path->waiting.load() == before + 1; }));
        return attempt;
    }

    asio::io_context context{1};
    event::NullStream events;
    net::Resolver resolver{context, {}};
    net::TaskGroup tasks{context.get_executor(), [this](std::string_view) { ++thrown; }};
    UpstreamPool pool{context, resolver, tasks, events, {}};
    Server server{context};
    PathPtr path;
    std::function<void()> freed;  ///< Heard when a slot comes free while somebody waits.
    int thrown = 0;
};

}  // namespace

TEST_CASE("those who wait get all the slots that came free together") {
    Bench bench(3);
    for (const char* sender : {"a", "b", "c"}) (void)bench.start(sender);
    REQUIRE(bench.run_until([&] { return bench.server.dots == 3; }));
    for (const char* sender : {"d", "e", "f"}) (void)bench.start_waiting(sender);
    bench.server.drop();
    CHECK(bench.run_until([&] { return bench.server.dots == 6; }));
    CHECK(bench.path->waiting.load() == 0);
}

TEST_CASE("a connection handed over dead leaves whoever got it in the row") {
    Bench bench(1);
    const AttemptPtr first = bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    const AttemptPtr second = bench.start_waiting("b");
    // Another thread is quicker to take the slot.
    Path::Slot stolen;
    bench.freed = [&] {
        if (!stolen) stolen = Path::try_slot(bench.path, clock_type::now());
    };
    bench.server.answer("250 ok\r\n", Server::Then::close);
    REQUIRE(bench.run_until([&] { return first->finished() && stolen; }));
    CHECK(first->take_result().how == How::answered);
    bench.context.run_for(50ms);
    CHECK(bench.path->waiting.load() == 1);
    bench.freed = nullptr;
    stolen = {};
    CHECK(bench.run_until([&] { return bench.server.dots == 2; }));
}

TEST_CASE("who comes now stands behind those who wait") {
    Bench bench(1);
    (void)bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    (void)bench.start_waiting("b");
    AttemptPtr newcomer;
    bench.freed = [&] {
        if (!newcomer) newcomer = bench.start("c");
    };
    bench.server.drop();
    REQUIRE(bench.run_until([&] { return bench.server.dots == 2; }));
    bench.server.answer("250 ok\r\n");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 3; }));
    CHECK(bench.server.senders == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("an attempt given up leaves the row at once") {
    Bench bench(1);
    (void)bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    const AttemptPtr second = bench.start_waiting("b");
    const AttemptPtr third = bench.start_waiting("c");
    second->abandon();
    REQUIRE(bench.run_until([&] { return second->finished(); }));
    CHECK(second->take_result().how == How::abandoned);
    CHECK(bench.path->waiting.load() == 1);
    // One that is given up before it has come to the row does not stop there.
    const AttemptPtr fourth = bench.start("d");
    fourth->abandon();
    REQUIRE(bench.run_until([&] { return fourth->finished(); }));
    bench.server.answer("250 ok\r\n");
    CHECK(bench.run_until([&] { return bench.server.dots == 2; }));
    CHECK(bench.server.senders.back() == "c");
}

TEST_CASE("a 421 to the final dot neither counts against the path nor clears it") {
    Bench bench(1);
    const std::string busy = "421 upstream busy\r\n";
    bench.server.greetings = {busy, busy, busy, busy};
    for (int i = 0; i < 4; ++i) {
        const AttemptPtr attempt = bench.start("a");
        REQUIRE(bench.run_until([&] { return attempt->finished(); }));
        CHECK(attempt->take_result().how == How::broken);
    }
    CHECK_FALSE(bench.path->open_breaker(clock_type::now()));
    const AttemptPtr told = bench.start("b");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    bench.server.answer(busy, Server::Then::close);
    REQUIRE(bench.run_until([&] { return told->finished(); }));
    CHECK(told->take_result().how == How::answered);
    CHECK_FALSE(bench.path->open_breaker(clock_type::now()));
    bench.server.greetings = {busy};
    const AttemptPtr last = bench.start("c");
    REQUIRE(bench.run_until([&] { return last->finished(); }));
    CHECK(bench.path->open_breaker(clock_type::now()));
}
