#pragma once

// The state of the login guard: login_guard.cpp and login_attempt.cpp share it, nobody else.

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <utility>

#include "policy/bounded_map.hpp"
#include "policy/guard_score.hpp"
#include "policy/login_guard.hpp"

namespace postern::policy::guard {

inline constexpr std::size_t shard_count = 16;

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

[[nodiscard]] inline std::uint64_t hash_of(std::string_view text) {
    return std::hash<std::string_view>{}(text);
}

[[nodiscard]] inline std::string pair_key(std::string_view source, std::string_view account) {
    std::string key(source);
    key += '\n';
    key += account;
    return key;
}

}  // namespace postern::policy::guard

namespace postern::policy {

using namespace guard;

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

}  // namespace postern::policy
