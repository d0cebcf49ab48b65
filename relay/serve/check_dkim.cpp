// `postern check`: domains whose mail goes unsigned though it should not.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "relay/dkim/key_store.hpp"
#include "relay/serve.hpp"

namespace postern::relay {

namespace {

using config::Finding;
using config::Status;

Finding unreadable_keys(std::string text) {
    return {
        .check = "dkim",
        .status = Status::fail,
        .text = std::move(text),
        .fix = "put the file back from a backup, or remove the domain's keys and make new ones"};
}

bool has_wanted(const dkim::DomainKeys& keys, const config::Dkim& wanted) {
    return std::ranges::any_of(keys.active, [&](const dkim::ActiveKey& one) {
        return std::ranges::find(wanted.algorithms, one.key.algorithm()) != wanted.algorithms.end();
    });
}

}  // namespace

std::vector<Finding> check_dkim(const config::Config& config) {
    constexpr std::size_t most_told = 10;
    std::vector<Finding> out;
    std::size_t damaged = 0;
    const auto files = posix_file_system();
    dkim::KeyStore store(*files, config.server.state + "/dkim",
                         [&](const std::string& file, const std::string& why) {
                             if (++damaged <= most_told)
                                 out.push_back(unreadable_keys(fmt::format("{}: {}", file, why)));
                         });
    const auto domains = store.domains();
    if (!domains) {
        return {{.check = "dkim",
                 .status = Status::fail,
                 .text = fmt::format("{}/dkim: {}", config.server.state, domains.error().message()),
                 .fix = "let the relay's user read it"}};
    }
    const auto now = std::chrono::steady_clock::now();
    std::size_t signing = 0;
    std::size_t left_out = 0;
    for (const std::string& domain : *domains) {
        const dkim::DomainKeysPtr keys = store.load(domain, now);
        if (has_wanted(*keys, config.dkim)) {
            ++signing;
        } else if (!keys->active.empty()) {
            ++left_out;
        }
    }
    if (damaged > most_told)
        out.push_back(unreadable_keys(fmt::format("{} more files", damaged - most_told)));
    if (left_out > 0 && !config.dkim.algorithms.empty()) {
        out.push_back({.check = "dkim",
                       .status = Status::warn,
                       .text = fmt::format("{} {} keys, but none of dkim.algorithms: mail from "
                                           "there goes unsigned",
                                           left_out, left_out == 1 ? "domain has" : "domains have"),
                       .fix = "postern dkim new DOMAIN, publish, postern dkim rotate DOMAIN"});
    }
    const std::string& fallback = config.dkim.default_domain;
    if (!fallback.empty() && !config.dkim.algorithms.empty() &&
        !has_wanted(*store.load(fallback, now), config.dkim)) {
        out.push_back(
            {.check = "dkim",
             .status = Status::warn,
             .text = fmt::format("dkim.default_domain {} has no key that signs", fallback),
             .fix = fmt::format("postern dkim new {}", fallback)});
    }
    if (signing > 0) {
        out.push_back({.check = "dkim",
                       .status = Status::ok,
                       .text = fmt::format("{} {} keys that sign", signing,
                                           signing == 1 ? "domain has" : "domains have"),
                       .fix = ""});
    }
    return out;
}

}  // namespace postern::relay
