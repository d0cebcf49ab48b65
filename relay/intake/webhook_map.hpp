#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/system/result.hpp>

#include "relay/intake/word.hpp"

namespace postern::relay::intake {

inline constexpr std::size_t max_webhook_octets = std::size_t{1} << 20U;  ///< Of one call.
inline constexpr std::size_t max_webhook_words = 1000;                    ///< Of one call.

/// Whose JSON it is; `custom` is what a map describes.
enum class WebhookFormat : std::uint8_t { ses, mailgun, sendgrid, postmark, custom };
[[nodiscard]] std::string_view name(WebhookFormat format) noexcept;
/// `ses`, `mailgun`, `sendgrid`, `postmark`; unset for other names, `custom` among them.
[[nodiscard]] std::optional<WebhookFormat> webhook_format(std::string_view name) noexcept;

/// Where in the JSON of a service what stands: JSON pointers (RFC 6901). `events` and what it
/// points to are told in relay/intake/README.md; all others start at one event. Empty: not there.
struct WebhookMap {
    std::string events;      ///< An array of events, or one; empty: the whole document.
    std::string kind;        ///< What happened; empty: each event is a bounce.
    std::string rcpt;        ///< An address, or an array of them.
    std::string message_id;  ///< With or without angle brackets.
    std::string token;       ///< 32 hex digits, or the body of an X-Abuse field.
    std::string enhanced;    ///< "5.1.1", or a text that holds one.
    std::string text;
    std::string detail;  ///< Of a complaint.
    /// What the values of `kind` mean, whatever their case. Empty: the common words for them.
    std::vector<std::pair<std::string, WordKind>> kinds;
};

/// Sets what the key of a configuration names: a member of WebhookMap, or `kinds.VALUE` with
/// `bounce`, `deferral`, `delivery`, `complaint` or `other`. Empty: done; else what would be right.
[[nodiscard]] std::string set(WebhookMap& map, std::string_view key, std::string_view value);

/// Empty: it can be used; else what would be right, naming the key.
[[nodiscard]] std::string validate(const WebhookMap& map);

/// All of a configuration's map, by set() and validate(). Error: what would be right.
[[nodiscard]] boost::system::result<WebhookMap, std::string> make_map(
    const std::map<std::string, std::string>& keys);

/// What Mailgun signs a call with. The caller checks it before it believes a word.
struct WebhookSignature {
    std::string timestamp;
    std::string token;
    std::string signature;
};

/// A call of a sending service.
struct WebhookCall {
    std::vector<Word> words;     ///< At most max_webhook_words; `via` is webhook.
    std::size_t unreadable = 0;  ///< Events that name no mail or no valid recipient, and those
                                 ///< beyond the most.
    /// Amazon SNS asks to be confirmed at this https URL of its own; empty: it does not.
    std::string confirm_url;
    std::string topic;  ///< TopicArn of an SNS envelope, cleaned; nothing proves it.
    WebhookSignature signature;
};

/// Reads a call. `map` is looked at for `custom` alone. Error: what is wrong with it, fit for a
/// log and an answer. Never throws on foreign text, whatever its depth; memory is bounded by
/// max_webhook_octets.
[[nodiscard]] boost::system::result<WebhookCall, std::string> read_webhook(WebhookFormat format,
                                                                           const WebhookMap& map,
                                                                           std::string_view json);

}  // namespace postern::relay::intake
