// Which mechanism is whose.

#include <algorithm>
#include <array>

#include "auth/exchange.hpp"
#include "auth/exchange_external.hpp"
#include "auth/exchange_password.hpp"
#include "auth/exchange_scram.hpp"
#include "auth/exchange_token.hpp"

namespace postern::auth {
namespace {

struct Served {
    std::string_view mechanism;
    std::unique_ptr<Exchange::Impl> (*make)(const Backend& backend, ExchangeContext context);
};

constexpr std::array served = {
    Served{"SCRAM-SHA-256-PLUS", make_scram_exchange}, Served{"SCRAM-SHA-256", make_scram_exchange},
    Served{"SCRAM-SHA-1", make_scram_exchange},        Served{"PLAIN", make_password_exchange},
    Served{"LOGIN", make_password_exchange},           Served{"EXTERNAL", make_external_exchange},
    Served{"OAUTHBEARER", make_token_exchange},        Served{"XOAUTH2", make_token_exchange},
};

/// Of a mechanism that EHLO did not name.
class NotOffered final : public Exchange::Impl {
  public:
    using Impl::Impl;

  private:
    [[nodiscard]] StepResult prompt() override {
        return fail(Kind::not_offered, "mechanism not offered");
    }
    [[nodiscard]] std::optional<StepResult> quick(std::string_view) override { return prompt(); }
    [[nodiscard]] StepResult work(std::string_view) override { return prompt(); }
    [[nodiscard]] std::optional<std::string> name_said(std::string_view) const override {
        return std::nullopt;
    }
};

}  // namespace

std::unique_ptr<Exchange::Impl> make_exchange(const Backend& backend, ExchangeContext context) {
    const bool offered =
        std::ranges::find(context.offered, context.mechanism) != context.offered.end();
    const auto* const at =
        std::ranges::find(served, std::string_view(context.mechanism), &Served::mechanism);
    if (!offered || at == served.end())
        return std::make_unique<NotOffered>(backend, std::move(context));
    return at->make(backend, std::move(context));
}

const std::vector<std::string>& SaslServer::mechanisms() {
    static const std::vector<std::string> all = [] {
        std::vector<std::string> names;
        for (const Served& one : served) names.emplace_back(one.mechanism);
        return names;
    }();
    return all;
}

}  // namespace postern::auth
