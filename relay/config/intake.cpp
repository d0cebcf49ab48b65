#include "relay/config/intake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "relay/config/reading.hpp"

namespace postern::relay::config {
namespace {

constexpr std::string_view listen_key = "intake.listen";

bool is_webhook_name(std::string_view text) {
    constexpr std::size_t longest = 64;
    return !text.empty() && text.size() <= longest && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

void judge_listener(const IntakeListen& listen, const Config& config, const KeysGiven& keys) {
    const auto same = [&](const auto& other) {
        return other.address == listen.address && other.port == listen.port;
    };
    if (std::ranges::any_of(config.server.listen, same) ||
        std::ranges::any_of(config.server.admin, same)) {
        keys.fault(std::string(listen_key),
                   fmt::format("{} is listened on by [server] already; give the intake a port of "
                               "its own",
                               listen.place()));
    }
    if (listen.speech == IntakeSpeech::http && !is_private(listen.address)) {
        keys.fault(std::string(listen_key),
                   fmt::format("{} would take secrets in the clear; write \"{} http tls\", or "
                               "listen on a loopback or private address, behind a proxy that "
                               "does TLS",
                               listen.place(), listen.place()));
    }
    if (listen.mail() && !is_private(listen.address)) {
        keys.notice(std::string(listen_key),
                    fmt::format("{} can be reached from outside; who may speak there is what "
                                "intake.from names, and nothing else",
                                listen.place()));
    }
}

void judge_webhook(const std::string& path, const Webhook& webhook, const KeysGiven& keys) {
    if (!keys.given(path + ".name")) {
        keys.fault(path + ".name", "not set; write what its URL ends in, like \"ses\"");
    } else if (!webhook.name.empty() && !is_webhook_name(webhook.name)) {
        keys.fault(path + ".name",
                   fmt::format("{} is no name of a webhook; use up to 64 of a to z, 0 to 9 and "
                               "dashes, like \"ses\"",
                               in_quotes(webhook.name)));
    } else if (webhook.name.empty()) {
        keys.fault(path + ".name", "is empty; write what its URL ends in, like \"ses\"");
    }
    const bool has_format = keys.given(path + ".format");
    const bool has_map = keys.given(path + ".map");
    if (has_format && has_map) {
        keys.fault(path + ".map", "is for services that have no format; leave it or format out");
    } else if (!has_format && !has_map) {
        keys.fault(path + ".format",
                   "not set; write \"ses\", \"mailgun\", \"sendgrid\" or \"postmark\", or say in "
                   "map where things stand");
    }
    if (has_map && !has_format) {
        if (!webhook.map.contains("message_id") && !webhook.map.contains("token"))
            keys.notice(path + ".map",
                        "names no mail: without message_id or token nothing of it can be counted");
    }
    if (!keys.given(path + ".secret") && !keys.given(path + ".secret_file")) {
        keys.fault(path + ".secret_file",
                   "not set: anybody could report bounces; name the file with the secret that the "
                   "service shows, or signs with");
    } else if (keys.given(path + ".secret") && webhook.secret.empty()) {
        keys.fault(path + ".secret", "is empty; write the secret that the service shows");
    }
}

}  // namespace

void finish_intake(const Config& config, const KeysGiven& keys) {
    const Intake& intake = config.intake;
    std::set<std::string> places;
    for (const IntakeListen& listen : intake.listen) {
        if (!places.insert(listen.place()).second) {
            keys.fault(std::string(listen_key),
                       fmt::format("{} is listed twice; keep one", listen.place()));
            continue;
        }
        judge_listener(listen, config, keys);
    }
    std::set<std::string> names;
    for (std::size_t i = 0; i < intake.webhook.size(); ++i) {
        const std::string path = fmt::format("intake.webhook.{}", i);
        const Webhook& webhook = intake.webhook[i];
        judge_webhook(path, webhook, keys);
        if (!webhook.name.empty() && !names.insert(webhook.name).second) {
            keys.fault(path + ".name",
                       fmt::format("{} is the name of another webhook; write one of its own",
                                   in_quotes(webhook.name)));
        }
    }
    if (!intake.webhook.empty() && std::ranges::all_of(intake.listen, &IntakeListen::mail)) {
        keys.notice("intake.webhook",
                    "cannot be called: no listener of intake.listen speaks http; write one like "
                    "\"127.0.0.1:8090 http\"");
    }
}

}  // namespace postern::relay::config
