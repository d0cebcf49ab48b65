#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proto/reply.hpp"

namespace postern::proto {

/// What the session machine says by itself, one name a row of the table in replies.cpp.
enum class Say : std::uint8_t {
    // all is well
    tls_ready,
    auth_done,
    bye,
    ok,
    reset_done,
    cannot_verify,
    sender_ok,
    recipient_ok,
    data_go,
    // order and syntax
    unknown_command,
    line_too_long,
    auth_line_too_long,
    bad_octets,
    bad_arguments,
    argument_missing,
    no_arguments,
    unknown_parameter,
    bad_parameter,
    out_of_order,
    mail_first,
    mail_twice,
    no_recipients,
    in_bdat,
    tls_already,
    login_already,
    ehlo_first,
    no_expn,
    not_offered,
    tls_first,
    login_first,
    // AUTH
    auth_mechanism,
    auth_base64,
    auth_cancelled,
    // addresses and what a message needs
    bad_address,
    address_too_long,
    no_domain,
    needs_smtputf8,
    bad_utf8,
    too_many_recipients,
    too_large,
    no_8bit,
    no_smtputf8,
    // at the end of data
    bad_newlines,
    long_line,
    // ends of the connection
    spoke_first,
    not_smtp,
    garbage,
    endless_line,
    bad_bdat,
    idle,
    too_many_errors,
};

/// The reply of a row. Its text holds no octet of a client's.
[[nodiscard]] Reply reply_of(Say say);

/// Whether it counts towards SessionSettings::max_errors: wrong commands do, refused addresses and
/// messages do not.
[[nodiscard]] bool is_protocol_error(Say say) noexcept;

/// Puts ` [ref]` at the end of the last line, once, and shortens the line so that it is not cut
/// off.
void append_ref(Reply& reply, std::string_view ref);

/// An enhanced code that is missing or of another class than the reply becomes X.0.0 (RFC 2034 4).
void complete_enhanced(Reply& reply);

}  // namespace postern::proto
