#include "relay/intake/webhook_json.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "proto/reply.hpp"
#include "proto/report_words.hpp"
#include "proto/utf8.hpp"

namespace postern::relay::intake {
namespace {

constexpr std::size_t detail_limit = 64;

/// A step of a pointer: `~1` is a slash, `~0` a tilde.
std::string unescaped(std::string_view step) {
    std::string out;
    for (std::size_t i = 0; i < step.size(); ++i) {
        const bool escape = step[i] == '~' && i + 1 < step.size();
        if (escape && step[i + 1] == '1') {
            out += '/';
            ++i;
        } else if (escape && step[i + 1] == '0') {
            out += '~';
            ++i;
        } else {
            out += step[i];
        }
    }
    return out;
}

const Json* step_into(const Json& value, std::string_view step) {
    if (value.is_object()) {
        const auto member = value.find(unescaped(step));
        return member == value.end() ? nullptr : &*member;
    }
    if (!value.is_array()) return nullptr;
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
    const bool whole = error == std::errc() && end == step.data() + step.size();
    const bool leading_zero = step.size() > 1 && step.front() == '0';
    return whole && !leading_zero && index < value.size() ? &value[index] : nullptr;
}

std::string_view classes_of(WordKind kind) noexcept {
    switch (kind) {
        case WordKind::bounce:
        case WordKind::deferral:
            return "54";
        case WordKind::delivery:
        case WordKind::complaint:
        case WordKind::other:
            break;
    }
    return {};
}

}  // namespace

std::optional<Json> parse_webhook(std::string_view text) {
    return auth::parse_bounded(text, {.depth = 24, .values = 65536});
}

const Json* at_pointer(const Json& value, std::string_view pointer) {
    const Json* at = &value;
    if (!is_pointer(pointer)) return nullptr;
    while (at != nullptr && !pointer.empty()) {
        pointer.remove_prefix(1);
        const std::string_view step = pointer.substr(0, pointer.find('/'));
        at = step_into(*at, step);
        pointer.remove_prefix(step.size());
    }
    return at;
}

bool is_pointer(std::string_view text) noexcept {
    if (!text.empty() && text.front() != '/') return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '~') continue;
        if (i + 1 == text.size() || (text[i + 1] != '0' && text[i + 1] != '1')) return false;
    }
    return true;
}

std::string text_at(const Json& value, std::string_view pointer) {
    const Json* const found = at_pointer(value, pointer);
    if (found == nullptr) return {};
    if (const auto* const text = found->get_ptr<const std::string*>()) return *text;
    if (const auto* const number = found->get_ptr<const Json::number_unsigned_t*>())
        return std::to_string(*number);
    if (const auto* const number = found->get_ptr<const Json::number_integer_t*>())
        return std::to_string(*number);
    return {};
}

void WordList::add(Word word, bool needs_rcpt) {
    if (call_.words.size() >= max_webhook_words) return unreadable();
    std::string rcpt = proto::foreign_mailbox(word.rcpt);
    if (rcpt.empty() && (needs_rcpt || !word.rcpt.empty())) return unreadable();
    word.rcpt = std::move(rcpt);
    word.via = Via::webhook;
    std::string token = proto::report_token(word.token);
    word.token = token.empty() ? proto::abuse_token(word.token) : std::move(token);
    word.message_id = proto::bracketed_message_id(word.message_id);
    if (word.kind != WordKind::other && word.token.empty() && word.message_id.empty())
        return unreadable();
    const std::string_view classes = classes_of(word.kind);
    word.enhanced = proto::enhanced_code_in(word.enhanced, classes);
    if (word.enhanced.empty()) word.enhanced = proto::status_in(word.text, classes);
    word.text = proto::clean_text(word.text);
    word.detail = word.kind == WordKind::complaint
                      ? proto::to_lower(proto::clean_text(
                            word.detail.empty() ? "abuse" : word.detail, detail_limit))
                      : std::string();
    call_.words.push_back(std::move(word));
}

}  // namespace postern::relay::intake
