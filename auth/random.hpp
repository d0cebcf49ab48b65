#pragma once

#include <functional>
#include <span>

#include "proto/secret.hpp"

namespace postern::auth {

/// Fills the span with random octets fit for keys.
using RandomBytes = std::function<void(std::span<unsigned char>)>;

/// OpenSSL's generator; aborts the process if it has no entropy, which Linux rules out.
[[nodiscard]] RandomBytes system_random();

/// A password to be read out or typed: 20 characters of an alphabet without look-alikes (no 0 O 1 l
/// I), 114 bits.
[[nodiscard]] proto::Secret generate_password(const RandomBytes& random);

}  // namespace postern::auth
