#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace postern::relay::dkim {

/// What can go wrong with signing keys.
enum class KeyError : std::uint8_t {
    invalid_domain = 1,  ///< No domain that mail could come from.
    no_keys,             ///< The domain has none.
    no_algorithm,        ///< dkim.algorithms names none.
    new_waits,           ///< Keys that do not sign yet are there already.
    nothing_new,         ///< There are none that could take over.
    damaged,             ///< A file does not hold what it should.
    newer,               ///< A file is of a later version.
    openssl,             ///< A key could not be made, or did not sign.
};
[[nodiscard]] const boost::system::error_category& key_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(KeyError e) noexcept;

template <class T>
using result = boost::system::result<T>;

}  // namespace postern::relay::dkim

template <>
struct boost::system::is_error_code_enum<postern::relay::dkim::KeyError> : std::true_type {};
