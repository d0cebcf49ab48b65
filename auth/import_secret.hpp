#pragma once

#include <string>
#include <string_view>
#include <variant>

#include <boost/system/result.hpp>

#include "auth/verifier.hpp"
#include "proto/secret.hpp"

namespace postern::auth {

/// What is wrong with a part of an import, and what would be right. Holds nothing of a secret.
struct ImportWrong {
    std::string what;
    std::string right;
};
/// Lets boost::system::result<T, ImportWrong>::value() throw; nothing in postern calls it
/// unchecked.
[[noreturn]] void throw_exception_from_error(const ImportWrong& wrong,
                                             const boost::source_location& where);
template <class T>
using imported = boost::system::result<T, ImportWrong>;

/// Nobody can log in with it: the entry was locked.
struct LockedProof {};
/// Of crypt(3), checked (crypt_form).
struct HashProof {
    std::string crypt;
};
/// A cleartext, SASLprepped: it becomes a verifier and is never stored.
struct CleartextProof {
    proto::Secret prepared;
};
using ImportedProof = std::variant<LockedProof, HashProof, Verifier, CleartextProof>;

/// A password field: `{SCHEME}` and what belongs to it, a hash of crypt(3), a verifier of RFC 5803,
/// or an entry locked by `!` or `*`.
[[nodiscard]] imported<ImportedProof> read_secret(std::string_view field);
/// A password as it is typed.
[[nodiscard]] imported<ImportedProof> read_cleartext(std::string_view password);

}  // namespace postern::auth
