// The guard at connect, and what its other parts share: tables, known pairs, places.

#include <fmt/format.h>

#include "policy/login_guard_impl.hpp"
#include "proto/address.hpp"

namespace postern::policy {

namespace guard {

namespace {

constexpr std::size_t longest_address = 320;  // octets: 64 + @ + 255
constexpr std::size_t longest_name = 128;     // as it is kept: longer ones are nobody's
constexpr std::size_t name_kept = 100;

std::uint64_t fnv(std::string_view text) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 1099511628211ULL;
    return hash;
}

}  // namespace

std::uint32_t label_hash(std::string_view label) {
    if (label.empty()) return 0;
    const auto hash = half(spread(fnv(label)));
    return hash == 0 || hash == other_labels ? 1 : hash;
}

std::string guarded_name(std::string_view account) {
    // Nearly all names come normalised: what is of these alone is its own normal form.
    const bool plain = account.size() <= longest_name && std::ranges::all_of(account, [](char c) {
                           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                                  c == '@' || c == '-' || c == '_' || c == '+';
                       });
    if (plain) return std::string(account);
    std::string name = proto::normalised_address(account.substr(0, longest_address));
    if (name.size() <= longest_name) return name;
    return fmt::format("{}~{:016x}", name.substr(0, name_kept), fnv(name));
}

}  // namespace guard

LoginGuard::Impl::Impl(Settings settings, Bounds with, std::uint64_t random)
    : bounds(with), seed(random), mode(settings.mode), known_for_s(settings.known_for.count()) {
    for (std::size_t i = 0; i < shard_count; ++i) {
        sites[i] = std::make_unique<Site>(bounds, seed);
        names[i] = std::make_unique<Names>(bounds, seed);
        nets[i] = std::make_unique<Networks>(bounds, seed);
    }
}

std::uint64_t LoginGuard::Impl::account_key(std::string_view name) const {
    return spread(std::hash<std::string_view>{}(name) ^ seed) | 1U;
}

bool LoginGuard::Impl::in_penalised_network(SourceKey source, Tick now) const {
    const SourceKey key = network_key(source);
    if (key == 0) return false;
    auto& shard = networks_of(key);
    const std::scoped_lock lock(shard.mutex);
    const Network* const found = shard.networks.find(key);
    return found != nullptr && found->in_penalty(now);
}

void LoginGuard::Impl::remember(SourceKey source, std::uint64_t account, SteadyTime first,
                                SteadyTime last, SteadyTime now) {
    auto& site = site_of(source);
    const auto note = [&](CompactTable<Known>& table, std::uint64_t key) {
        Known& known = table.get(key, [now, keep = known_for()](const Known& k) {
            return k.worth(second_of(now), keep);
        });
        const bool fresh = known.first == 0 && known.last == 0;
        const bool lapsed = !fresh && second_of(last) - known.last >= known_for().count();
        known.first = fresh || lapsed ? second_of(first) : std::min(known.first, second_of(first));
        known.last = fresh ? second_of(last) : std::max(known.last, second_of(last));
    };
    const std::scoped_lock lock(site.mutex);
    if (account != 0) note(site.pairs, pair_key(source, account));
    note(site.known, source);
}

void LoginGuard::Impl::read_account(std::uint64_t key, Tick now, Counts& counts) const {
    auto& shard = names_of(key);
    const std::scoped_lock lock(shard.mutex);
    const Account* const account = shard.accounts.find(key);
    if (account == nullptr) return;
    counts.account_failures = account->score.now(now);
    counts.account_sources = account->sources.count();
}

std::optional<LoginGuard::Place> LoginGuard::Impl::take_place() const {
    if (delayed->fetch_add(1, std::memory_order_relaxed) >= bounds.max_delayed) {
        delayed->fetch_sub(1, std::memory_order_relaxed);
        return std::nullopt;
    }
    return Place(delayed);
}

LoginGuard::LoginGuard() : LoginGuard(Settings{}, Bounds{}) {}
LoginGuard::LoginGuard(Settings settings, Bounds bounds, std::uint64_t seed)
    : impl_(std::make_unique<Impl>(settings, bounds, seed)) {}
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
    const SourceKey key = source_key(source);
    const Tick tick = tick_of(now);
    double weight = 0;
    {
        auto& site = impl_->site_of(key);
        const std::scoped_lock lock(site.mutex);
        answer.known = impl_->is_known(site.known, key, now);
        if (answer.known || mode == Mode::off) return answer;
        const Source* const s = site.sources.find(key);
        if (s == nullptr) return answer;
        weight = s->score.now(tick);
        answer.would_refuse = tick < s->refused_until || weight >= refuse_from;
    }
    if (!answer.would_refuse && weight >= refuse_from_in_network)
        answer.would_refuse = impl_->in_penalised_network(key, tick);
    if (answer.would_refuse && (impl_->allows_source(key) || impl_->allows_pair_at(key)))
        answer.would_refuse = false;
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
    made.account_ = guarded_name(account);
    made.source_key_ = source_key(source);
    made.account_key_ = impl_->account_key(made.account_);
    made.mode_ = account_mode.value_or(impl_->mode.load(std::memory_order_relaxed));
    do {
        made.id_ = impl_->next_attempt.fetch_add(1, std::memory_order_relaxed);
    } while (made.id_ == 0);
    made.waiting_since_ = now;
    return made;
}

void LoginGuard::load_known(std::string_view source, std::string_view account,
                            std::chrono::seconds ago, SteadyTime now) {
    // A clock that was set back must not make it a login of tomorrow.
    const SteadyTime last = now - std::max(ago, seconds(0));
    // One occasion before that: what was kept is no passer-by.
    impl_->remember(source_key(source), impl_->account_key(guarded_name(account)),
                    last - std::chrono::hours(1), last, now);
}

void LoginGuard::note_source(std::string_view source, SteadyTime now) {
    impl_->remember(source_key(source), 0, now, now, now);
}

bool LoginGuard::known_pair(std::string_view source, std::string_view account,
                            SteadyTime now) const {
    return trust(source, account, now) == Trust::known;
}

LoginGuard::Trust LoginGuard::trust(std::string_view source, std::string_view account,
                                    SteadyTime now) const {
    const SourceKey key = source_key(source);
    auto& site = impl_->site_of(key);
    const auto pair = impl_->pair_key(key, impl_->account_key(guarded_name(account)));
    const std::scoped_lock lock(site.mutex);
    if (impl_->is_known(site.pairs, pair, now)) return Trust::known;
    const Source* const found = site.sources.find(key);
    const bool failed = found != nullptr && found->score.now(tick_of(now)) > weight_new_account;
    return failed ? Trust::suspect : Trust::stranger;
}

LoginGuard::Stats LoginGuard::stats() const {
    Stats out;
    for (std::size_t i = 0; i < shard_count; ++i) {
        const auto& site = *impl_->sites[i];
        const auto& names = *impl_->names[i];
        const auto& nets = *impl_->nets[i];
        {
            const std::scoped_lock lock(site.mutex);
            out.sources += site.sources.size();
            out.pairs += site.pairs.size();
            out.octets += site.sources.octets() + site.known.octets() + site.pairs.octets() +
                          site.failing.octets() + site.pool.octets();
        }
        {
            const std::scoped_lock lock(names.mutex);
            out.accounts += names.accounts.size();
            out.octets += names.accounts.octets();
            names.accounts.for_each([&out](const Account& a) {
                if (a.name.capacity() > 15) out.octets += a.name.capacity() + 16;
            });
        }
        const std::scoped_lock lock(nets.mutex);
        out.octets += nets.networks.octets();
    }
    out.delayed = delayed();
    return out;
}

std::size_t LoginGuard::delayed() const noexcept {
    return impl_->delayed->load(std::memory_order_relaxed);
}

}  // namespace postern::policy
