// A load generator for submission servers: many SMTP clients in one thread, over epoll and OpenSSL,
// independent of the relay's own code. Every reply is checked; what is not the expected code is
// counted and the first few are printed. One JSON line at the end. It does not check certificates
// and expects PIPELINING: it is for servers on loopback.
//
//   bench_load --connect 127.0.0.1:PORT --connections 10 --mails 200 --total 2000 --size 10240
//              --tls starttls --user U --password P --from A --to B
//
//   --connections  clients at a time        --mails  mails of one session (1: a session a mail)
//   --total        mails in all             --size   octets of a mail as sent, header included
//   --tls          none, starttls or implicit; every handshake is a full one
//   --user --password  AUTH PLAIN           --timeout  seconds for the whole run
//   --hold         log in on every connection, print a line, and keep them open until standard
//   input ends

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tests/bench/load/client.hpp"

namespace {

using namespace postern::bench;

/// A mail of `size` octets: a header with room for a number, then lines of 76 characters without
/// leading dots.
std::string make_mail(const Options& options, std::size_t& number_at) {
    std::string mail = fmt::format(
        "From: <{}>\r\nTo: <{}>\r\nSubject: A mail of {} octets\r\nDate: Thu, 01 Jan 2026 00:00:00 "
        "+0000\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nMessage-ID: <",
        options.from, options.to, options.size);
    number_at = mail.size();
    mail += fmt::format("{:016}.bench@example.net>\r\n\r\n", 0);
    std::uint32_t seed = 1;
    while (mail.size() + 80 < options.size) {
        for (int i = 0; i < 76; ++i) {
            seed = seed * 1664525U + 1013904223U;
            mail += "abcdefghijklmnopqrstuvwxyz 01234"[(seed >> 24U) & 31U];
        }
        mail += "\r\n";
    }
    if (mail.size() + 2 < options.size) mail.append(options.size - mail.size() - 2, 'x');
    return mail + "\r\n.\r\n";
}

std::string plain_response(const Options& options) {
    const std::string text = '\0' + options.user + '\0' + options.password;
    std::string out((text.size() + 2) / 3 * 4 + 1, '\0');
    const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                  reinterpret_cast<const unsigned char*>(text.data()),
                                  static_cast<int>(text.size()));
    out.resize(static_cast<std::size_t>(n));
    return out;
}

/// Runs `clients` until `done` says so of their results; false when the time is over.
template <typename Done, typename Refill>
bool run(Shared& shared, Clock::time_point until, const Done& done, const Refill& refill) {
    std::array<epoll_event, 256> events{};
    while (!done()) {
        refill();
        const int n =
            ::epoll_wait(shared.epoll, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < n; ++i) {
            auto* client = static_cast<Client*>(events[static_cast<std::size_t>(i)].data.ptr);
            if (client != nullptr)
                client->ready();
            else
                return true;  // standard input ended
        }
        if (Clock::now() < until) continue;
        shared.results.error("timeout", "the run did not end in its time");
        return false;
    }
    return true;
}

constexpr std::size_t most_opening = 64;

/// Opens what may be opened: as many clients as wanted, few of them before their login at a time.
void refill(Shared& shared, std::vector<std::unique_ptr<Client>>& clients) {
    const Options& options = shared.options;
    std::size_t opening = 0;
    for (const auto& client : clients) opening += client->opening() && !client->finished() ? 1 : 0;
    for (const auto& client : clients) {
        if (opening >= most_opening || shared.results.claimed >= options.total) return;
        if (!client->finished()) continue;
        client->open();
        ++opening;
    }
}

std::uint32_t percentile(std::vector<std::uint32_t>& values, double share) {
    if (values.empty()) return 0;
    const auto at = values.begin() +
                    static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::ranges::nth_element(values, at);
    return *at;
}

int hold(Shared& shared, std::vector<std::unique_ptr<Client>>& clients) {
    const Options& options = shared.options;
    Results& results = shared.results;
    const bool in_time = run(
        shared, Clock::now() + options.timeout,
        [&] { return results.held + results.errors >= options.connections; },
        [&] { refill(shared, clients); });
    fmt::print("{{\"held\":{},\"errors\":{}}}\n", results.held, results.errors);
    std::fflush(stdout);
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(shared.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    if (in_time) run(shared, Clock::now() + options.timeout, [] { return false; }, [] {});
    fmt::print("{{\"held\":{},\"errors\":{}}}\n", results.held, results.errors);
    return results.errors == 0 && in_time ? 0 : 1;
}

int load(Shared& shared, std::vector<std::unique_ptr<Client>>& clients) {
    const Options& options = shared.options;
    Results& results = shared.results;
    const auto begun = Clock::now();
    const auto all_finished = [&] {
        return results.claimed >= options.total &&
               std::ranges::all_of(clients, [](const auto& client) { return client->finished(); });
    };
    // A server that refuses everything would else be asked for ever.
    const auto done = [&] { return results.errors >= 1000 || all_finished(); };
    const bool in_time =
        run(shared, begun + options.timeout, done, [&] { refill(shared, clients); });
    const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    fmt::print(
        "{{\"accepted\":{},\"errors\":{},\"sessions\":{},\"seconds\":{:.6f},\"reply_us\":{{\"p50\":"
        "{},\"p99\":{}}},"
        "\"mail_us\":{{\"p50\":{},\"p99\":{}}}}}\n",
        results.accepted, results.errors, results.sessions, seconds,
        percentile(results.reply_us, 0.5), percentile(results.reply_us, 0.99),
        percentile(results.mail_us, 0.5), percentile(results.mail_us, 0.99));
    return results.errors == 0 && in_time && results.accepted == options.total ? 0 : 1;
}

[[noreturn]] void usage(std::string_view what) {
    fmt::print(stderr, "bench_load: {}: see the head of tests/bench/load.cpp\n", what);
    std::exit(2);
}

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || end != text.data() + text.size()) usage(text);
    return value;
}

Options parse(std::vector<std::string_view> words) {
    Options options;
    options.server.sin_family = AF_INET;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view name = words[i];
        if (name == "--hold") {
            options.hold = Hold::yes;
            continue;
        }
        if (++i == words.size()) usage(name);
        const std::string_view value = words[i];
        if (name == "--connect") {
            const auto colon = value.find(':');
            if (colon == std::string_view::npos) usage(value);
            const std::string host(value.substr(0, colon));
            if (::inet_pton(AF_INET, host.c_str(), &options.server.sin_addr) != 1) usage(value);
            options.server.sin_port =
                htons(static_cast<std::uint16_t>(number(value.substr(colon + 1))));
        } else if (name == "--tls") {
            if (value != "none" && value != "starttls" && value != "implicit") usage(value);
            options.tls = value == "none"       ? Tls::none
                          : value == "starttls" ? Tls::starttls
                                                : Tls::implicit;
        } else if (name == "--connections") {
            options.connections = number(value);
        } else if (name == "--mails") {
            options.mails = std::max<std::uint64_t>(1, number(value));
        } else if (name == "--total") {
            options.total = number(value);
        } else if (name == "--size") {
            options.size = number(value);
        } else if (name == "--timeout") {
            options.timeout = std::chrono::seconds(number(value));
        } else if (name == "--user") {
            options.user = value;
        } else if (name == "--password") {
            options.password = value;
        } else if (name == "--from") {
            options.from = value;
        } else if (name == "--to") {
            options.to = value;
        } else {
            usage(name);
        }
    }
    if (options.server.sin_port == 0) usage("--connect is missing");
    if (options.hold == Hold::yes) {
        options.mails = 1;
        options.total = options.connections;
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const Options options = parse({argv + 1, argv + argc});
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls(SSL_CTX_new(TLS_client_method()),
                                                                &SSL_CTX_free);
    SSL_CTX_set_mode(tls.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(tls.get(), SSL_SESS_CACHE_OFF);
    Shared shared{options, tls.get()};
    shared.mail = make_mail(options, shared.number_at);
    shared.auth = "AUTH PLAIN " + plain_response(options) + "\r\n";
    shared.envelope = fmt::format("MAIL FROM:<{}> SIZE={}\r\nRCPT TO:<{}>\r\nDATA\r\n",
                                  options.from, options.size, options.to);
    shared.epoll = ::epoll_create1(EPOLL_CLOEXEC);
    std::vector<std::unique_ptr<Client>> clients;
    for (std::size_t i = 0; i < options.connections; ++i)
        clients.push_back(std::make_unique<Client>(shared));
    return options.hold == Hold::yes ? hold(shared, clients) : load(shared, clients);
}
