#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <boost/system/result.hpp>

namespace postern::relay::process {

/// A user of the system, with all its groups.
struct User {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
};

enum class PrivilegeError : int {
    no_such_user = 1,
    is_root,   ///< `root` (or uid 0) as the user to become.
    not_root,  ///< Another user is named and this process may not become it.
    failed,    ///< A call failed, or the rights were not gone afterwards.
};
[[nodiscard]] const boost::system::error_category& privilege_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(PrivilegeError e) noexcept;

struct Choice {
    User user;
    std::string
        warning;  ///< Not empty: nobody was named and `postern` does not exist, so it is `nobody`.
};

/// Whom `serve` and the CLI become when they start as root: `configured`; unset: the owner of
/// `state` unless root; else "postern"; else (with a warning) "nobody". Not started as root: the
/// user that runs already, and a configured name that is another one is an error.
[[nodiscard]] boost::system::result<Choice> choose_user(const std::string& configured,
                                                        const std::string& state);

/// Makes `state` (0700) where it is missing and, as root, hands it with all that is in it to
/// `user`; symbolic links are not followed. Only what belongs to root is handed over, and only what
/// has no second name.
[[nodiscard]] boost::system::result<void> hand_over(const std::string& state, const User& user);

/// The same for the file or folder itself at `path`, but nothing in it.
[[nodiscard]] boost::system::result<void> hand_over_one(const std::string& path, uid_t uid,
                                                        gid_t gid);

/// Becomes `user` for good: groups, gid, uid, and a proof that root is gone. Nothing to do when it
/// is that user already. Before any thread is started.
[[nodiscard]] boost::system::result<void> become(const User& user);

/// umask 077, SIGPIPE ignored, no core file (a core holds passwords). First thing in main.
void harden() noexcept;

}  // namespace postern::relay::process

template <>
struct boost::system::is_error_code_enum<postern::relay::process::PrivilegeError> : std::true_type {
};
