// Any octets as parameters of MAIL and RCPT. Property: what is kept may be sent on as it is.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/parameters.hpp"
#include "proto/utf8.hpp"

using namespace postern::proto;

namespace {

void require_sendable(std::string_view value, std::size_t most) {
    if (value.size() > most || has_control(value) || value.contains(' ') || !valid_utf8(value))
        std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    Envelope envelope;
    if (read_mail_parameters(text, envelope) == ParameterFault::none)
        require_sendable(envelope.envid, 100);
    for (const bool smtputf8 : {false, true}) {
        Recipient recipient;
        if (read_rcpt_parameters(text, smtputf8, recipient) != ParameterFault::none) continue;
        require_sendable(recipient.orcpt, 500);
        if (!smtputf8 && !is_ascii(recipient.orcpt)) std::abort();
    }
    return 0;
}
