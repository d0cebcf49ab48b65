#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/classify.hpp"
#include "proto/client_session.hpp"
#include "proto/envelope.hpp"
#include "proto/reply.hpp"

namespace postern::relay {

/// What has become of each recipient of one message during one wait or one spool attempt, over
/// however many paths were tried. Pure.
class Tally {
  public:
    enum class Fate : std::uint8_t {
        open,       ///< No path has settled it: the next one may be tried.
        delivered,  ///< An upstream took responsibility.
        refused,    ///< 5xx that judges the message: final.
        deferred,   ///< 4xx to RCPT, DATA or the dot: to be retried later, not on another path now.
        in_doubt,   ///< The final dot went, its answer was lost: only the same path may have it
                    ///< again.
    };
    struct Line {
        Fate fate = Fate::open;
        proto::Reply reply;  ///< The last word heard; code 0: none.
        proto::UpstreamStage stage = proto::UpstreamStage::connect;
        std::string path;          ///< That said it.
        bool dsn_offered = false;  ///< The path took the DSN parameters over (RFC 3461 5.2.2).
    };

    /// All recipients of the envelope, or those of `which`, are open; the others count as settled
    /// elsewhere.
    Tally(std::size_t recipients, const std::vector<std::uint32_t>* which = nullptr);

    /// What an attempt on `path` said; `more` of its replies judge the path.
    void apply(const std::vector<proto::ClientSession::RecipientResult>& results,
               const std::string& path, bool dsn_offered, proto::PathReplies more = {});
    /// What was kept for later may go to another path now.
    void reopen();
    /// The final dot went to `path` and its answer was lost: what is open is in doubt.
    void lost(const std::string& path);

    [[nodiscard]] std::vector<std::size_t> open() const { return with(Fate::open); }
    [[nodiscard]] std::vector<std::size_t> with(Fate fate) const;
    [[nodiscard]] bool any(Fate fate) const;
    [[nodiscard]] const Line& line(std::size_t recipient) const { return lines_[recipient]; }
    [[nodiscard]] const std::vector<std::size_t>& members() const noexcept { return members_; }
    /// All were refused: what the client hears.
    [[nodiscard]] bool all_refused() const;
    [[nodiscard]] const proto::Reply* first_refusal() const;
    [[nodiscard]] const proto::Reply* first_delivery() const;

  private:
    std::vector<Line> lines_;
    std::vector<std::size_t> members_;
};

}  // namespace postern::relay
