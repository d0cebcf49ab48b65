#include "relay/sink/sink.hpp"

#include <csignal>
#include <iostream>

#include <fmt/format.h>
#include <boost/asio/signal_set.hpp>

#include "relay/net/listener.hpp"
#include "relay/net/task_group.hpp"
#include "relay/sink/sink_session.hpp"

namespace postern::relay::sink {

namespace {

awaitable<void> serve(Shared& shared, net::Accepted accepted, std::uint64_t number) {
    SinkSession session(shared, net::Stream(std::move(accepted.socket)), number);
    co_await session.run();
}

void print(const Counts& counts) {
    std::cout << fmt::format("{{\"mails\":{},\"recipients\":{},\"bytes\":{},\"sessions\":{}}}\n",
                             counts.mails, counts.recipients, counts.bytes, counts.sessions)
              << std::flush;
}

std::string text_of(const asio::ip::tcp::endpoint& at) {
    const std::string address = at.address().to_string();
    return at.address().is_v6() ? fmt::format("[{}]:{}", address, at.port())
                                : fmt::format("{}:{}", address, at.port());
}

/// Counts on SIGUSR1; SIGTERM and SIGINT end.
awaitable<void> heed_signals(asio::signal_set& signals, asio::io_context& context,
                             const Counts& counts) {
    for (;;) {
        const auto [ec, number] = co_await signals.async_wait(as_value);
        if (!ec && number == SIGUSR1) {
            print(counts);
            continue;
        }
        context.stop();
        co_return;
    }
}

int complain(const std::string& what) {
    std::cerr << "postern: " << what << '\n';
    return 4;
}

}  // namespace

int run_sink(const SinkOptions& options) {
    net::TlsServerPtr tls;
    if (!options.certificate.empty()) {
        const net::CertificateFiles files{options.certificate, options.key};
        auto loaded = net::TlsServer::load(std::span(&files, 1), net::make_ticket_keys());
        if (!loaded) return complain(loaded.error().file + ": " + loaded.error().what);
        tls = *loaded;
    }
    const bool keep = !options.discard && !options.dir.empty();
    Capture capture(keep ? options.dir : std::string());
    if (!capture.ready()) return complain(options.dir + ": not a folder that can be made or read");
    FaultTable faults(options.faults,
                      options.dir.empty() ? std::string() : options.dir + "/faults");
    Counts counts;
    Shared shared{options, faults, capture, counts, tls};

    const auto descriptor = net::open_listening_socket(options.listen);
    if (!descriptor) return complain(options.listen + ": " + descriptor.error().message());

    asio::io_context context(1);
    asio::signal_set signals(context, SIGTERM, SIGINT, SIGUSR1);
    net::TaskGroup tasks(context.get_executor(), [](std::string_view what) {
        std::cerr << "postern: sink: " << what << '\n';
    });
    std::uint64_t sessions = 0;
    const net::Worker worker{&context, std::make_shared<std::atomic<std::size_t>>(0),
                             [&](net::Accepted accepted) {
                                 tasks.spawn(serve(shared, std::move(accepted), ++sessions));
                             }};
    net::Listener listener(context, *descriptor, std::span(&worker, 1), {});
    tasks.spawn(listener.run());
    tasks.spawn(heed_signals(signals, context, counts));
    std::cout << "listening on " << text_of(listener.local()) << '\n' << std::flush;
    context.run();
    if (options.discard) print(counts);
    return 0;
}

}  // namespace postern::relay::sink
