#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "relay/config/check_parts.hpp"

namespace postern::relay::config {
namespace {

constexpr unsigned read_right = 4;
constexpr unsigned write_right = 2;
constexpr unsigned enter_right = 1;

bool has(const struct stat& about, const RunsAs& user, unsigned wanted) {
    if (user.uid == 0) return true;
    unsigned bits = about.st_mode & 07U;
    const bool in_group = about.st_gid == user.gid ||
                          std::ranges::find(user.groups, about.st_gid) != user.groups.end();
    if (in_group) bits = (about.st_mode >> 3U) & 07U;
    if (about.st_uid == user.uid) bits = (about.st_mode >> 6U) & 07U;
    return (bits & wanted) == wanted;
}

std::string existing_parent(std::string path) {
    while (path.size() > 1 && ::access(path.c_str(), F_OK) != 0) {
        const auto slash = path.rfind('/');
        path = slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
    }
    return path;
}

void check_readable(const std::string& what, const std::string& path, const std::string& fix,
                    const RunsAs& user, std::vector<Finding>& out) {
    if (path.empty()) return;
    const std::string reason = why_not(path, user, read_right);
    if (reason.empty()) return;
    // At start root reads it before it becomes the user; a reload happens after.
    const bool starts = ::access(path.c_str(), R_OK) == 0;
    out.push_back({"rights", starts ? Status::warn : Status::fail,
                   fmt::format("{} {}: user {} cannot read it{}: {}", what, path, user.name,
                               starts ? " again at a reload" : "", reason),
                   fix});
}

void check_closed(const std::string& what, const std::string& path, std::vector<Finding>& out) {
    struct stat about{};
    if (path.empty() || ::stat(path.c_str(), &about) != 0 || (about.st_mode & 07U) == 0) return;
    out.push_back({"rights", Status::warn,
                   fmt::format("{} {}: everybody on this machine may read it (mode {:o})", what,
                               path, about.st_mode & 0777U),
                   fmt::format("chmod o= {}", path)});
}

/// What another password back-end is asked by, for each login, by the user alone.
void check_backend_rights(const Config& config, const RunsAs& user, std::vector<Finding>& out) {
    const AuthOptions& o = config.auth.options;
    const auto needs = [&](std::string_view what, const std::string& path, unsigned right) {
        const std::string reason = why_not(path, user, right);
        if (reason.empty()) return;
        // It may come later; until then logins hear 454.
        const bool absent = ::access(path.c_str(), F_OK) != 0 && errno == ENOENT;
        out.push_back(
            {"rights", absent ? Status::warn : Status::fail,
             fmt::format("{} {}: user {} cannot use it: {}", what, path, user.name, reason),
             absent ? "start the back-end, or see auth.options"
                    : fmt::format("on Debian: adduser {} sasl", user.name)});
    };
    if (config.auth.backend == AuthBackend::saslauthd)
        needs("auth.options.saslauthd_path", o.saslauthd_path, write_right);
    if (config.auth.backend == AuthBackend::sasldb)
        needs("auth.options.sasldb_path", o.sasldb_path, read_right);
    for (const std::string& file : {o.ldapdb_pw_file, o.sql_passwd_file}) {
        check_readable("password of the back-end", file,
                       fmt::format("chown {} {}", user.name, file), user, out);
        check_closed("password of the back-end", file, out);
    }
}

void check_writable(const std::string& check, const std::string& path, const RunsAs& user,
                    std::vector<Finding>& out) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) {
        const std::string parent = existing_parent(path);
        const bool root = ::geteuid() == 0;
        const std::string reason = root ? "" : why_not(parent, user, write_right | enter_right);
        if (reason.empty()) {
            out.push_back(
                {check, Status::ok, fmt::format("{} is not there yet and will be made", path), ""});
        } else {
            out.push_back({check, Status::fail,
                           fmt::format("{} is not there and cannot be made: {}", path, reason),
                           fmt::format("install -d -m 700 -o {} {}", user.name, path)});
        }
        return;
    }
    if (!S_ISDIR(about.st_mode)) {
        out.push_back({check, Status::fail, fmt::format("{} is no folder", path), "name a folder"});
        return;
    }
    const bool handed_over = about.st_uid == 0 && ::geteuid() == 0;
    const std::string reason = handed_over ? "" : why_not(path, user, write_right | enter_right);
    if (!reason.empty()) {
        out.push_back({check, Status::fail,
                       fmt::format("{}: user {} cannot write there: {}", path, user.name, reason),
                       fmt::format("chown -R {} {}", user.name, path)});
        return;
    }
    if ((about.st_mode & 077U) != 0) {
        out.push_back(
            {check, Status::warn,
             fmt::format("{} is open to other users (mode {:o})", path, about.st_mode & 0777U),
             fmt::format("chmod 700 {}", path)});
        return;
    }
    out.push_back({check, Status::ok, fmt::format("user {} can write {}", user.name, path), ""});
}

void check_space(const Config& config, std::vector<Finding>& out) {
    struct statvfs disk{};
    const std::string place = existing_parent(config.spool.path);
    if (::statvfs(place.c_str(), &disk) != 0) return;
    constexpr std::uint64_t mebi = 1ULL << 20U;
    const std::uint64_t free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    const bool low = free_bytes <= config.spool.reserve;
    const bool near = free_bytes <= config.spool.reserve * 4;
    out.push_back({"spool",
                   low    ? Status::fail
                   : near ? Status::warn
                          : Status::ok,
                   fmt::format("{} MiB free on the disk of {}, {} MiB are kept in reserve",
                               free_bytes / mebi, config.spool.path, config.spool.reserve / mebi),
                   low || near ? "make room, or set spool.path to a larger disk" : ""});
    if (disk.f_files != 0 && disk.f_favail == 0) {
        out.push_back({"spool", Status::fail, "the disk has no inode left",
                       "remove files, or use another disk"});
    }
}

}  // namespace

std::string why_not(const std::string& path, const RunsAs& user, unsigned wanted) {
    std::error_code error;
    // Links are followed, as opening does: letsencrypt's live/ points into archive/.
    const auto whole = std::filesystem::canonical(path, error);
    if (error) return error.message();
    std::filesystem::path so_far;
    for (const auto& part : whole) {
        so_far /= part;
        struct stat about{};
        if (::stat(so_far.c_str(), &about) != 0) return std::generic_category().message(errno);
        const bool last = so_far == whole;
        if (!has(about, user, last ? wanted : enter_right)) {
            return fmt::format("{} has mode {:o}, owner {}, group {}", so_far.string(),
                               about.st_mode & 0777U, about.st_uid, about.st_gid);
        }
    }
    return "";
}

void check_rights(const Config& config, const RunsAs& user, std::vector<Finding>& out) {
    const std::size_t before = out.size();
    check_readable("the configuration", config.file,
                   fmt::format("chgrp {} {} && chmod g+r {}", user.gid, config.file, config.file),
                   user, out);
    for (const Certificate& one : config.tls.all()) {
        constexpr std::string_view fix =
            "copy certificate and key to where the user reads them after each renewal; with "
            "certbot "
            "deploy/certbot-hook does that";
        check_readable("certificate", one.certificate, std::string(fix), user, out);
        check_readable("key", one.key, std::string(fix), user, out);
    }
    for (const std::string& path : {config.auth.external.ca, config.auth.external.crl}) {
        check_readable("for client certificates,", path, fmt::format("chmod o+r {}", path), user,
                       out);
    }
    for (const Upstream& upstream : config.upstream) {
        check_readable("ca of upstream " + upstream.name, upstream.ca,
                       fmt::format("chmod o+r {}", upstream.ca), user, out);
        check_readable("password of upstream " + upstream.name, upstream.password_file,
                       fmt::format("chown {} {}", user.name, upstream.password_file), user, out);
        for (const std::string& file :
             {upstream.oauth.client_secret_file, upstream.oauth.refresh_token_file}) {
            check_readable("oauth secret of upstream " + upstream.name, file,
                           fmt::format("chown {} {}", user.name, file), user, out);
            check_closed("oauth secret of upstream " + upstream.name, file, out);
        }
    }
    for (const Webhook& webhook : config.intake.webhook) {
        check_readable("secret of webhook " + webhook.name, webhook.secret_file,
                       fmt::format("chown {} {}", user.name, webhook.secret_file), user, out);
    }
    const std::string& keys = config.auth.oauth.jwks.file;
    if (config.takes_tokens())
        check_readable("key set", keys, fmt::format("chmod o+r {}", keys), user, out);
    for (const std::string& file : config.login_guard.geoip) {
        // Read once the user is become, at the start already.
        const std::string reason = why_not(file, user, read_right);
        if (reason.empty() || ::access(file.c_str(), F_OK) != 0) continue;
        out.push_back({"rights", Status::fail,
                       fmt::format("login_guard.geoip {}: user {} cannot read it: {}", file,
                                   user.name, reason),
                       fmt::format("chmod o+r {}", file)});
    }
    for (const Certificate& one : config.tls.all()) check_closed("key", one.key, out);
    for (const Upstream& upstream : config.upstream)
        check_closed("password of upstream " + upstream.name, upstream.password_file, out);
    for (const Webhook& webhook : config.intake.webhook)
        check_closed("secret of webhook " + webhook.name, webhook.secret_file, out);
    check_backend_rights(config, user, out);
    if (out.size() == before) {
        out.push_back({"rights", Status::ok,
                       fmt::format("user {} can read all that it needs at a reload", user.name),
                       ""});
    }
}

void check_log(const Config& config, const RunsAs& user, std::vector<Finding>& out) {
    if (config.log.target.kind != LogKind::file) return;
    const std::string& path = config.log.target.path;
    const bool there = ::access(path.c_str(), F_OK) == 0;
    const std::string folder = std::filesystem::path(path).parent_path().string();
    struct stat about{};
    if (::stat(folder.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)) {
        out.push_back({"log", Status::fail, fmt::format("{}: there is no folder {}", path, folder),
                       fmt::format("install -d -o {} {}, or name another file in log.target",
                                   user.name, folder)});
        return;
    }
    // Root opens it before it becomes the user, and gives it to that one.
    if (::geteuid() == 0) return;
    const std::string reason =
        there ? why_not(path, user, write_right) : why_not(folder, user, write_right | enter_right);
    if (reason.empty()) return;
    out.push_back({"log", Status::fail,
                   fmt::format("{}: user {} cannot write it: {}", path, user.name, reason),
                   fmt::format("chown {} {}", user.name, there ? path : folder)});
}

void check_folders(const Config& config, const RunsAs& user, std::vector<Finding>& out) {
    check_writable("state", config.server.state, user, out);
    if (config.spool.path != config.server.state + "/spool")
        check_writable("spool", config.spool.path, user, out);
    check_space(config, out);
}

}  // namespace postern::relay::config
