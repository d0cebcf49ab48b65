#include "relay/delivery/delivery.hpp"
#include "relay/event/stream.hpp"
#include "tests/unit/spool/harness.hpp"

using namespace postern::relay;
using namespace postern::test;

TEST_CASE("an entry whose attempt ends by an exception comes again") {
    SimulatedFileSystem files;
    Told told;
    const auto spool = open_spool(files, told);
    REQUIRE(commit(*spool, adding(make_entry("one"))).has_value());
    asio::io_context context{1};
    asio::thread_pool offload{1};
    event::NullStream events;
    postern::relay::net::Resolver resolver{context, {}};
    int thrown = 0;
    postern::relay::net::TaskGroup tasks{context.get_executor(),
                                         [&](std::string_view) { ++thrown; }};
    UpstreamPool pool{context, resolver, tasks, events, {}};
    Delivery delivery{{.config = []() -> config::ConfigPtr { throw std::bad_alloc(); },
                       .paths = [] { return std::make_shared<const PathSet>(); },
                       .make_ref = [] { return std::string("ref"); },
                       .random = [] { return 0.5; }},
                      *spool,
                      offload,
                      events};
    const auto now = std::chrono::system_clock::now();
    REQUIRE(spool->take_due(now, 10).size() == 1);
    tasks.spawn(delivery.run_entry(pool, "one"));
    context.run_for(5s);
    CHECK(thrown == 1);
    CHECK(spool->take_due(now + 30s, 10).empty());
    CHECK(spool->take_due(now + 2min, 10).size() == 1);
    offload.join();
}
