#include "policy/login_guard.hpp"

#include <array>
#include <functional>
#include <mutex>
#include <utility>

#include "policy/bounded_map.hpp"
#include "policy/guard_score.hpp"
#include "proto/address.hpp"

namespace postern::policy {

using namespace guard;

namespace {

constexpr std::size_t shard_count = 16;
constexpr std::size_t longest_name = 320;  // octets of an account's name: 64 + @ + 255

struct Source {
    Score score;         // of accounts that never logged in from here
    Recent recent;       // as above
    AnswerRate answers;  // of everybody here
    SteadyTime last_success = never;
    SteadyTime refused_until = never;
    SteadyTime busy_until = never;  // a failing answer of a stranger is on its way until then
    std::uint64_t turn_of = 0;      // the attempt that is being checked; 0: none
    std::size_t waiting = 0;

    [[nodiscard]] std::int64_t worth(SteadyTime now, seconds known_for) const {
        if (last_success != never && now - last_success < known_for) {
            return 1'000'000 +
                   std::chrono::duration_cast<seconds>(known_for - (now - last_success)).count();
        }
        const bool in_use = turn_of != 0 || waiting != 0 || now < refused_until ||
                            now < busy_until || now < answers.tat;
        return static_cast<std::int64_t>(score.now(now) * 4) + (in_use ? 1 : 0);
    }
};

struct Pair {
    SteadyTime last_success = never;
    Score score;
    Recent recent;

    [[nodiscard]] std::int64_t worth(SteadyTime now, seconds known_for) const {
        return std::chrono::duration_cast<seconds>(known_for - (now - last_success)).count();
    }
};

struct Account {
    Score score;
    std::vector<std::uint64_t> sources;

    [[nodiscard]] std::int64_t worth(SteadyTime now) const {
        return static_cast<std::int64_t>(score.now(now) * 4);
    }
};

std::uint64_t hash_of(std::string_view text) {
    return std::hash<std::string_view>{}(text);
}

std::string pair_key(std::string_view source, std::string_view account) {
    std::string key(source);
    key += '\n';
    key += account;
    return key;
}

}  // namespace

struct LoginGuard::Impl {
    /// A source with the pairs that logged in from it: one lock for what is judged together.
    struct Site {
        explicit Site(std::size_t max_sources, std::size_t max_pairs)
            : sources(max_sources), pairs(max_pairs) {}
        mutable std::mutex mutex;
        BoundedMap<Source> sources;
        BoundedMap<Pair> pairs;
    };
    struct Accounts {
        explicit Accounts(std::size_t max) : accounts(max) {}
        mutable std::mutex mutex;
        BoundedMap<Account> accounts;
    };

    Impl(Settings settings, Bounds bounds)
        : mode(settings.mode),
          known_for_s(settings.known_for.count()),
          max_delayed(bounds.max_delayed) {
        for (std::size_t i = 0; i < shard_count; ++i) {
            sites[i] = std::make_unique<Site>(bounds.max_sources / shard_count + 1,
                                              bounds.max_pairs / shard_count + 1);
            accounts[i] = std::make_unique<Accounts>(bounds.max_accounts / shard_count + 1);
        }
    }

    [[nodiscard]] Site& site_of(std::string_view source) {
        return *sites[hash_of(source) % shard_count];
    }
    [[nodiscard]] Accounts& accounts_of(std::string_view account) {
        return *accounts[hash_of(account) % shard_count];
    }
    [[nodiscard]] seconds known_for() const {
        return seconds(known_for_s.load(std::memory_order_relaxed));
    }

    [[nodiscard]] Pair* known(Site& site, std::string_view source, std::string_view account,
                              SteadyTime now) const {
        auto* pair = site.pairs.find(pair_key(source, account));
        return pair != nullptr && now - pair->last_success < known_for() ? pair : nullptr;
    }
    [[nodiscard]] Source& source(Site& site, std::string_view name, SteadyTime now) const {
        return site.sources.get(
            name, [now, k = known_for()](const Source& s) { return s.worth(now, k); });
    }
    void remember(std::string_view name, std::string_view account, SteadyTime when,
                  SteadyTime now) {
        auto& site = site_of(name);
        const std::scoped_lock lock(site.mutex);
        auto& pair = site.pairs.get(pair_key(name, account), [now, k = known_for()](const Pair& p) {
            return p.worth(now, k);
        });
        pair.last_success = std::max(pair.last_success, when);
        auto& s = source(site, name, now);
        s.last_success = std::max(s.last_success, when);
    }

    /// A place among those that wait; empty where all are taken.
    [[nodiscard]] std::optional<Place> take_place() const {
        if (delayed->fetch_add(1, std::memory_order_relaxed) >= max_delayed) {
            delayed->fetch_sub(1, std::memory_order_relaxed);
            return std::nullopt;
        }
        return Place(delayed);
    }

    /// Counts a failure on the account itself, and how long its failing answers wait from sources
    /// that it never used.
    milliseconds fail_account(std::string_view name, std::uint64_t source, double weight,
                              SteadyTime now, Counts& counts) {
        auto& shard = accounts_of(name);
        const std::scoped_lock lock(shard.mutex);
        auto& account = shard.accounts.get(name, [now](const Account& a) { return a.worth(now); });
        if (account.score.now(now) < weight_new_secret) account.sources.clear();
        account.score.add(std::min(weight, weight_new_secret), now);
        if (std::ranges::find(account.sources, source) == account.sources.end() &&
            account.sources.size() < most_remembered) {
            account.sources.push_back(source);
        }
        counts.account_failures = account.score.now(now);
        counts.account_sources = static_cast<std::uint32_t>(account.sources.size());
        return delay_of(counts.account_failures, account_delay_from);
    }
    void read_account(std::string_view name, SteadyTime now, Counts& counts) {
        auto& shard = accounts_of(name);
        const std::scoped_lock lock(shard.mutex);
        const auto* account = shard.accounts.find(name);
        if (account == nullptr) return;
        counts.account_failures = account->score.now(now);
        counts.account_sources = static_cast<std::uint32_t>(account->sources.size());
    }

    std::atomic<Mode> mode;
    std::atomic<std::int64_t> known_for_s;
    std::size_t max_delayed;
    std::atomic<std::uint64_t> next_attempt{1};
    std::shared_ptr<std::atomic<std::size_t>> delayed =
        std::make_shared<std::atomic<std::size_t>>(0);
    std::array<std::unique_ptr<Site>, shard_count> sites;
    std::array<std::unique_ptr<Accounts>, shard_count> accounts;
};

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
    if (mode == Mode::off) return answer;
    {
        auto& site = impl_->site_of(source);
        const std::scoped_lock lock(site.mutex);
        const auto* s = site.sources.find(source);
        if (s == nullptr) return answer;
        if (s->last_success != never && now - s->last_success < impl_->known_for()) return answer;
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

LoginGuard::SuccessAnswer LoginGuard::Attempt::succeeded(SteadyTime now) {
    SuccessAnswer answer;
    if (guard_ == nullptr) return answer;
    auto& impl = *guard_->impl_;
    {
        auto& site = impl.site_of(source_);
        const std::scoped_lock lock(site.mutex);
        if (auto* pair = impl.known(site, source_, account_, now)) {
            answer.known_pair = true;
            pair->score = {};
            pair->recent.clear();
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
