#include "relay/oauth/refresh_tokens.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "auth/digest.hpp"
#include "proto/wipe.hpp"
#include "relay/descriptor.hpp"
#include "relay/oauth/token_answer.hpp"

namespace postern::relay::oauth {

namespace {

bool write_whole(int fd, std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

std::string fault_at(const std::string& path) {
    return path + ": " + last_error().message();
}

}  // namespace

RefreshTokens::RefreshTokens(proto::Secret configured, std::string file)
    : configured_(std::move(configured)),
      mark_(auth::hex(auth::view(
          auth::hmac_sha256(configured_.reveal(), "the refresh token that was configured")))),
      file_(std::move(file)) {}

std::vector<proto::Secret> RefreshTokens::candidates() {
    // The file first: `postern check` may have been given one meanwhile.
    if (auto kept = read()) given_ = std::move(kept);
    std::vector<proto::Secret> out;
    if (given_ && given_->reveal() != configured_.reveal()) out.push_back(*given_);
    out.push_back(configured_);
    return out;
}

std::optional<std::string> RefreshTokens::keep(const proto::Secret& given) {
    given_ = given;
    if (file_.empty()) return std::nullopt;
    std::string text;
    text.reserve(mark_.size() + given.reveal().size() + 2);
    text.append(mark_).append("\n").append(given.reveal()).append("\n");
    auto fault = write(text);
    proto::wipe(text);
    return fault;
}

std::optional<proto::Secret> RefreshTokens::read() const {
    if (file_.empty()) return std::nullopt;
    const Descriptor in(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!in.valid()) return std::nullopt;
    std::array<char, max_token + 256> octets{};
    std::size_t filled = 0;
    while (filled < octets.size()) {
        const ssize_t n = ::read(in.get(), octets.data() + filled, octets.size() - filled);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        filled += static_cast<std::size_t>(n);
    }
    std::string_view text(octets.data(), filled);
    std::optional<proto::Secret> out;
    if (text.starts_with(mark_) && text.ends_with('\n') && text.size() > mark_.size() + 2) {
        text.remove_prefix(mark_.size() + 1);
        text.remove_suffix(1);
        if (std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; }))
            out.emplace(text);
    }
    auth::wipe(octets.data(), octets.size());
    return out;
}

std::optional<std::string> RefreshTokens::write(const std::string& text) const {
    const std::string folder = file_.substr(0, file_.rfind('/'));
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fault_at(folder);
    // Whole or not at all: the one before may be good no more.
    const std::string fresh = file_ + ".new";
    {
        const Descriptor out(
            ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!out.valid()) return fault_at(fresh);
        struct stat about{};
        // `check` may be root's, and the relay is not.
        if (::geteuid() == 0 && (::stat(folder.c_str(), &about) != 0 ||
                                 ::fchown(out.get(), about.st_uid, about.st_gid) != 0))
            return fault_at(fresh);
        if (!write_whole(out.get(), text) || ::fsync(out.get()) != 0) return fault_at(fresh);
    }
    if (::rename(fresh.c_str(), file_.c_str()) != 0) return fault_at(file_);
    const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid() || ::fsync(directory.get()) != 0) return fault_at(folder);
    return std::nullopt;
}

}  // namespace postern::relay::oauth
