// Calls of sending services: any bytes in any format are words within their bounds, or an error.
// First octet: the format; for a map of pointers what stands before the first line end is one.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/reply.hpp"
#include "proto/report_words.hpp"
#include "relay/intake/webhook_map.hpp"

namespace {

using namespace postern::relay::intake;
namespace proto = postern::proto;

void require(bool holds) {
    if (!holds) std::abort();
}

void require_clean(std::string_view text, std::size_t limit) {
    require(text.size() <= limit && proto::clean_text(text, limit) == text);
}

void check(WebhookFormat format, const WebhookMap& map, std::string_view json) {
    const auto call = read_webhook(format, map, json);
    if (!call) {
        require(!call.error().empty());
        return require_clean(call.error(), 510);
    }
    require(call->words.size() <= max_webhook_words);
    for (const Word& word : call->words) {
        require(word.via == Via::webhook);
        require(word.token.empty() || proto::report_token(word.token) == word.token);
        require(word.kind == WordKind::other || !word.token.empty() || !word.message_id.empty());
        require(word.rcpt.empty() || proto::foreign_mailbox(word.rcpt) == word.rcpt);
        require(word.enhanced.empty() ||
                proto::enhanced_code_in(word.enhanced, "54") == word.enhanced);
        require_clean(word.message_id, 998);
        require_clean(word.text, 510);
        require_clean(word.detail, 64);
        require(word.detail.empty() == (word.kind != WordKind::complaint));
    }
    require(call->confirm_url.empty() || call->confirm_url.starts_with("https://sns."));
    require_clean(call->topic, 256);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    std::string_view json(reinterpret_cast<const char*>(data) + 1, size - 1);
    WebhookMap map;
    switch (data[0]) {
        case 'A':
            check(WebhookFormat::ses, map, json);
            break;
        case 'M':
            check(WebhookFormat::mailgun, map, json);
            break;
        case 'S':
            check(WebhookFormat::sendgrid, map, json);
            break;
        case 'P':
            check(WebhookFormat::postmark, map, json);
            break;
        case 'C': {
            const auto end = std::min(json.find('\n'), json.size());
            map.events = std::string(json.substr(0, end));
            json.remove_prefix(std::min(end + 1, json.size()));
            map.kind = "/kind";
            map.rcpt = "/to";
            map.message_id = "/id";
            map.token = "/headers/0";
            map.text = "/text";
            map.detail = "/detail";
            (void)validate(map);
            check(WebhookFormat::custom, map, json);
            break;
        }
        default:
            break;
    }
    return 0;
}
