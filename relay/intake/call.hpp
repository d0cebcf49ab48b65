#pragma once

#include <functional>
#include <string>
#include <vector>

#include <boost/system/result.hpp>

#include "relay/config/config.hpp"
#include "relay/intake/signature.hpp"
#include "relay/intake/word.hpp"

namespace postern::relay::intake {

/// What one call of a webhook said.
struct Call {
    std::vector<Word> words;
    std::string confirm_url;  ///< Of a subscription that waits to be confirmed; else empty.
    MailgunStamp mailgun;
};

/// Reads a call's JSON by the webhook's format or map. Pure; may take milliseconds. Error: what is
/// wrong with it.
using ReadCall = std::function<boost::system::result<Call, std::string>(
    const config::Webhook& webhook, const std::string& json)>;

}  // namespace postern::relay::intake
