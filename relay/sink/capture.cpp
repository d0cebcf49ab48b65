#include "relay/sink/capture.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace postern::relay::sink {

namespace {

std::string now_text() {
    const auto now = std::chrono::system_clock::now();
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    const std::time_t seconds = ms / 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       ms % 1000);
}

}  // namespace

Capture::Capture(std::string dir) : dir_(std::move(dir)) {
    if (dir_.empty()) return;
    std::error_code ec;
    std::filesystem::create_directories(dir_, ec);
    ready_ = std::filesystem::is_directory(dir_, ec);
    for (const auto& entry : std::filesystem::directory_iterator(dir_, ec)) {
        const std::string stem = entry.path().stem().string();
        std::uint64_t number = 0;
        const auto [end, bad] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
        if (bad == std::errc() && end == stem.data() + stem.size()) last_ = std::max(last_, number);
    }
}

bool Capture::put(const std::string& name, const std::string& text) const {
    const std::string path = dir_ + "/" + name;
    const std::string temporary = dir_ + "/." + name + ".new";
    {
        std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
        file << text;
        if (!file.flush()) return false;
    }
    std::error_code ec;
    std::filesystem::rename(temporary, path, ec);
    return !ec;
}

std::optional<std::uint64_t> Capture::write(const CapturedMail& mail) {
    const std::uint64_t number = ++last_;
    if (dir_.empty()) return number;
    nlohmann::json json{
        {"mail_from", mail.mail_from},
        {"rcpts", mail.rcpts},
        {"params", mail.mail_params},
        {"rcpt_params", mail.rcpt_params},
        {"bytes", mail.data.size()},
        {"t", now_text()},
        {"ehlo", mail.ehlo},
        {"session", mail.session},
        {"eight_bit", mail.eight_bit},
        {"auth", nullptr},
        {"tls", nullptr},
    };
    if (mail.auth) json["auth"] = *mail.auth;
    if (mail.tls) json["tls"] = *mail.tls;
    const std::string text =
        json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    if (!put(fmt::format("{}.eml", number), mail.data) ||
        !put(fmt::format("{}.json", number), text)) {
        return std::nullopt;
    }
    return number;
}

}  // namespace postern::relay::sink
