#pragma once

// The state of the login guard: its own .cpp files share it, nobody else.

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "policy/compact_table.hpp"
#include "policy/guard_recent.hpp"
#include "policy/guard_score.hpp"
#include "policy/login_guard.hpp"
#include "policy/source_key.hpp"

namespace postern::policy::guard {

inline constexpr std::size_t shard_count = 64;

[[nodiscard]] inline std::uint32_t half(std::uint64_t key) {
    return static_cast<std::uint32_t>(key >> 32U);
}

/// What failed from one source: of accounts that never logged in from there.
struct Source {
    SourceKey key = 0;
    Score score;
    Tick refused_until = 0;
    Tick busy_until = 0;        // a failing answer of a stranger is on its way until then
    Rate answers;               // of everybody there
    std::uint32_t turn_of = 0;  // the attempt that is being checked; 0: none
    Recent recent;
    std::uint8_t waiting = 0;

    [[nodiscard]] std::int64_t worth(Tick now) const {
        const bool in_use = turn_of != 0 || waiting != 0 || now < refused_until ||
                            now < busy_until || now < answers.tat;
        // Without weight it still knows which secrets came before.
        const bool of_today = since(score.at, now) < ticks(secret_repeat);
        return static_cast<std::int64_t>(score.now(now) * 8) + (in_use ? 2 : 0) +
               (of_today ? 1 : 0);
    }
};
static_assert(sizeof(Source) <= 72);

/// Somebody (a source) or one account (a pair) logged in.
struct Known {
    std::uint64_t key = 0;
    std::int32_t first = 0, last = 0;  // seconds of the steady clock, which may be before its start

    /// One that came back an hour later stays before those seen on one occasion only.
    [[nodiscard]] std::int64_t worth(std::int32_t now, seconds known_for) const {
        const std::int64_t left = known_for.count() - (now - last);
        const bool came_back = last - first >= 3'600;
        return left <= 0 ? 0 : left + (came_back ? (1LL << 40U) : 0);
    }
};

/// What failed on one account from a source that it used before, by the credential named.
struct FailingPair {
    struct Bucket {
        std::uint32_t label = 0;
        Score score;
        Recent recent;
    };
    std::uint64_t key = 0;
    SourceKey source = 0;
    std::string account;
    std::array<Bucket, 3> buckets;  // the first: no label; the last: all that found no place

    [[nodiscard]] double now(Tick t) const {
        double sum = 0;
        for (const Bucket& bucket : buckets) sum += bucket.score.now(t);
        return std::min(sum, most_weight);
    }
    [[nodiscard]] std::int64_t worth(Tick t) const {
        const bool of_today = std::ranges::any_of(buckets, [t](const Bucket& bucket) {
            return bucket.score.at != 0 && since(bucket.score.at, t) < ticks(secret_repeat);
        });
        return static_cast<std::int64_t>(now(t) * 4) + (of_today ? 1 : 0);
    }
    void clear(SeenPool& pool) {
        for (Bucket& bucket : buckets) bucket.recent.clear(pool);
    }
};
inline constexpr std::uint32_t other_labels = 0xffffffffU;

/// A network in which sources failed.
struct Network {
    SourceKey key = 0;
    Score score;
    Sketch<4> places;
    Rate checks;

    [[nodiscard]] bool in_penalty(Tick now) const {
        return score.now(now) >= network_from && places.set() >= network_places;
    }
    [[nodiscard]] std::int64_t worth(Tick now) const {
        return static_cast<std::int64_t>(score.now(now) * 4);
    }
};

/// An account, or a name that is nobody's, on which somebody failed.
struct Account {
    std::uint64_t key = 0;
    std::string name;
    Score score;
    AnswerWindow answers;  // to sources that it never used
    Tick probed_until = 0;
    std::uint32_t first_source = 0;  // a hash; 0: none
    bool crowded = false;            // more than one source that it never used fails on it
    Sketch<2> sources;               // those

    void failed_from(std::uint64_t source) {
        sources.add(source);
        const std::uint32_t short_hash = half(source) | 1U;
        if (first_source == 0) first_source = short_hash;
        crowded = crowded || first_source != short_hash;
    }
    void forget_sources() {
        sources = {};
        first_source = 0;
        crowded = false;
    }
    [[nodiscard]] std::int64_t worth(Tick now) const {
        return static_cast<std::int64_t>(score.now(now) * 4) +
               (now < answers.earliest(now) ? 1 : 0);
    }
};

/// Where something is counted; lists are in this order.
enum class Table : std::uint8_t { source, network, account, pair };

/// A subject as an operator writes it.
struct Subject {
    Table table = Table::source;
    std::uint64_t key = 0;  // there
    SourceKey source = 0;   // of sources and pairs
    std::string account;    // of accounts and pairs, as it is counted
    std::string text;
};

[[nodiscard]] inline std::int32_t second_of(SteadyTime t) {
    const auto count = std::chrono::floor<seconds>(t.time_since_epoch()).count();
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(count, INT32_MIN / 2, INT32_MAX / 2));
}
/// The same in each build and process: it is saved. Empty: 0.
[[nodiscard]] std::uint32_t label_hash(std::string_view label);
/// The name by which an account is counted: normalised, a very long one cut and hashed.
[[nodiscard]] std::string guarded_name(std::string_view account);

}  // namespace postern::policy::guard

namespace postern::policy {

using namespace guard;

struct LoginGuard::Impl {
    /// Whether a stranger in a network may be checked; `taken`: one of its checks is used up.
    enum class NetworkSays : std::uint8_t { free, taken, busy };

    /// Sources with the pairs of each: one lock for what is judged together.
    struct Site {
        Site(const Bounds& bounds, std::uint64_t seed)
            : sources(bounds.max_sources / shard_count + 1, seed),
              known(bounds.max_pairs / shard_count + 1, seed),
              pairs(bounds.max_pairs / shard_count + 1, seed),
              failing(bounds.max_failing_pairs / shard_count + 1, seed),
              pool(std::max<std::size_t>(bounds.max_sources / shard_count / 32, 16)) {}
        mutable std::mutex mutex;
        CompactTable<Source> sources;
        CompactTable<Known> known;  // sources from which somebody logged in
        CompactTable<Known> pairs;
        CompactTable<FailingPair> failing;
        SeenPool pool;
    };
    struct Names {
        Names(const Bounds& bounds, std::uint64_t seed)
            : accounts(bounds.max_accounts / shard_count + 1, seed) {}
        mutable std::mutex mutex;
        CompactTable<Account> accounts;
    };
    struct Networks {
        Networks(const Bounds& bounds, std::uint64_t seed)
            : networks(bounds.max_networks / shard_count + 1, seed) {}
        mutable std::mutex mutex;
        CompactTable<Network> networks;
    };
    // Where more than one lock is held they are taken in this order: site, names, networks.

    Impl(Settings settings, Bounds with, std::uint64_t random);

    [[nodiscard]] std::size_t shard_of(std::uint64_t key) const {
        return spread(key ^ seed) % shard_count;
    }
    [[nodiscard]] Site& site_of(SourceKey source) const { return *sites[shard_of(source)]; }
    [[nodiscard]] Names& names_of(std::uint64_t account) const { return *names[shard_of(account)]; }
    [[nodiscard]] Networks& networks_of(SourceKey network) const {
        return *nets[shard_of(network)];
    }
    [[nodiscard]] seconds known_for() const {
        return seconds(known_for_s.load(std::memory_order_relaxed));
    }

    [[nodiscard]] std::uint64_t account_key(std::string_view name) const;
    [[nodiscard]] std::uint64_t pair_key(SourceKey source, std::uint64_t account) const {
        return spread(source ^ std::rotl(account, 17) ^ seed) | 1U;
    }
    [[nodiscard]] bool is_known(const CompactTable<Known>& table, std::uint64_t key,
                                SteadyTime now) const {
        const Known* const found = table.find(key);
        return found != nullptr && second_of(now) - found->last < known_for().count();
    }
    [[nodiscard]] Source& source(Site& site, SourceKey key, Tick now) const {
        return site.sources.get(
            key, [now](const Source& s) { return s.worth(now); },
            [&site](Source& s) { s.recent.clear(site.pool); });
    }
    [[nodiscard]] FailingPair& failing(Site& site, std::uint64_t key, Tick now) const {
        return site.failing.get(
            key, [now](const FailingPair& p) { return p.worth(now); },
            [&site](FailingPair& p) { p.clear(site.pool); });
    }
    [[nodiscard]] Account& account(Names& shard, std::uint64_t key, std::string_view name,
                                   Tick now) const {
        Account& found = shard.accounts.get(key, [now](const Account& a) { return a.worth(now); });
        if (found.name.empty()) found.name = name;
        return found;
    }
    [[nodiscard]] Network& network(Networks& shard, SourceKey key, Tick now) const {
        return shard.networks.get(key, [now](const Network& n) { return n.worth(now); });
    }
    [[nodiscard]] bool in_penalised_network(SourceKey source, Tick now) const;
    /// Whether a stranger of a network in penalty may be checked: one of those that it allows.
    [[nodiscard]] NetworkSays network_lets(SourceKey source, Tick now);
    void network_takes_back(SourceKey source);
    /// Until when sources in penalty are kept off the account; 0: they are not.
    [[nodiscard]] Tick account_hold(std::uint64_t account, Tick now) const;
    void probe_account(std::uint64_t account, Tick now);
    void remember(SourceKey source, std::uint64_t account, SteadyTime first, SteadyTime last,
                  SteadyTime now);
    void read_account(std::uint64_t key, Tick now, Counts& counts) const;

    /// A place among those that wait; empty where all are taken.
    [[nodiscard]] std::optional<Place> take_place() const;

    // What an operator exempted. Nearly always there is nothing, which costs one load.
    [[nodiscard]] bool allows(Table table, std::uint64_t key) const;
    [[nodiscard]] bool allows_source(SourceKey source) const;
    [[nodiscard]] bool allows_pair_at(SourceKey source) const;
    [[nodiscard]] Allow exempt(Subject subject);

    [[nodiscard]] std::optional<Subject> subject_of(std::string_view text) const;
    [[nodiscard]] std::optional<Standing> standing(const Subject& subject, Tick now) const;
    [[nodiscard]] Standing of_source(const Site& site, const Source& source, Tick now) const;
    [[nodiscard]] static Standing of_network(const Network& network, Tick now);
    [[nodiscard]] static Standing of_account(const Account& account, Tick now);
    [[nodiscard]] static Standing of_pair(const FailingPair& pair, Tick now);
    /// `seen(table, key, make)` of each that is in penalty; make() gives its standing.
    template <typename Seen>
    void each_standing(Tick now, Seen&& seen) const;
    bool drop(const Subject& subject);

    Bounds bounds;
    std::uint64_t seed;
    std::atomic<Mode> mode;
    std::atomic<std::int64_t> known_for_s;
    std::atomic<std::uint32_t> next_attempt{1};
    std::shared_ptr<std::atomic<std::size_t>> delayed =
        std::make_shared<std::atomic<std::size_t>>(0);
    std::array<std::unique_ptr<Site>, shard_count> sites;
    std::array<std::unique_ptr<Names>, shard_count> names;
    std::array<std::unique_ptr<Networks>, shard_count> nets;
    // Nothing else is locked while this is.
    mutable std::shared_mutex allowed_mutex;
    std::map<std::pair<Table, std::uint64_t>, Subject> allowed;
    std::atomic<std::size_t> allowed_count{0};
};

}  // namespace postern::policy
