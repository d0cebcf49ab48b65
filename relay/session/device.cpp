// Who are you, where nobody can log in: a device is known by its address (listeners for devices).

#include <utility>

#include "auth/account.hpp"
#include "policy/decide.hpp"
#include "relay/session/driver.hpp"
#include "relay/session/transaction.hpp"

namespace postern::relay {

namespace {

proto::Reply nobodys_device() {
    return {530, "5.7.0", "authentication required: your address is no device's here", false};
}

/// The credential that the index named, as the account has it now; null: it changed meanwhile.
const auth::Credential* device_in(const auth::AccountPtr& account, const auth::BoundDevice& bound) {
    const auth::Credential* const found =
        account ? auth::find_credential(*account, bound.credential) : nullptr;
    return found != nullptr && found->kind == auth::device_kind ? found : nullptr;
}

}  // namespace

/// At MAIL. True: it is known who sends. False: the answer has been given.
awaitable<bool> SessionDriver::enter_as_device() {
    const config::Listen& listen = snapshot_->config->server.listen[listener_];
    if (!listen.devices) co_return true;  // The machine lets nobody to MAIL before AUTH.
    if (!account_name_.empty()) {
        machine_->identified();  // STARTTLS made it forget.
        co_return true;
    }
    const auto refuse = [this](proto::Reply reply, std::string_view rule) {
        remember_refusal(proto::Session::Stage::mail,
                         policy::Verdict{.kind = policy::VerdictKind::refuse, .rule = rule});
        machine_->refuse(std::move(reply));
        return false;
    };
    const auto bound = services_.accounts.find_device(listen.name, client_ip_);
    if (!bound) co_return refuse(nobodys_device(), "syntax");
    mechanism_ = "device";
    attempt_name_ = bound->account;
    const std::uint64_t generation = services_.accounts.generation();
    auto account = co_await look_up(bound->account);
    if (aborted_) co_return false;
    if (!account) {
        auth::Failure failure;
        failure.account = bound->account;
        failure.detail = "overload";
        tell_login(false, "error", &failure);
        co_return refuse(
            {454, "4.7.0", "your device cannot be looked up now, try again later", false}, "none");
    }
    if (device_in(*account, *bound) == nullptr) co_return refuse(nobodys_device(), "syntax");
    // From here on a change of the account finds this session; one that came since it was read is
    // seen by may_still_send().
    account_ = proved_ = std::move(*account);
    account_name_ = account_->name;
    credential_ = bound->credential;
    account_generation_ = generation;
    const policy::Verdict verdict = admit_account();
    if (!verdict.accepted()) {
        const bool suspended = account_->suspended.has_value();
        tell_login(!suspended, suspended ? "failed" : "error", nullptr);
        account_name_.clear();
        by_account_.release();
        if (verdict.reply.close_after) end_reason_ = std::string(verdict.rule);
        co_return refuse(verdict.reply, verdict.rule);
    }
    by_source_.release();
    by_network_.release();
    // As after any login: neighbours who guess do not keep this source out.
    services_.guard.note_source(source_, std::chrono::steady_clock::now());
    services_.accounts.record_login(account_name_, credential_, source_,
                                    std::chrono::system_clock::now());
    tell_login(true, "ok", nullptr);
    machine_->identified();
    co_return true;
}

}  // namespace postern::relay
