#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/net/stream.hpp"
#include "relay/sink/capture.hpp"
#include "relay/sink/dot_reader.hpp"
#include "relay/sink/fault.hpp"
#include "relay/sink/sink.hpp"

namespace postern::relay::sink {

struct Counts {
    std::uint64_t sessions = 0;
    std::uint64_t mails = 0;
    std::uint64_t recipients = 0;
    std::uint64_t bytes = 0;
};

/// What the sessions of a sink have in common; one thread.
struct Shared {
    const SinkOptions& options;
    FaultTable& faults;
    Capture& capture;
    Counts& counts;
    net::TlsServerPtr tls;
};

/// One connection to the sink. Answers commands that came together with one write.
class SinkSession {
  public:
    SinkSession(Shared& shared, net::Stream stream, std::uint64_t number);

    awaitable<void> run();

  private:
    enum class Next : std::uint8_t { go_on, end };

    awaitable<Next> command(std::string_view line);
    awaitable<Next> ehlo(std::string_view rest, bool extended);
    awaitable<Next> starttls();
    awaitable<Next> auth(std::string_view rest);
    awaitable<Next> mail(std::string_view rest);
    awaitable<Next> rcpt(std::string_view rest);
    awaitable<Next> data();
    awaitable<Next> end_of_data();

    /// The stage's reply, or what a fault makes of it. `accepted` tells whether the reply was ours
    /// (or positive).
    awaitable<Next> answer(Stage stage, std::string_view reply, bool& accepted);
    awaitable<Next> misbehave(const Fault& fault, std::string_view reply, bool& accepted);
    [[nodiscard]] std::vector<std::string> subjects(Stage stage) const;
    awaitable<Next> flush();
    awaitable<Next> fill();
    awaitable<std::optional<std::string>> line_after(std::string_view prompt);
    [[nodiscard]] std::optional<std::string_view> take_line();
    [[nodiscard]] std::optional<std::string_view> unknown_param(
        const std::vector<std::string>& params, bool of_mail) const;
    void say(std::string_view reply);
    void reset();

    Shared& shared_;
    net::Stream stream_;
    std::uint64_t number_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::string out_;
    std::string ehlo_;
    std::optional<std::string> auth_;
    CapturedMail mail_;
    bool in_mail_ = false;
    bool greeted_ = false;
};

}  // namespace postern::relay::sink
