#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::auth {

inline constexpr std::size_t max_name_octets =
    1024;  ///< Of a login name as typed; Cyrus' buffers end there.

/// A name or password as it may stand in a message: UTF-8 of 1 to max_name_octets octets without
/// NUL.
[[nodiscard]] bool well_formed(std::string_view text) noexcept;

/// RFC 4616 2: [authzid] NUL authcid NUL passwd. Views into the message.
struct PlainMessage {
    std::string_view authzid;
    std::string_view authcid;
    std::string_view password;
};
/// Unset: malformed (a NUL too many or too few, an empty name or password, no UTF-8, too long).
[[nodiscard]] std::optional<PlainMessage> parse_plain(std::string_view message) noexcept;

/// RFC 5801 4: what the client says of channel binding.
enum class BindingFlag : std::uint8_t {
    unsupported,  ///< n: the client cannot
    unoffered,    ///< y: the client can and believes that the server cannot
    used,         ///< p=NAME
};

/// RFC 5801 4: gs2-header, less the "F" that none of our mechanisms has.
struct Gs2Header {
    BindingFlag flag = BindingFlag::unsupported;
    std::string binding;  ///< The name behind p=.
    std::string authzid;  ///< Decoded; empty: none.
};
/// Takes it off `message`, its second comma too. Unset: malformed.
[[nodiscard]] std::optional<Gs2Header> take_gs2_header(std::string_view& message);

/// RFC 5802 7: client-first-message.
struct ScramFirst : Gs2Header {
    std::string name;    ///< Decoded.
    std::string header;  ///< The gs2 header as sent, to its second comma: what c= must repeat.
};
/// Unset: malformed, or a mandatory extension (m=), of which there is none.
[[nodiscard]] std::optional<ScramFirst> parse_scram_first(std::string_view message);

/// RFC 5802 7: client-final-message; gives the base64 behind c=. Unset: malformed. Nonce and proof
/// are Cyrus' to judge.
[[nodiscard]] std::optional<std::string_view> binding_of_final(std::string_view message) noexcept;

}  // namespace postern::auth
