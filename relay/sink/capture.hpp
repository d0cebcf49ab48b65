#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace postern::relay::sink {

/// A mail as the sink took it.
struct CapturedMail {
    std::string mail_from;
    std::vector<std::string> mail_params;
    std::vector<std::string> rcpts;
    std::vector<std::vector<std::string>> rcpt_params;  ///< Of each recipient.
    std::optional<std::string> auth;                    ///< Who logged in.
    std::optional<std::string> tls;                     ///< "TLSv1.3"
    std::string ehlo;
    std::uint64_t session = 0;
    bool eight_bit = false;
    std::string data;  ///< Unstuffed, as received.
};

/// Writes mails as N.eml and N.json, N from 1 on or behind what is there; each appears whole,
/// N.json last.
class Capture {
  public:
    /// Makes the folder. Empty `dir`: nothing is kept.
    explicit Capture(std::string dir);

    [[nodiscard]] bool ready() const noexcept { return ready_; }
    /// The mail's number; nothing when it cannot be written.
    [[nodiscard]] std::optional<std::uint64_t> write(const CapturedMail& mail);

  private:
    [[nodiscard]] bool put(const std::string& name, const std::string& text) const;

    std::string dir_;
    std::uint64_t last_ = 0;
    bool ready_ = true;
};

}  // namespace postern::relay::sink
