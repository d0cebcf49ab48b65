#include "policy/login_guard_impl.hpp"

namespace postern::policy {

LoginGuard::Gate LoginGuard::Attempt::ask(SteadyTime now) {
    if (guard_ == nullptr || mode_ == Mode::off) return {};
    auto& impl = *guard_->impl_;
    auto& site = impl.site_of(source_);
    const std::scoped_lock lock(site.mutex);
    auto* s = site.sources.find(source_);
    const auto stop_waiting = [&] {
        if (waiting_ && s != nullptr && s->waiting > 0) --s->waiting;
        waiting_ = false;
        place_ = Place();
    };
    if (s == nullptr || impl.known(site, source_, account_, now) != nullptr) {
        stop_waiting();
        return {};
    }
    const bool flooded = s->answers.wait(now) > longest_delay;
    const bool penalised = delay_of(s->score.now(now), delay_from) > milliseconds{0};
    if (!penalised && !flooded) {
        stop_waiting();
        return {};
    }
    const bool free = (s->turn_of == 0 || s->turn_of == id_) && now >= s->busy_until && !flooded;
    if (mode_ == Mode::observe) {
        return {.kind = Gate::Kind::go, .wait = milliseconds{0}, .observed = !free};
    }
    if (free) {
        stop_waiting();
        s->turn_of = id_;
        holds_turn_ = true;
        return {};
    }
    const bool patient = now - waiting_since_ < longest_delay;
    if (!waiting_ && !flooded && patient && s->waiting < most_waiting) {
        if (auto got = impl.take_place()) {
            place_ = std::move(*got);
            waiting_ = true;
            ++s->waiting;
        }
    }
    if (!waiting_ || !patient || flooded) {
        stop_waiting();
        return {.kind = Gate::Kind::busy, .wait = milliseconds{0}, .observed = false};
    }
    const auto until_free = std::chrono::ceil<milliseconds>(
        s->busy_until == never ? SteadyTime::duration{0} : s->busy_until - now);
    return {.kind = Gate::Kind::wait,
            .wait = std::clamp(until_free, milliseconds{50}, longest_poll),
            .observed = false};
}

LoginGuard::SuccessAnswer LoginGuard::Attempt::succeeded(SteadyTime now, bool clears) {
    SuccessAnswer answer;
    if (guard_ == nullptr) return answer;
    auto& impl = *guard_->impl_;
    {
        auto& site = impl.site_of(source_);
        const std::scoped_lock lock(site.mutex);
        if (auto* pair = impl.known(site, source_, account_, now)) {
            answer.known_pair = true;
            answer.counts.pair_failures = pair->score.now(now);
            if (clears) {
                pair->score = {};
                pair->recent.clear();
            }
        }
        if (const auto* s = site.sources.find(source_)) {
            answer.counts.source_failures = s->score.now(now);
            answer.counts.source_accounts = s->recent.accounts();
        }
    }
    impl.read_account(account_, now, answer.counts);
    impl.remember(source_, account_, now, now);
    abandon();
    return answer;
}

LoginGuard::FailureAnswer LoginGuard::Attempt::failed(std::optional<std::uint64_t> secret_hash,
                                                      int failures_before, SteadyTime now) {
    FailureAnswer answer;
    if (guard_ == nullptr || mode_ == Mode::off) return answer;
    auto& impl = *guard_->impl_;
    const auto account = hash_of(account_);
    double weight = 0;
    bool stranger = true;
    milliseconds delay{0};
    {
        auto& site = impl.site_of(source_);
        const std::scoped_lock lock(site.mutex);
        auto& s = impl.source(site, source_, now);
        if (auto* pair = impl.known(site, source_, account_, now)) {
            stranger = false;
            weight = std::min(weight_new_secret,
                              pair->recent.note(account, secret_hash,
                                                s.recent.any_within(scram_repeat, now), now));
            pair->score.add(weight, now);
            delay = delay_of(pair->score.now(now), delay_from);
        } else {
            weight = s.recent.note(account, secret_hash, false, now);
            s.score.add(weight, now);
            delay = delay_of(s.score.now(now), delay_from);
            if (s.score.now(now) >= refuse_from) s.refused_until = now + refused_for;
        }
        answer.counts.source_failures = s.score.now(now);
        answer.counts.source_accounts = s.recent.accounts();
    }
    const auto account_delay =
        impl.fail_account(account_, hash_of(source_), weight, now, answer.counts);
    if (stranger) delay = std::max(delay, account_delay);
    {
        auto& site = impl.site_of(source_);
        const std::scoped_lock lock(site.mutex);
        auto& s = impl.source(site, source_, now);
        delay += s.answers.wait(now + delay);
        if (delay > longest_delay) {
            delay = longest_delay;
            answer.withhold = mode_ == Mode::enforce;
        } else {
            s.answers.take(now + delay);
        }
        if (stranger && delay > milliseconds{0} && mode_ == Mode::enforce) {
            s.busy_until = std::max(s.busy_until, now + delay);
        }
    }
    abandon();
    answer.would_delay = delay;
    answer.observed = mode_ == Mode::observe;
    if (answer.observed) return answer;
    answer.close_after = answer.withhold || failures_before + 1 >= failures_of_connection;
    if (delay > milliseconds{0}) {
        if (auto free = impl.take_place()) {
            answer.place = std::move(*free);
            answer.delay = delay;
        } else {
            answer.withhold = answer.close_after = true;
        }
    }
    return answer;
}

void LoginGuard::Attempt::abandon() noexcept {
    if (guard_ != nullptr && (holds_turn_ || waiting_)) {
        auto& site = guard_->impl_->site_of(source_);
        const std::scoped_lock lock(site.mutex);
        if (auto* s = site.sources.find(source_)) {
            if (holds_turn_ && s->turn_of == id_) s->turn_of = 0;
            if (waiting_ && s->waiting > 0) --s->waiting;
        }
    }
    holds_turn_ = waiting_ = false;
    place_ = Place();
    guard_ = nullptr;
}

LoginGuard::Attempt::Attempt(Attempt&& other) noexcept {
    *this = std::move(other);
}

LoginGuard::Attempt& LoginGuard::Attempt::operator=(Attempt&& other) noexcept {
    if (this == &other) return *this;
    abandon();
    guard_ = std::exchange(other.guard_, nullptr);
    source_ = std::move(other.source_);
    account_ = std::move(other.account_);
    mode_ = other.mode_;
    id_ = other.id_;
    holds_turn_ = std::exchange(other.holds_turn_, false);
    waiting_ = std::exchange(other.waiting_, false);
    place_ = std::move(other.place_);
    waiting_since_ = other.waiting_since_;
    return *this;
}

}  // namespace postern::policy
