#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "auth/strict_json.hpp"
#include "relay/intake/webhook_map.hpp"

/// JSON of webhooks, and words made of it.
namespace postern::relay::intake {

using auth::Json;

/// One JSON value: at most 24 deep and 65536 values.
[[nodiscard]] std::optional<Json> parse_webhook(std::string_view text);

/// The value a JSON pointer (RFC 6901) names; null: there is none. A pointer that is none names
/// nothing; the empty one names the value itself.
[[nodiscard]] const Json* at_pointer(const Json& value, std::string_view pointer);

/// Whether a text is a JSON pointer.
[[nodiscard]] bool is_pointer(std::string_view text) noexcept;

/// The member, a string or a number, as text; empty: there is none.
[[nodiscard]] std::string text_at(const Json& value, std::string_view pointer);

/// Words as they grow out of one call.
class WordList {
  public:
    explicit WordList(WebhookCall& call) : call_(call) {}

    /// What stands in the word is cleaned, bounded and brought into its form: a Message-ID into
    /// angle brackets, a token found in what may be an X-Abuse field, an enhanced code found in
    /// `enhanced` or else in the text. Words of deliveries and others keep no code. Unreadable: one
    /// that names no mail (unless it is `other`), one whose recipient is no mailbox, and with
    /// `needs_rcpt` one that has none.
    void add(Word word, bool needs_rcpt);
    void unreadable() { ++call_.unreadable; }

  private:
    WebhookCall& call_;
};

/// Readers of the services, each for a whole document. False: it is none of theirs.
[[nodiscard]] bool read_ses(const Json& document, WebhookCall& call);
[[nodiscard]] bool read_mailgun(const Json& document, WebhookCall& call);
[[nodiscard]] bool read_sendgrid(const Json& document, WebhookCall& call);
[[nodiscard]] bool read_postmark(const Json& document, WebhookCall& call);

}  // namespace postern::relay::intake
