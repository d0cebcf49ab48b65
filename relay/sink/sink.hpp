#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace postern::relay::sink {

/// A capturing SMTP server for tests, trials and measurements; it is told how to misbehave.
struct SinkOptions {
    std::string listen = "127.0.0.1:2525";  ///< Port 0: any free one; "listening on A:P" is printed
                                            ///< once it is ready.
    std::string dir;          ///< Gets N.eml (as received, unstuffed) and N.json; made if missing.
    std::string certificate;  ///< PEM; with `key` STARTTLS is offered.
    std::string key;
    bool implicit_tls = false;  ///< TLS from the first octet.
    std::vector<std::string>
        faults;  ///< "STAGE:ACTION[:RCPT]"; more, one a line, in DIR/faults, re-read on change.
    bool discard = false;       ///< Count, keep nothing; SIGUSR1 and the end print the counts.
    bool require_auth = false;  ///< 530 to MAIL before AUTH.
    bool pipelining = true;
    bool eight_bit_mime = true;
    bool smtputf8 = true;
    bool dsn = true;
    std::uint64_t size = 0;  ///< Announced and enforced SIZE, octets; 0: no bound.
    std::string hostname = "sink.example";
};

/// What is wrong with one fault's text, if anything: for the command line.
[[nodiscard]] std::optional<std::string> check_fault(const std::string& text);

/// Serves until SIGTERM or SIGINT; returns the exit code (0, or 4 when it cannot listen or write).
[[nodiscard]] int run_sink(const SinkOptions& options);

}  // namespace postern::relay::sink
