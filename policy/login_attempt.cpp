// One AUTH: whether it may be checked now, and what its failure costs.

#include <cmath>

#include "policy/login_guard_impl.hpp"

namespace postern::policy {

LoginGuard::Impl::NetworkSays LoginGuard::Impl::network_lets(SourceKey source, Tick now) {
    const SourceKey key = network_key(source);
    if (key == 0) return NetworkSays::free;
    auto& shard = networks_of(key);
    const std::scoped_lock lock(shard.mutex);
    Network* const found = shard.networks.find(key);
    if (found == nullptr || !found->in_penalty(now)) return NetworkSays::free;
    constexpr Tick interval = ticks(network_check_interval);
    if (found->checks.earliest(now, interval, network_check_burst) > now) return NetworkSays::busy;
    found->checks.take(now, interval);
    return NetworkSays::taken;
}

/// Of a check that was begun and did not fail: who cancels one after the other must not use up what
/// his neighbours need.
void LoginGuard::Impl::network_takes_back(SourceKey source) {
    const SourceKey key = network_key(source);
    auto& shard = networks_of(key);
    const std::scoped_lock lock(shard.mutex);
    if (Network* const found = shard.networks.find(key))
        found->checks.give_back(ticks(network_check_interval));
}

Tick LoginGuard::Impl::account_hold(std::uint64_t account, Tick now) const {
    auto& shard = names_of(account);
    const std::scoped_lock lock(shard.mutex);
    const Account* const found = shard.accounts.find(account);
    if (found == nullptr || !found->crowded) return 0;
    const Tick until = std::max(found->answers.earliest(now), found->probed_until);
    return until > now ? until : 0;
}

void LoginGuard::Impl::probe_account(std::uint64_t account, Tick now) {
    auto& shard = names_of(account);
    const std::scoped_lock lock(shard.mutex);
    Account* const found = shard.accounts.find(account);
    if (found != nullptr && found->crowded) found->probed_until = now + ticks(account_probe);
}

bool LoginGuard::Attempt::exempt() const {
    const auto& impl = *guard_->impl_;
    if (impl.allowed_count.load(std::memory_order_relaxed) == 0) return false;
    return impl.allows_source(source_key_) ||
           impl.allows(Table::pair, impl.pair_key(source_key_, account_key_));
}

bool LoginGuard::Attempt::account_exempt() const {
    return guard_->impl_->allows(Table::account, account_key_);
}

LoginGuard::Gate LoginGuard::Attempt::ask(SteadyTime now) {
    if (guard_ == nullptr || mode_ == Mode::off) return {};
    auto& impl = *guard_->impl_;
    const Tick tick = tick_of(now);
    const bool is_exempt = exempt();
    auto& site = impl.site_of(source_key_);
    const std::scoped_lock lock(site.mutex);
    Source* const s = site.sources.find(source_key_);
    const auto stop_waiting = [&] {
        if (waiting_ && s != nullptr && s->waiting > 0) --s->waiting;
        waiting_ = false;
        place_ = Place();
    };
    if (is_exempt || impl.is_known(site.pairs, impl.pair_key(source_key_, account_key_), now)) {
        stop_waiting();
        return {};
    }
    const bool flooded = s != nullptr && s->answers.earliest(tick, answer_interval, answer_burst) >
                                             tick + ticks(longest_delay);
    const bool penalised = s != nullptr && s->score.now(tick) >= delay_from;
    if (!penalised && !flooded) {
        stop_waiting();
        using Says = Impl::NetworkSays;
        const Says says =
            std::exchange(network_asked_, true) ? Says::free : impl.network_lets(source_key_, tick);
        if (says == Says::taken) network_taken_ = true;
        const bool free = says != Says::busy;
        if (free || mode_ == Mode::observe)
            return {.kind = Gate::Kind::go, .wait = milliseconds{0}, .observed = !free};
        return {.kind = Gate::Kind::busy, .wait = milliseconds{0}, .observed = false};
    }
    const Tick hold = account_exempt() ? 0 : impl.account_hold(account_key_, tick);
    const bool free =
        (s->turn_of == 0 || s->turn_of == id_) && tick >= s->busy_until && hold == 0 && !flooded;
    if (mode_ == Mode::observe)
        return {.kind = Gate::Kind::go, .wait = milliseconds{0}, .observed = !free};
    if (free) {
        stop_waiting();
        s->turn_of = id_;
        holds_turn_ = true;
        impl.probe_account(account_key_, tick);
        return {};
    }
    const SteadyTime held = std::max(time_of(hold), now);
    const bool patient = held - waiting_since_ < longest_delay;
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
    const auto until_free = std::chrono::ceil<milliseconds>(time_of(s->busy_until) - now);
    return {.kind = Gate::Kind::wait,
            .wait = std::clamp(until_free, milliseconds{50}, longest_poll),
            .observed = false};
}

LoginGuard::SuccessAnswer LoginGuard::Attempt::succeeded(SteadyTime now,
                                                         std::string_view credential) {
    SuccessAnswer answer;
    if (guard_ == nullptr) return answer;
    auto& impl = *guard_->impl_;
    const Tick tick = tick_of(now);
    {
        auto& site = impl.site_of(source_key_);
        const auto key = impl.pair_key(source_key_, account_key_);
        const std::scoped_lock lock(site.mutex);
        answer.known_pair = impl.is_known(site.pairs, key, now);
        if (FailingPair* const pair = site.failing.find(key)) {
            if (answer.known_pair) answer.counts.pair_failures = pair->now(tick);
            for (FailingPair::Bucket& bucket : pair->buckets) {
                if (bucket.label != label_hash(credential)) continue;
                bucket.recent.clear(site.pool);
                bucket.score = {};
            }
        }
        if (const Source* const s = site.sources.find(source_key_)) {
            answer.counts.source_failures = s->score.now(tick);
            answer.counts.source_accounts = s->recent.accounts(site.pool);
        }
    }
    impl.read_account(account_key_, tick, answer.counts);
    impl.remember(source_key_, account_key_, now, now, now);
    abandon();
    return answer;
}

struct LoginGuard::Attempt::Judged {
    bool exempt = false;    // the source, or the pair
    bool stranger = false;  // the account never used the source
    double weight = 0;
    milliseconds delay{0};
    bool withheld = false;
    Counts counts;
};

/// What it weighs here: in the pair's own account, or in that of all strangers of the source.
void LoginGuard::Attempt::judge_source(Judged& said, std::uint32_t secret, std::string_view label,
                                       SteadyTime now) const {
    auto& impl = *guard_->impl_;
    const Tick tick = tick_of(now);
    const auto account = half(account_key_);
    auto& site = impl.site_of(source_key_);
    const auto key = impl.pair_key(source_key_, account_key_);
    const std::scoped_lock lock(site.mutex);
    said.stranger = !impl.is_known(site.pairs, key, now);
    if (!said.stranger) {
        const Source* const s = site.sources.find(source_key_);
        const bool others =
            s != nullptr && s->recent.any_within(site.pool, TickSpan(ticks(scram_repeat)), tick);
        FailingPair& pair = impl.failing(site, key, tick);
        pair.source = source_key_;
        if (pair.account.empty()) pair.account = account_;
        // The first place is of no label; a label without a place shares the last.
        FailingPair::Bucket* bucket = pair.buckets.data();
        if (const auto hash = label_hash(label); hash != 0) {
            FailingPair::Bucket& own = pair.buckets[1];
            if (own.label == 0) own.label = hash;
            bucket = own.label == hash ? &own : &pair.buckets[2];
            if (bucket != &own) bucket->label = other_labels;
        }
        said.weight = std::min(weight_new_secret,
                               bucket->recent.note(site.pool, account, secret, others, tick));
        bucket->score.add(said.weight, tick);
        said.delay = delay_of(pair.now(tick), delay_from);
        return;
    }
    Source& s = impl.source(site, source_key_, tick);
    said.weight = s.recent.note(site.pool, account, secret, false, tick);
    s.score.add(said.weight, tick);
    const double score = s.score.now(tick);
    said.delay = delay_of(score, delay_from);
    if (score >= refuse_from) s.refused_until = tick_after(now + refused_for);
    said.counts.source_failures = score;
    said.counts.source_accounts = s.recent.accounts(site.pool);
    if (score >= spraying_from && said.counts.source_accounts >= sprayed_from) {
        said.counts.spraying = source_text(source_key_);
        said.counts.sprayed = said.counts.source_accounts;
        said.counts.spraying_failures = score;
    }
}

void LoginGuard::Attempt::judge_account(Judged& said, SteadyTime now) const {
    auto& impl = *guard_->impl_;
    const Tick tick = tick_of(now);
    auto& shard = impl.names_of(account_key_);
    const std::scoped_lock lock(shard.mutex);
    Account& account = impl.account(shard, account_key_, account_, tick);
    if (account.score.now(tick) < weight_new_secret) account.forget_sources();
    account.score.add(std::min(said.weight, weight_new_secret), tick);
    if (said.stranger) account.failed_from(spread(source_key_ ^ impl.seed));
    account.probed_until = 0;
    const double score = account.score.now(tick);
    said.counts.account_failures = score;
    said.counts.account_sources = account.sources.count();
    if (score >= attacked_from) said.counts.account = account.name;
    if (said.stranger && !account_exempt())
        said.delay = std::max(said.delay, delay_of(score, account_delay_from));
}

void LoginGuard::Attempt::judge_network(Judged& said, SteadyTime now) const {
    auto& impl = *guard_->impl_;
    const SourceKey key = network_key(source_key_);
    if (key == 0 || !said.stranger) return;
    const Tick tick = tick_of(now);
    auto& shard = impl.networks_of(key);
    const std::scoped_lock lock(shard.mutex);
    Network& network = impl.network(shard, key, tick);
    if (network.score.now(tick) < weight_new_secret) network.places = {};
    network.score.add(said.weight, tick, network_most_weight);
    network.places.add(place_in_network(source_key_));
    if (!network.in_penalty(tick)) return;
    const double score = network.score.now(tick);
    said.delay = std::max(said.delay, delay_of(score, network_from));
    said.counts.spraying = network_text(key);
    said.counts.sprayed = network.places.set();
    said.counts.spraying_failures = score;
}

/// When the answer may go: not too many a minute to one source, nor to strangers of one account. In
/// whole ticks, so that the turn is free when the answer has gone.
void LoginGuard::Attempt::find_time(Judged& said, SteadyTime now) const {
    auto& impl = *guard_->impl_;
    auto& site = impl.site_of(source_key_);
    auto& shard = impl.names_of(account_key_);
    const Tick latest = tick_of(now + longest_delay);
    const bool at_once = said.delay == milliseconds{0};
    const Tick due = at_once ? tick_of(now) : std::min(tick_after(now + said.delay), latest);
    const std::scoped_lock site_lock(site.mutex);
    Source& s = impl.source(site, source_key_, tick_of(now));
    Tick when = s.answers.earliest(due, answer_interval, answer_burst);
    const std::scoped_lock name_lock(shard.mutex);
    Account* const account =
        said.stranger && !account_exempt() ? shard.accounts.find(account_key_) : nullptr;
    if (account != nullptr && account->crowded)
        when = std::max(when, account->answers.earliest(due));
    said.withheld = when > latest;
    if (said.withheld) {
        said.delay = longest_delay;
        when = tick_after(now + longest_delay);
    } else {
        if (at_once && when == due) {
            when = tick_after(now);
        } else {
            said.delay = std::chrono::ceil<milliseconds>(time_of(when) - now);
        }
        s.answers.take(when, answer_interval);
        if (account != nullptr) account->answers.take(when);
    }
    if (said.stranger && said.delay > milliseconds{0} && mode_ == Mode::enforce)
        s.busy_until = std::max(s.busy_until, when);
}

LoginGuard::FailureAnswer LoginGuard::Attempt::failed(std::optional<std::uint64_t> secret_hash,
                                                      int failures_before, SteadyTime now,
                                                      std::string_view label) {
    FailureAnswer answer;
    if (guard_ == nullptr || mode_ == Mode::off) return answer;
    const std::uint32_t secret = secret_hash ? half(spread(*secret_hash)) | 1U : 0;
    Judged said;
    said.exempt = exempt();
    if (!said.exempt) {
        judge_source(said, secret, label, now);
        judge_account(said, now);
        judge_network(said, now);
    }
    find_time(said, now);
    auto& impl = *guard_->impl_;
    network_taken_ = false;
    abandon();
    answer.counts = std::move(said.counts);
    answer.would_delay = said.delay;
    answer.observed = mode_ == Mode::observe;
    if (answer.observed) return answer;
    answer.withhold = said.withheld;
    answer.close_after = answer.withhold || failures_before + 1 >= failures_of_connection;
    if (said.delay > milliseconds{0}) {
        if (auto free = impl.take_place()) {
            answer.place = std::move(*free);
            answer.delay = said.delay;
        } else {
            answer.withhold = answer.close_after = true;
        }
    }
    return answer;
}

void LoginGuard::Attempt::abandon() noexcept {
    if (guard_ != nullptr && std::exchange(network_taken_, false))
        guard_->impl_->network_takes_back(source_key_);
    if (guard_ != nullptr && (holds_turn_ || waiting_)) {
        auto& site = guard_->impl_->site_of(source_key_);
        const std::scoped_lock lock(site.mutex);
        if (Source* const s = site.sources.find(source_key_)) {
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
    account_ = std::move(other.account_);
    source_key_ = other.source_key_;
    account_key_ = other.account_key_;
    id_ = other.id_;
    mode_ = other.mode_;
    holds_turn_ = std::exchange(other.holds_turn_, false);
    waiting_ = std::exchange(other.waiting_, false);
    network_asked_ = other.network_asked_;
    network_taken_ = std::exchange(other.network_taken_, false);
    place_ = std::move(other.place_);
    waiting_since_ = other.waiting_since_;
    return *this;
}

}  // namespace postern::policy
