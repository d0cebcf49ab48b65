// `postern check`: does the password back-end start, and does it answer?

#include <chrono>
#include <future>
#include <memory>

#include <fmt/format.h>

#include "auth/auth_pool.hpp"
#include "auth/elsewhere.hpp"
#include "relay/config/backend.hpp"
#include "relay/serve.hpp"
#include "relay/serve/elsewhere.hpp"

namespace postern::relay {

namespace {

/// What a question uses: kept for as long as it lasts.
struct Asked {
    std::unique_ptr<auth::SaslLibrary> library;
    std::unique_ptr<auth::Elsewhere> elsewhere;
    std::promise<auth::BackendAnswer> answer;
};

config::Finding finding(config::Status status, std::string text, std::string fix) {
    return {.check = "backend", .status = status, .text = std::move(text), .fix = std::move(fix)};
}

}  // namespace

std::vector<config::Finding> check_backend(const config::Config& config, config::Reach reach) {
    const auth::ElsewhereSettings settings = elsewhere_settings(config);
    if (settings.kind.empty()) return {};
    auth::bound_waiting(settings);
    auto library = auth::SaslLibrary::start({}, auth::sasl_store(settings));
    if (!library) {
        return {finding(config::Status::fail, library.error().text,
                        "install the package, and see auth.options")};
    }
    if (reach == config::Reach::offline) return {};
    auto asked = std::make_shared<Asked>();
    asked->library = std::move(*library);
    asked->elsewhere = auth::make_elsewhere(settings, *asked->library);
    auto answer = asked->answer.get_future();
    auth::AuthPool pool({.threads = 1});
    auth::AuthPool::Job job;
    job.run = [asked, domain = settings.domain] {
        asked->answer.set_value(
            asked->elsewhere->passwords->check({"postern-check", domain}, "postern-check"));
    };
    const bool taken = pool.submit(std::move(job));
    // A little more than it may take: where it can, it ends by itself and says why.
    const bool came = taken && answer.wait_for(settings.timeout + std::chrono::seconds(1)) ==
                                   std::future_status::ready;
    // One that hangs keeps what it uses.
    (void)pool.stop_within(std::chrono::milliseconds(100));
    const std::string fix =
        "see that it runs, that the relay's user may reach it, and auth.options";
    if (!came) {
        return {finding(
            config::Status::fail,
            fmt::format("{} does not answer within auth.options.timeout", settings.kind), fix)};
    }
    const auth::BackendAnswer said = answer.get();
    using Kind = auth::BackendAnswer::Kind;
    if (said.kind == Kind::error || said.kind == Kind::timeout)
        return {
            finding(config::Status::fail, fmt::format("{}: {}", settings.kind, said.detail), fix)};
    return {finding(config::Status::ok, fmt::format("{} answers", settings.kind), "")};
}

}  // namespace postern::relay
