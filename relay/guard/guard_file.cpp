#include "relay/guard/guard_file.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "relay/spool/checksum.hpp"

namespace postern::relay {

namespace {

// magic, version, when (ms since 1970), octets of the body; then the checksum of all that and the
// body. Numbers are little-endian.
constexpr std::string_view magic = "PSTNGUAR";
constexpr std::uint32_t version = 1;
constexpr std::size_t described = 8 + 4 + 8 + 8;
constexpr std::size_t header_size = described + 4;
constexpr std::uint64_t largest = 16ULL << 20U;

template <typename T>
void put(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i)
        out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xffU));
}

std::uint64_t get(std::string_view from, std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = size; i > 0; --i)
        value = value << 8U | static_cast<std::uint8_t>(from[at + i - 1]);
    return value;
}

std::int64_t to_ms(std::chrono::system_clock::time_point t) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}

bool is_absent(const boost::system::error_code& error) {
    return error == boost::system::errc::no_such_file_or_directory;
}

}  // namespace

GuardFile::GuardFile(FileSystem& files, std::string folder)
    : files_(files), folder_(std::move(folder)), path_(folder_ + "/guard.snap") {}

std::optional<std::string> GuardFile::load(policy::LoginGuard& guard, Now now) const {
    const auto refuse = [this](std::string_view why) {
        return fmt::format("{}: {}; failed logins are counted from nothing", path_, why);
    };
    const auto file = files_.open(path_, FileSystem::Mode::read);
    if (!file) {
        if (is_absent(file.error())) return std::nullopt;
        return refuse(file.error().message());
    }
    const auto info = (*file)->info();
    if (!info) return refuse(info.error().message());
    if (info->size < header_size) return refuse("it is cut off");
    if (info->size > largest) return refuse("it is too large to be ours");
    std::string text(info->size, '\0');
    const auto got = (*file)->read(0, std::span(text));
    if (!got) return refuse(got.error().message());
    text.resize(*got);
    if (text.size() < header_size) return refuse("it is cut off");
    if (!text.starts_with(magic)) return refuse("it is no file of the login guard");
    if (const auto of = get(text, 8, 4); of != version)
        return refuse(fmt::format("it has version {}, this one knows {}", of, version));
    const std::string_view body = std::string_view(text).substr(header_size);
    if (body.size() != get(text, 20, 8)) return refuse("it is cut off");
    const std::uint32_t sum =
        spool::crc32c(body, spool::crc32c(std::string_view(text).substr(0, described)));
    if (sum != get(text, described, 4)) return refuse("its checksum is wrong");
    const std::chrono::milliseconds passed(to_ms(now.wall) -
                                           static_cast<std::int64_t>(get(text, 12, 8)));
    if (!guard.load(body, passed, now.steady)) return refuse("what it holds is damaged");
    return std::nullopt;
}

boost::system::error_code GuardFile::save(const policy::LoginGuard& guard, Now now) {
    const std::scoped_lock lock(mutex_);
    std::string body = guard.save(now.steady);
    // A quiet relay does not write once a minute.
    if (written_ == body) return {};
    std::string header(magic);
    put(header, version);
    put(header, to_ms(now.wall));
    put(header, static_cast<std::uint64_t>(body.size()));
    put(header, spool::crc32c(body, spool::crc32c(header)));
    if (const auto error = write(header, body)) return error;
    written_ = std::move(body);
    return {};
}

boost::system::error_code GuardFile::write(const std::string& header, const std::string& body) {
    const std::string fresh = path_ + ".new";
    const auto file = files_.open(fresh, FileSystem::Mode::replace);
    if (!file) return file.error();
    const std::array<std::string_view, 2> pieces{header, body};
    if (const auto error = (*file)->write(0, pieces)) return error;
    if (const auto error = (*file)->sync_data()) return error;
    if (const auto error = files_.rename(fresh, path_)) return error;
    return files_.sync_directory(folder_);
}

}  // namespace postern::relay
