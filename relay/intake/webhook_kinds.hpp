#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "relay/intake/webhook_map.hpp"

namespace postern::relay::intake {

/// What a service's word for an event means, by the tables of webhook_kinds.cpp; `finer` is what
/// parts events of one name (a severity, a type, a reason). Case is not looked at; an unknown event
/// is `other`, an unknown `finer` is as none.
[[nodiscard]] WordKind kind_of(WebhookFormat format, std::string_view event,
                               std::string_view finer) noexcept;

/// Postmark's TypeCode, for calls without its Type; empty: unknown.
[[nodiscard]] std::string_view postmark_type(std::string_view code) noexcept;

/// The kind of that name; unset: there is none.
[[nodiscard]] std::optional<WordKind> word_kind(std::string_view name) noexcept;

}  // namespace postern::relay::intake
