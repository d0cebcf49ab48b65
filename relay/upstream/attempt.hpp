#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/client_session.hpp"
#include "proto/envelope.hpp"
#include "relay/asio.hpp"
#include "relay/upstream/path_set.hpp"

namespace postern::relay {

/// What is to be sent: views and pointers live as long as `keep`.
struct Outgoing {
    std::string ref;
    const proto::Envelope* envelope = nullptr;
    std::optional<proto::Address> return_path = std::nullopt;  ///< Unset: the envelope's sender.
    std::vector<std::size_t> recipients;                       ///< Of the envelope's.
    std::vector<std::string_view> pieces;                      ///< The message, unstuffed, CRLF.
    std::uint64_t size = 0;
    std::shared_ptr<const void> keep;
    /// On whose account connections and rate go: the customer, or the account of none.
    std::string shares_as = {};

    [[nodiscard]] PathSet::Needs needs() const { return needs_of(*envelope, size); }
};

/// Why an upstream session ended, in words: where, and its reply, or what was met instead.
[[nodiscard]] std::string describe(const proto::ClientSession::Failed& failed);

/// How one try to hand a message to one path ended.
struct AttemptResult {
    enum class How : std::uint8_t {
        answered,   ///< Every recipient has its reply.
        broken,     ///< The path failed before the final dot went: `results` hold what was settled.
        in_doubt,   ///< The final dot went, the answer was lost.
        unfit,      ///< The path does not offer what the message needs; nothing was sent.
        no_slot,    ///< No connection was to be had before the deadline; nothing was sent.
        at_rate,    ///< The path's rate lets no message pass now; nothing was sent.
        abandoned,  ///< Given up by its owner before the final dot.
    };
    How how = How::no_slot;
    std::vector<proto::ClientSession::RecipientResult> results;
    std::optional<proto::ClientSession::Failed> failure;
    bool dsn_offered = false;
};

/// One try under way on one worker, shared by whoever waits and the coroutine that does it. All on
/// one thread.
class Attempt {
  public:
    Attempt(const asio::any_io_executor& executor, PathPtr path, Outgoing outgoing,
            bool client_waits)
        : path_(std::move(path)),
          outgoing_(std::move(outgoing)),
          client_waits_(client_waits),
          changed_(executor) {}

    [[nodiscard]] const PathPtr& path() const noexcept { return path_; }
    [[nodiscard]] const Outgoing& outgoing() const noexcept { return outgoing_; }
    [[nodiscard]] bool client_waits() const noexcept { return client_waits_; }

    // The owner's side.
    /// Waits until the attempt is finished, or `deadline`, or hurry(). True: finished.
    [[nodiscard]] awaitable<bool> wait_until(SteadyTime deadline);
    /// Nothing more may be sent: unless the final dot has gone, the upstream session is closed and
    /// the attempt ends soon.
    void abandon();
    /// We are shutting down: whoever waits stops at once, or, where the final dot has gone, at
    /// `until`.
    void hurry(SteadyTime until);
    [[nodiscard]] bool finished() const noexcept { return result_.has_value(); }
    [[nodiscard]] bool dot_sent() const noexcept { return dot_sent_; }
    [[nodiscard]] AttemptResult take_result() { return std::move(*result_); }

    // The coroutine's side.
    [[nodiscard]] bool abandoned() const noexcept { return abandoned_; }
    /// False: abandoned meanwhile; the dot must not go.
    [[nodiscard]] bool may_send_dot() noexcept {
        if (!abandoned_) dot_sent_ = true;
        return !abandoned_;
    }
    /// For its lifetime: what to close when the attempt is abandoned before its dot. A token, for
    /// what it closes may end by an exception, and before the attempt does.
    class OnAbandon {
      public:
        OnAbandon(Attempt& attempt, std::function<void()> close) : attempt_(attempt) {
            attempt_.close_ = std::move(close);
        }
        OnAbandon(const OnAbandon&) = delete;
        OnAbandon& operator=(const OnAbandon&) = delete;
        ~OnAbandon() { attempt_.close_ = nullptr; }

      private:
        Attempt& attempt_;
    };
    void finish(AttemptResult result);

  private:
    PathPtr path_;
    Outgoing outgoing_;
    bool client_waits_;
    asio::steady_timer changed_;
    std::optional<AttemptResult> result_;
    std::function<void()> close_;
    bool abandoned_ = false;
    bool dot_sent_ = false;
    std::optional<SteadyTime> hurried_;
};

using AttemptPtr = std::shared_ptr<Attempt>;

}  // namespace postern::relay
