#include "relay/process/privileges.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "relay/descriptor.hpp"

namespace postern::relay::process {
namespace {

class PrivilegeCategory final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.privileges"; }
    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<PrivilegeError>(value)) {
            case PrivilegeError::no_such_user:
                return "the system has no such user";
            case PrivilegeError::is_root:
                return "the relay never stays root";
            case PrivilegeError::not_root:
                return "only root can become another user";
            case PrivilegeError::failed:
                return "the rights of root could not be given up";
        }
        return "unknown";
    }
};

std::vector<gid_t> groups_of(const std::string& name, gid_t gid) {
    int count = 64;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    if (getgrouplist(name.c_str(), gid, groups.data(), &count) < 0) {
        groups.resize(static_cast<std::size_t>(count));
        if (getgrouplist(name.c_str(), gid, groups.data(), &count) < 0) count = 0;
    }
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

User from_passwd(const passwd& entry) {
    return {entry.pw_name, entry.pw_uid, entry.pw_gid, groups_of(entry.pw_name, entry.pw_gid)};
}

std::optional<User> find_user(const std::string& name) {
    // Before any thread is started, so the static buffer of getpwnam is ours alone.
    const passwd* entry = getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) return std::nullopt;
    return from_passwd(*entry);
}

User user_of(uid_t uid, gid_t gid) {
    const passwd* entry = getpwuid(uid);  // NOLINT(concurrency-mt-unsafe)
    if (entry != nullptr) return from_passwd(*entry);
    return {std::to_string(uid), uid, gid, {gid}};  // A container's number without a name.
}

User self() {
    User user = user_of(geteuid(), getegid());
    const int count = getgroups(0, nullptr);
    user.groups.assign(static_cast<std::size_t>(std::max(count, 0)), 0);
    if (count > 0 && getgroups(count, user.groups.data()) < 0) user.groups.clear();
    return user;
}

struct CloseFolder {
    void operator()(DIR* folder) const noexcept { closedir(folder); }
};

/// What root made, and nothing else, goes over; what is looked at is what changes hands, whoever
/// renames and links meanwhile. A second name may be a way to a file outside.
boost::system::result<void> hand_over_file(const Descriptor& file, const struct stat& about,
                                           const User& user) {
    const bool ours = about.st_uid == 0 && (S_ISDIR(about.st_mode) || about.st_nlink == 1);
    if (ours && fchownat(file.get(), "", user.uid, user.gid, AT_EMPTY_PATH) != 0)
        return last_error();
    return {};
}

boost::system::result<void> hand_over_folder(Descriptor folder, const User& user, int depth) {
    constexpr int deepest = 8;
    struct stat about{};
    if (fstat(folder.get(), &about) != 0) return last_error();
    if (auto done = hand_over_file(folder, about, user); !done) return done;
    const int copy = fcntl(folder.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return last_error();
    const std::unique_ptr<DIR, CloseFolder> listing(fdopendir(copy));
    if (!listing) {
        ::close(copy);
        return last_error();
    }
    while (const dirent* entry = readdir(listing.get())) {  // NOLINT(concurrency-mt-unsafe)
        const std::string_view name(entry->d_name);
        if (name == "." || name == "..") continue;
        Descriptor file(openat(folder.get(), entry->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (!file.valid()) continue;
        if (fstat(file.get(), &about) != 0) return last_error();
        if (S_ISDIR(about.st_mode) && depth < deepest) {
            Descriptor below(openat(file.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (!below.valid()) return last_error();
            if (auto done = hand_over_folder(std::move(below), user, depth + 1); !done) return done;
        } else if (auto done = hand_over_file(file, about, user); !done) {
            return done;
        }
    }
    return {};
}

}  // namespace

const boost::system::error_category& privilege_category() noexcept {
    static const PrivilegeCategory category;
    return category;
}

boost::system::error_code make_error_code(PrivilegeError e) noexcept {
    return {static_cast<int>(e), privilege_category()};
}

namespace {

constexpr std::string_view no_own_user =
    "there is no user postern, so the relay runs as nobody; make it with: adduser --system --group "
    "--no-create-home postern";

}  // namespace

boost::system::result<Choice> choose_user(const std::string& configured, const std::string& state) {
    const bool root = geteuid() == 0;
    if (!configured.empty()) {
        auto user = find_user(configured);
        if (!user) return make_error_code(PrivilegeError::no_such_user);
        if (user->uid == 0) return make_error_code(PrivilegeError::is_root);
        if (!root && user->uid != geteuid()) return make_error_code(PrivilegeError::not_root);
        return Choice{root ? std::move(*user) : self(), ""};
    }
    if (!root) return Choice{self(), ""};
    struct stat about{};
    const auto own = find_user("postern");
    const bool has_own = own && own->uid != 0;
    const auto nobody = find_user("nobody");
    if (stat(state.c_str(), &about) == 0 && about.st_uid != 0) {
        std::string warning;
        if (nobody && about.st_uid == nobody->uid) {
            warning = has_own ? fmt::format(
                                    "{} belongs to nobody, so the relay runs as nobody; "
                                    "give it to postern with: chown -R postern: {}",
                                    state, state)
                              : std::string(no_own_user);
        }
        return Choice{user_of(about.st_uid, about.st_gid), std::move(warning)};
    }
    if (has_own) return Choice{*own, ""};
    if (nobody && nobody->uid != 0) return Choice{*nobody, std::string(no_own_user)};
    return make_error_code(PrivilegeError::no_such_user);
}

boost::system::result<void> hand_over_one(const std::string& path, uid_t uid, gid_t gid) {
    if (geteuid() != 0) return {};
    const Descriptor file(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat about{};
    if (!file.valid() || fstat(file.get(), &about) != 0) return last_error();
    return hand_over_file(file, about, User{.name = {}, .uid = uid, .gid = gid, .groups = {}});
}

boost::system::result<void> hand_over(const std::string& state, const User& user) {
    if (::mkdir(state.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
    if (geteuid() != 0) return {};
    Descriptor folder(::open(state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid()) return last_error();
    struct stat about{};
    if (fstat(folder.get(), &about) != 0) return last_error();
    if (about.st_uid == 0 && fchmod(folder.get(), 0700) != 0) return last_error();
    return hand_over_folder(std::move(folder), user, 0);
}

boost::system::result<void> become(const User& user) {
    if (user.uid == 0) return make_error_code(PrivilegeError::is_root);
    if (geteuid() != 0) {
        return geteuid() == user.uid ? boost::system::result<void>()
                                     : make_error_code(PrivilegeError::not_root);
    }
    const std::vector<gid_t> groups =
        user.groups.empty() ? std::vector<gid_t>{user.gid} : user.groups;
    if (setgroups(groups.size(), groups.data()) != 0) return last_error();
    if (setresgid(user.gid, user.gid, user.gid) != 0) return last_error();
    if (setresuid(user.uid, user.uid, user.uid) != 0) return last_error();
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    if (getresuid(&real, &effective, &saved) != 0) return last_error();
    const bool gone = real == user.uid && effective == user.uid && saved == user.uid;
    if (!gone || setuid(0) == 0) return make_error_code(PrivilegeError::failed);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return {};
}

void harden() noexcept {
    umask(077);
    std::signal(SIGPIPE, SIG_IGN);
    // A core would hold passwords and mail. The limit alone: PR_SET_DUMPABLE would also take
    // /proc/self from ourselves.
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

}  // namespace postern::relay::process
