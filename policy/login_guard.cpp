#include "policy/login_guard_impl.hpp"
#include "proto/address.hpp"

namespace postern::policy {

namespace {

constexpr std::size_t longest_name = 320;  // octets of an account's name: 64 + @ + 255

}  // namespace

LoginGuard::LoginGuard() : LoginGuard(Settings{}, Bounds{}) {}
LoginGuard::LoginGuard(Settings settings, Bounds bounds)
    : impl_(std::make_unique<Impl>(settings, bounds)) {}
LoginGuard::~LoginGuard() = default;

void LoginGuard::set(Settings settings) noexcept {
    impl_->mode.store(settings.mode, std::memory_order_relaxed);
    impl_->known_for_s.store(settings.known_for.count(), std::memory_order_relaxed);
}

void LoginGuard::Place::leave() noexcept {
    if (count_) count_->fetch_sub(1, std::memory_order_relaxed);
    count_.reset();
}

LoginGuard::Place& LoginGuard::Place::operator=(Place&& other) noexcept {
    if (this != &other) {
        leave();
        count_ = std::move(other.count_);
    }
    return *this;
}

LoginGuard::ConnectAnswer LoginGuard::on_connect(std::string_view source, SteadyTime now) {
    ConnectAnswer answer;
    const auto mode = impl_->mode.load(std::memory_order_relaxed);
    {
        auto& site = impl_->site_of(source);
        const std::scoped_lock lock(site.mutex);
        const auto* s = site.sources.find(source);
        if (s == nullptr) return answer;
        answer.known = s->last_success != never && now - s->last_success < impl_->known_for();
        if (answer.known || mode == Mode::off) return answer;
        answer.would_refuse = now < s->refused_until || s->score.now(now) >= refuse_from;
    }
    answer.refuse = answer.would_refuse && mode == Mode::enforce;
    if (!answer.refuse) return answer;
    if (auto free = impl_->take_place()) {
        answer.place = std::move(*free);
        answer.delay = connect_delay;
    }
    return answer;
}

LoginGuard::Attempt LoginGuard::attempt(std::string_view source, std::string_view account,
                                        std::optional<Mode> account_mode, SteadyTime now) {
    Attempt made;
    made.guard_ = this;
    made.source_ = source;
    made.account_ = proto::normalised_address(account.substr(0, longest_name));
    made.mode_ = account_mode.value_or(impl_->mode.load(std::memory_order_relaxed));
    made.id_ = impl_->next_attempt.fetch_add(1, std::memory_order_relaxed);
    made.waiting_since_ = now;
    return made;
}

void LoginGuard::load_known(std::string_view source, std::string_view account,
                            std::chrono::seconds ago, SteadyTime now) {
    impl_->remember(source, proto::normalised_address(account.substr(0, longest_name)), now - ago,
                    now);
}

bool LoginGuard::known_pair(std::string_view source, std::string_view account,
                            SteadyTime now) const {
    auto& site = impl_->site_of(source);
    const std::scoped_lock lock(site.mutex);
    return impl_->known(site, source, proto::normalised_address(account.substr(0, longest_name)),
                        now) != nullptr;
}

LoginGuard::Stats LoginGuard::stats() const {
    Stats out;
    for (std::size_t i = 0; i < shard_count; ++i) {
        const std::scoped_lock lock(impl_->sites[i]->mutex, impl_->accounts[i]->mutex);
        out.sources += impl_->sites[i]->sources.size();
        out.pairs += impl_->sites[i]->pairs.size();
        out.accounts += impl_->accounts[i]->accounts.size();
    }
    out.delayed = impl_->delayed->load(std::memory_order_relaxed);
    return out;
}

}  // namespace postern::policy
