#include "policy/login_watch.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "policy/bounded_map.hpp"
#include "policy/source.hpp"
#include "proto/network.hpp"

namespace postern::policy {

namespace {

using std::chrono::seconds;

constexpr std::size_t watch_shards = 16;
/// Of one account. Whoever uses more within known_for is everywhere.
constexpr std::size_t networks_of_account = 32;
/// "Within minutes".
constexpr std::chrono::minutes crowd_span{10};
/// Networks that the account did not use before these minutes.
constexpr std::uint32_t crowd = 5;
/// Weights as the guard counts them, less what decays meanwhile: five wrong passwords, or three
/// accounts tried, from that source; six wrong passwords on that account, from wherever.
constexpr double many_of_source = 5.5;
constexpr double many_of_pair = 4.5;
constexpr double many_of_account = 5.5;

/// Longer ago than anything that is asked for.
constexpr SteadyTime long_ago = SteadyTime::min();

std::uint64_t hash_of(std::string_view text) {
    return std::hash<std::string_view>{}(text);
}

/// "DE" as a number; 0: not known.
std::uint16_t code_of(std::string_view country) {
    if (country.size() != 2) return 0;
    return static_cast<std::uint16_t>((static_cast<unsigned char>(country[0]) << 8U) |
                                      static_cast<unsigned char>(country[1]));
}

/// One network that an account logs in from.
struct Site {
    std::uint64_t near = 0;  ///< Of its /24 or /48;
    std::uint64_t far = 0;   ///< its /16 or /32.
    std::uint32_t asn = 0;
    std::uint16_t country = 0;
    SteadyTime first = long_ago;  ///< long_ago: before this process was.
    SteadyTime last = long_ago;
};

struct Watched {
    std::vector<Site> networks;
    SteadyTime last = long_ago;
};

/// The network that one provider mostly has to itself: /16, /32.
std::string far_source(std::string_view source) {
    const auto address = source.substr(0, source.find('/'));
    const auto network = proto::Network::around(address, address.contains(':') ? 32 : 16);
    return network ? network->cidr() : std::string(source);
}

bool within(SteadyTime then, SteadyTime now, std::chrono::seconds span) {
    return then != long_ago && now - then < span;
}

}  // namespace

struct LoginWatch::Impl {
    struct Shard {
        explicit Shard(std::size_t max) : accounts(max) {}
        mutable std::mutex mutex;
        BoundedMap<Watched> accounts;
    };

    Impl(Settings settings, Bounds bounds) : known_for_s(settings.known_for.count()) {
        for (auto& shard : shards)
            shard = std::make_unique<Shard>(bounds.max_accounts / watch_shards + 1);
    }

    [[nodiscard]] Shard& shard_of(std::string_view account) {
        return *shards[hash_of(account) % watch_shards];
    }

    [[nodiscard]] static Watched& account(Shard& shard, std::string_view name, SteadyTime now) {
        // Never worthless, so that only the bound makes it forgotten: an account that comes back
        // after a year is not new.
        return shard.accounts.get(name, [now](const Watched& a) -> std::int64_t {
            const std::int64_t oldest = std::numeric_limits<std::int32_t>::max();
            if (a.last == long_ago) return 1;
            const auto age = std::chrono::duration_cast<seconds>(now - a.last).count();
            return 1 + std::clamp<std::int64_t>(oldest - age, 0, oldest);
        });
    }

    /// The same /24 or /48, unless two providers share it.
    [[nodiscard]] static Site* find(Watched& account, const Site& wanted) {
        const auto at = std::ranges::find_if(account.networks, [&](const Site& n) {
            return n.near == wanted.near && (n.asn == wanted.asn || n.asn == 0 || wanted.asn == 0);
        });
        return at == account.networks.end() ? nullptr : &*at;
    }

    static void remember(Watched& account, const Site& seen) {
        account.last = std::max(account.last, seen.last);
        if (Site* known = find(account, seen)) {
            known->last = std::max(known->last, seen.last);
            if (seen.asn != 0) known->asn = seen.asn;
            if (seen.country != 0) known->country = seen.country;
            return;
        }
        if (account.networks.size() < networks_of_account) {
            account.networks.push_back(seen);
            return;
        }
        auto oldest = std::ranges::min_element(account.networks, {}, &Site::last);
        if (oldest->last <= seen.last) *oldest = seen;
    }

    std::atomic<std::int64_t> known_for_s;
    std::array<std::unique_ptr<Shard>, watch_shards> shards;
};

namespace {

Site site_of(std::string_view source, const Place& place, SteadyTime first, SteadyTime last) {
    return {.near = hash_of(wide_source(source)),
            .far = hash_of(far_source(source)),
            .asn = place.asn,
            .country = code_of(place.country),
            .first = first,
            .last = last};
}

bool after_failures(const LoginGuard::SuccessAnswer& guard) {
    const auto& counts = guard.counts;
    // The owner from where he always is, while others guess: no news.
    if (guard.known_pair) return counts.pair_failures >= many_of_pair;
    return counts.source_failures >= many_of_source || counts.account_failures >= many_of_account;
}

/// How many networks came up in these minutes that the account did not use before.
std::uint32_t fresh_networks(const Watched& account, SteadyTime now) {
    // A mobile provider hands a phone from one of its networks to the next.
    const auto key = [](const Site& n) -> std::uint64_t { return n.asn != 0 ? n.asn : n.far; };
    const auto fresh = [&](const Site& n) { return within(n.first, now, crowd_span); };
    std::vector<std::uint64_t> seen;
    for (const Site& n : account.networks) {
        const auto used_before = [&](const Site& other) {
            return !fresh(other) && key(other) == key(n);
        };
        if (!fresh(n) || std::ranges::any_of(account.networks, used_before)) continue;
        if (std::ranges::find(seen, key(n)) == seen.end()) seen.push_back(key(n));
    }
    return static_cast<std::uint32_t>(seen.size());
}

}  // namespace

LoginWatch::LoginWatch() : LoginWatch(Settings(), Bounds()) {}
LoginWatch::LoginWatch(Settings settings, Bounds bounds)
    : impl_(std::make_unique<Impl>(settings, bounds)) {}
LoginWatch::~LoginWatch() = default;

void LoginWatch::set(Settings settings) noexcept {
    impl_->known_for_s.store(settings.known_for.count(), std::memory_order_relaxed);
}

LoginWatch::Alerts LoginWatch::on_login(const Login& login, SteadyTime now) {
    Alerts out;
    out.after_failures = after_failures(login.guard);
    const seconds known_for(impl_->known_for_s.load(std::memory_order_relaxed));
    const Site here = site_of(login.source, login.place, now, now);
    auto& shard = impl_->shard_of(login.account);
    const std::scoped_lock lock(shard.mutex);
    const bool brand_new = shard.accounts.find(login.account) == nullptr;
    Watched& account = Impl::account(shard, login.account, now);
    if (!brand_new) {
        bool network_known = false;
        bool country_known = false;
        bool any_country = false;
        std::erase_if(account.networks,
                      [&](const Site& n) { return !within(n.last, now, known_for); });
        for (const Site& n : account.networks) {
            network_known =
                network_known || n.near == here.near || (here.asn != 0 && n.asn == here.asn);
            any_country = any_country || n.country != 0;
            country_known = country_known || n.country == here.country;
        }
        // Whoever is everywhere has no network that would be new.
        out.new_network = !network_known && account.networks.size() < networks_of_account;
        out.new_country = here.country != 0 && any_country && !country_known;
    }
    const bool seen_before = Impl::find(account, here) != nullptr;
    Impl::remember(account, here);
    if (!seen_before) {
        const std::uint32_t fresh = fresh_networks(account, now);
        out.many_networks = fresh >= crowd;
        if (out.many_networks) out.networks = fresh;
    }
    return out;
}

void LoginWatch::load(std::string_view name, std::string_view source, const Place& place,
                      std::chrono::seconds ago, SteadyTime now) {
    auto& shard = impl_->shard_of(name);
    const std::scoped_lock lock(shard.mutex);
    Watched& account = Impl::account(shard, name, now);
    const seconds known_for(impl_->known_for_s.load(std::memory_order_relaxed));
    if (ago >= known_for) {
        account.last = std::max(account.last, now - std::max(known_for, seconds{0}));
        return;
    }
    Impl::remember(account, site_of(source, place, long_ago, now - ago));
}

std::size_t LoginWatch::accounts() const {
    std::size_t total = 0;
    for (const auto& shard : impl_->shards) {
        const std::scoped_lock lock(shard->mutex);
        total += shard->accounts.size();
    }
    return total;
}

}  // namespace postern::policy
