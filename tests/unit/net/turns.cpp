#include "relay/net/turns.hpp"

#include <optional>
#include <string>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "support.hpp"

namespace {

using namespace postern;
using namespace postern::test;
using net::Turns;

constexpr auto in_time = 10s;

awaitable<void> take_one(Turns& turns, std::string& order, char name,
                         std::chrono::milliseconds within = in_time) {
    const auto turn = co_await turns.wait(Turns::clock::now() + within);
    order += turn ? name : '-';
}

}  // namespace

TEST_CASE("whoever else is ready goes on between two turns", "[net]") {
    asio::io_context context(1);
    Turns turns;
    std::string order;
    for (const char name : std::string("abcdefgh"))
        asio::co_spawn(context, take_one(turns, order, name), asio::detached);
    // Ready at the same time as all of those, and again each time it has been served.
    asio::co_spawn(
        context,
        [](std::string& so_far) -> awaitable<void> {
            for (int i = 0; i < 3; ++i) {
                so_far += '!';
                co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
            }
        }(order),
        asio::detached);
    context.run();
    std::string turns_alone = order;
    std::erase(turns_alone, '!');
    CHECK(turns_alone == "abcdefgh");
    CHECK(order.rfind('!') < 6);  // Not behind the crowd.
}

TEST_CASE("a turn that is waited for too long is not had, and the others go on", "[net]") {
    asio::io_context context(1);
    Turns turns;
    std::string order;
    asio::co_spawn(
        context,
        [](Turns& all) -> awaitable<void> {
            const auto turn = co_await all.wait(Turns::clock::now() + in_time);
            asio::steady_timer timer(co_await asio::this_coro::executor, 50ms);
            co_await timer.async_wait(asio::use_awaitable);
        }(turns),
        asio::detached);
    asio::co_spawn(context, take_one(turns, order, 'a', 5ms), asio::detached);
    asio::co_spawn(context, take_one(turns, order, 'b'), asio::detached);
    context.run();
    CHECK(order == "-b");
    CHECK(turns.waiting() == 0);
}

TEST_CASE("who goes away while waiting, or before taking the turn, holds nobody up", "[net]") {
    std::string order;
    {
        asio::io_context context(1);
        Turns turns;
        asio::cancellation_signal cancelled;
        std::optional<Turns::Turn> held;
        run(context, [](Turns& all, std::optional<Turns::Turn>& mine) -> awaitable<void> {
            auto turn = co_await all.wait(Turns::clock::now() + in_time);
            mine.emplace(std::move(*turn));
        }(turns, held));
        asio::co_spawn(context, take_one(turns, order, 'a'),
                       asio::bind_cancellation_slot(cancelled.slot(), asio::detached));
        asio::co_spawn(context, take_one(turns, order, 'b'), asio::detached);
        context.restart();
        context.poll();
        cancelled.emit(asio::cancellation_type::terminal);
        held.reset();
        context.restart();
        context.run();
        CHECK(order.ends_with('b'));
    }
    // And a loop that ends with turns held and waited for leaves nothing behind.
    asio::io_context context(1);
    Turns turns;
    for (const char name : std::string("xyz"))
        asio::co_spawn(context, take_one(turns, order, name), asio::detached);
    context.poll_one();
    turns.stop();
}
