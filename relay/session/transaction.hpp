#pragma once

#include "relay/session/driver.hpp"

namespace postern::relay {

/// One message under way, from MAIL to its answer.
struct SessionDriver::Transaction {
    Transaction(SnapshotPtr now, const std::string& hostname)
        : snapshot(std::move(now)), header(hostname) {}

    SnapshotPtr snapshot;        ///< What `L` keys are read from: the one at MAIL.
    policy::Reservation tokens;  ///< Given back unless the message is accepted.
    BodyBudget::Claim memory;
    Body body;
    proto::HeaderScanner header;
    SteadyTime began = std::chrono::steady_clock::now();
    SteadyTime data_began;
    std::uint64_t arrived = 0;      ///< Octets of the body, as they came over the wire.
    SteadyTime rate_since;          ///< Since when their rate is measured;
    std::uint64_t rate_octets = 0;  ///< its octets then.
    std::chrono::steady_clock::duration waited{};  ///< For commands, since MAIL.
    SteadyTime data_ended;
    std::vector<policy::RuleSeen> rules;  ///< What rules said at MAIL and RCPT without refusing.
    std::uint64_t octets = 0;             ///< Of the body, counted as they come.
    std::string token;                    ///< Of X-Abuse; made once policy has said yes.
    bool has_recipients = false;
    bool judged = false;         ///< The end of data has come before policy.
    bool out_of_memory = false;  ///< The rest is read and forgotten; 452 at the end.

    void forget_body() {
        body.clear();
        memory.release();
    }
};

}  // namespace postern::relay
