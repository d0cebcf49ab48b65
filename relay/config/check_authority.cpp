#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <system_error>

#include "auth/certificate_authority.hpp"
#include "relay/config/check_parts.hpp"

namespace postern::relay::config {
namespace {

constexpr auto renew_within = std::chrono::hours(24 * 14);

/// Unset: it cannot be read, which is told.
std::optional<std::string> read(const std::string& path, std::vector<Finding>& out) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (file.is_open() && !file.bad() && !text.empty()) return text;
    const int why = errno;
    out.push_back({"certificate", Status::fail,
                   file.is_open() && why == 0
                       ? fmt::format("{} is empty", path)
                       : fmt::format("{} cannot be read: {}", path,
                                     std::generic_category().message(why == 0 ? EIO : why)),
                   "name a file that is there and that the relay may read"});
    return std::nullopt;
}

void check_end(const std::string& path, std::string_view what, std::optional<auth::Time> ends,
               std::string_view fix, std::vector<Finding>& out) {
    if (!ends) return;
    const auto now = std::chrono::system_clock::now();
    const std::string day =
        fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(*ends)));
    if (*ends < now) {
        out.push_back(
            {"certificate", Status::fail,
             fmt::format("{}: {} ended on {}: nobody logs in by a name under it", path, what, day),
             std::string(fix)});
        return;
    }
    const bool near = *ends - now < renew_within;
    out.push_back({"certificate", near ? Status::warn : Status::ok,
                   fmt::format("{}: {}, good until {}", path, what, day),
                   near ? std::string(fix) : ""});
}

}  // namespace

void check_authority(const Config& config, std::vector<Finding>& out) {
    const External& external = config.auth.external;
    if (external.ca.empty()) return;
    if (!config.offers("EXTERNAL")) {
        out.push_back({"certificate", Status::warn,
                       "auth.external.ca is set, and no listener offers EXTERNAL",
                       "put EXTERNAL into auth.mechanisms, or take auth.external out"});
    }
    const auto ca = read(external.ca, out);
    if (!ca) return;
    std::optional<std::string> crl;
    if (!external.crl.empty()) {
        crl = read(external.crl, out);
        if (!crl) return;
    }
    using In = auth::CertificateAuthority::Fault::In;
    // Where names stand does not matter here.
    const auto made = auth::CertificateAuthority::make(*ca, crl, auth::NameFrom::email);
    if (!made) {
        const bool in_ca = made.error().in == In::ca;
        out.push_back({"certificate", Status::fail,
                       fmt::format("{} {}", in_ca ? external.ca : external.crl, made.error().text),
                       in_ca ? "name the file with the certificates (PEM) of the authorities that "
                               "clients have theirs from"
                             : "name the file with the revocation lists (PEM) of those "
                               "authorities"});
        return;
    }
    const auth::CertificateAuthority& authority = **made;
    check_end(external.ca, "authorities for clients", authority.ca_ends(),
              "put their new certificates there", out);
    if (!crl) return;
    check_end(external.crl, "revocation lists", authority.crl_ends(),
              "fetch them anew, from time to time: the file is watched", out);
    if (authority.unlisted() != 0) {
        out.push_back({"certificate", Status::warn,
                       fmt::format("{} has no list of {} of the authorities in {}: nobody logs in "
                                   "by a name under those",
                                   external.crl, authority.unlisted(), external.ca),
                       "add their lists to the file"});
    }
}

}  // namespace postern::relay::config
