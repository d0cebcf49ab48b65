#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/envelope.hpp"
#include "proto/header.hpp"
#include "relay/body.hpp"

namespace postern::relay {

/// An accepted message: envelope, edits, and body by reference. Immutable once built; shared by the
/// session, the upstream attempt and the spool.
struct Message {
    std::string ref;  ///< ULID
    std::string account;
    std::string customer;  ///< Empty: none.
    std::string source;    ///< The address it came from.
    std::string plan;
    proto::Envelope envelope;
    std::chrono::system_clock::time_point received;
    std::string prefix;  ///< Fields put on top, CRLF ended.
    Body body;
    std::vector<proto::HeaderFacts::Range> removals;  ///< Of `body`.
    std::string message_id;
    std::string token;  ///< Of its X-Abuse.
    std::shared_ptr<const void>
        memory;  ///< Its share of the memory for bodies, held as long as the message.

    /// The message as it goes out (unstuffed), in order. Views into this object.
    [[nodiscard]] std::vector<std::string_view> pieces() const;
    [[nodiscard]] std::uint64_t size() const noexcept;
};

using MessagePtr = std::shared_ptr<const Message>;

}  // namespace postern::relay
