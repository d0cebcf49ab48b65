#pragma once

#include <sasl/sasl.h>

namespace postern::auth {

/// Cyrus keeps callbacks of every kind as one type and calls each as what its number says it is.
template <class Function>
[[nodiscard]] sasl_callback_ft as_callback(Function* function) noexcept {
    return reinterpret_cast<sasl_callback_ft>(reinterpret_cast<void (*)()>(function));
}

}  // namespace postern::auth
