#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

namespace postern::relay::event {

/// Folds the events of one message into what became of it. Pure: events in, in the order of the
/// journal.
class TraceFold {
  public:
    explicit TraceFold(std::string ref) : ref_(std::move(ref)) {}
    /// Events of other messages are passed over.
    void add(const nlohmann::json& event);
    /// `message_id`, `queued`, rcpts[]{rcpt,state,upstream,code,enhanced,text,t},
    /// answered{outcome,code,text} (what the client heard) and notices[]{action,rcpt,result,t}
    /// beside the fields of the `message` event (of a message that was refused before it: of the
    /// last `attempt`). Unset: nothing is known of it.
    [[nodiscard]] std::optional<nlohmann::json> result() const;

  private:
    struct Rcpt {
        std::string rcpt, state, upstream, enhanced, text, t;
        std::optional<int> code;
    };
    Rcpt& of(const std::string& rcpt);
    void settle_all(std::string_view state, const nlohmann::json& event);

    std::string ref_;
    nlohmann::json head_;  // the message, or the last attempt
    nlohmann::json answered_ = nlohmann::json::object();
    nlohmann::json notices_ = nlohmann::json::array();
    bool has_message_ = false;
    bool queued_ = false;
    std::vector<Rcpt> rcpts_;
    std::unordered_map<std::string, std::size_t> index_;  ///< Where in rcpts_.
    /// A client that is logged in may have any number of recipients refused: so many are listed,
    /// and the attempts beyond counted.
    static constexpr std::size_t most_refused = 1000;
    std::uint64_t refused_more_ = 0;
    std::vector<nlohmann::json> refusals_;  ///< Of commands before the end of data.
};

/// What became of a message, found by REF or by Message-ID (with or without its brackets). Files
/// are searched from the newest back. Unset: not found. Blocks. Never throws on what files hold.
[[nodiscard]] std::optional<nlohmann::json> trace(const std::string& folder,
                                                  std::string_view ref_or_message_id);

/// The same by the token of its X-Abuse, which the map in the folder `tokens` knows. What the
/// journal has forgotten of the message already is told as it stands in the map.
[[nodiscard]] std::optional<nlohmann::json> trace_token(const std::string& folder,
                                                        const std::string& tokens,
                                                        std::string_view token);

}  // namespace postern::relay::event
