// What an operator sees of the guard, and does to it.

#include <charconv>
#include <iterator>

#include <fmt/format.h>

#include "policy/login_guard_impl.hpp"

namespace postern::policy {

namespace {

constexpr std::size_t longest_subject = 512;

LoginGuard::Kind kind_of(Table table) {
    switch (table) {
        case Table::account:
            return LoginGuard::Kind::account;
        case Table::pair:
            return LoginGuard::Kind::pair;
        case Table::source:
        case Table::network:
            break;
    }
    return LoginGuard::Kind::source;
}

/// "TABLE:KEY" in hexadecimal.
std::optional<std::pair<Table, std::uint64_t>> parse_cursor(std::string_view text) {
    if (text.size() < 3 || text[0] < '0' || text[0] > '3' || text[1] != ':') return std::nullopt;
    std::uint64_t key = 0;
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + 2, end, key, 16);
    if (error != std::errc{} || at != end) return std::nullopt;
    return std::pair(static_cast<Table>(text[0] - '0'), key);
}

}  // namespace

std::optional<Subject> LoginGuard::Impl::subject_of(std::string_view text) const {
    const bool clean = std::ranges::none_of(
        text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
    if (text.empty() || text.size() > longest_subject || !clean) return std::nullopt;
    Subject out;
    if (const auto network = parse_network(text)) {
        out.table = Table::network;
        out.key = *network;
        out.text = network_text(*network);
        return out;
    }
    if (const auto source = parse_source(text)) {
        out.key = out.source = *source;
        out.text = source_text(*source);
        return out;
    }
    const auto space = text.rfind(' ');
    const auto source =
        space == std::string_view::npos ? std::nullopt : parse_source(text.substr(space + 1));
    if (source && space > 0) {
        out.table = Table::pair;
        out.source = *source;
        out.account = guarded_name(text.substr(0, space));
        out.key = pair_key(out.source, account_key(out.account));
        out.text = fmt::format("{} {}", out.account, source_text(out.source));
        return out;
    }
    out.table = Table::account;
    out.account = out.text = guarded_name(text);
    out.key = account_key(out.account);
    return out;
}

bool LoginGuard::Impl::allows(Table table, std::uint64_t key) const {
    if (allowed_count.load(std::memory_order_relaxed) == 0) return false;
    const std::shared_lock lock(allowed_mutex);
    return allowed.contains({table, key});
}

bool LoginGuard::Impl::allows_source(SourceKey source) const {
    return allows(Table::source, source) || allows(Table::network, network_key(source));
}

/// Whom a pair's allowance is for must be able to connect.
bool LoginGuard::Impl::allows_pair_at(SourceKey source) const {
    if (allowed_count.load(std::memory_order_relaxed) == 0) return false;
    const std::shared_lock lock(allowed_mutex);
    return std::ranges::any_of(allowed, [source](const auto& entry) {
        return entry.first.first == Table::pair && entry.second.source == source;
    });
}

LoginGuard::Allow LoginGuard::Impl::exempt(Subject subject) {
    const std::scoped_lock lock(allowed_mutex);
    const std::pair key(subject.table, subject.key);
    if (allowed.size() >= bounds.max_allowed && !allowed.contains(key)) return Allow::too_many;
    allowed.insert_or_assign(key, std::move(subject));
    allowed_count.store(allowed.size(), std::memory_order_relaxed);
    return Allow::done;
}

bool LoginGuard::Impl::drop(const Subject& subject) {
    const auto erase = [&](auto& table, auto&& before) {
        auto* const found = table.find(subject.key);
        if (found == nullptr) return false;
        before(*found);
        table.erase(subject.key);
        return true;
    };
    switch (subject.table) {
        case Table::source: {
            auto& site = site_of(subject.source);
            const std::scoped_lock lock(site.mutex);
            return erase(site.sources, [&site](Source& s) { s.recent.clear(site.pool); });
        }
        case Table::pair: {
            auto& site = site_of(subject.source);
            const std::scoped_lock lock(site.mutex);
            return erase(site.failing, [&site](FailingPair& p) { p.clear(site.pool); });
        }
        case Table::network: {
            auto& shard = networks_of(subject.key);
            const std::scoped_lock lock(shard.mutex);
            return erase(shard.networks, [](Network&) {});
        }
        case Table::account:
            break;
    }
    auto& shard = names_of(subject.key);
    const std::scoped_lock lock(shard.mutex);
    return erase(shard.accounts, [](Account&) {});
}

LoginGuard::Standing LoginGuard::Impl::of_source(const Site& site, const Source& source,
                                                 Tick now) const {
    Standing out;
    out.subject = source_text(source.key);
    out.failures = source.score.now(now);
    out.delay = delay_of(out.failures, delay_from);
    if (!is_known(site.known, source.key, time_of(now))) {
        out.refused =
            now < source.refused_until || out.failures >= refuse_from ||
            (out.failures >= refuse_from_in_network && in_penalised_network(source.key, now));
    }
    out.until = source.score.until(delay_from, now);
    if (out.refused) out.until = std::max(*out.until, time_of(source.refused_until));
    return out;
}

LoginGuard::Standing LoginGuard::Impl::of_network(const Network& network, Tick now) {
    Standing out;
    out.subject = network_text(network.key);
    out.failures = network.score.now(now);
    if (network.in_penalty(now)) out.delay = delay_of(out.failures, network_from);
    out.until = network.score.until(network_from, now);
    return out;
}

LoginGuard::Standing LoginGuard::Impl::of_account(const Account& account, Tick now) {
    Standing out;
    out.kind = Kind::account;
    out.subject = account.name;
    out.failures = account.score.now(now);
    out.delay = delay_of(out.failures, account_delay_from);
    out.until = account.score.until(account_delay_from, now);
    if (const Tick next = account.answers.earliest(now); account.crowded && next > now) {
        const auto held = std::chrono::ceil<std::chrono::milliseconds>(TickSpan(next - now));
        out.delay = std::min(std::max(out.delay, held), milliseconds(longest_delay));
        out.until = std::max(*out.until, time_of(next));
    }
    return out;
}

LoginGuard::Standing LoginGuard::Impl::of_pair(const FailingPair& pair, Tick now) {
    Standing out;
    out.kind = Kind::pair;
    out.subject = fmt::format("{} {}", pair.account, source_text(pair.source));
    const Score score{.value = static_cast<float>(pair.now(now)), .at = now};
    out.failures = score.now(now);
    out.delay = delay_of(out.failures, delay_from);
    out.until = score.until(delay_from, now);
    return out;
}

template <typename Seen>
void LoginGuard::Impl::each_standing(Tick now, Seen&& seen) const {
    for (std::size_t i = 0; i < shard_count; ++i) {
        {
            const Site& site = *sites[i];
            const std::scoped_lock lock(site.mutex);
            site.sources.for_each([&](const Source& s) {
                const bool refused =
                    now < s.refused_until && !is_known(site.known, s.key, time_of(now));
                if (s.score.now(now) >= delay_from || refused)
                    seen(Table::source, s.key, [&] { return of_source(site, s, now); });
            });
            site.failing.for_each([&](const FailingPair& p) {
                if (p.now(now) >= delay_from)
                    seen(Table::pair, p.key, [&] { return of_pair(p, now); });
            });
        }
        {
            const std::scoped_lock lock(names[i]->mutex);
            names[i]->accounts.for_each([&](const Account& a) {
                const bool held = a.crowded && a.answers.earliest(now) > now;
                if (a.score.now(now) >= account_delay_from || held)
                    seen(Table::account, a.key, [&] { return of_account(a, now); });
            });
        }
        const std::scoped_lock lock(nets[i]->mutex);
        nets[i]->networks.for_each([&](const Network& n) {
            if (n.in_penalty(now)) seen(Table::network, n.key, [&] { return of_network(n, now); });
        });
    }
}

/// What stands against a subject, in penalty or not; unset: nothing is counted.
std::optional<LoginGuard::Standing> LoginGuard::Impl::standing(const Subject& subject,
                                                               Tick now) const {
    switch (subject.table) {
        case Table::source: {
            const Site& site = site_of(subject.source);
            const std::scoped_lock lock(site.mutex);
            const Source* const found = site.sources.find(subject.key);
            if (found == nullptr) return std::nullopt;
            return of_source(site, *found, now);
        }
        case Table::pair: {
            const Site& site = site_of(subject.source);
            const std::scoped_lock lock(site.mutex);
            const FailingPair* const found = site.failing.find(subject.key);
            if (found == nullptr) return std::nullopt;
            return of_pair(*found, now);
        }
        case Table::network: {
            const Networks& shard = networks_of(subject.key);
            const std::scoped_lock lock(shard.mutex);
            const Network* const found = shard.networks.find(subject.key);
            if (found == nullptr) return std::nullopt;
            return of_network(*found, now);
        }
        case Table::account:
            break;
    }
    const Names& shard = names_of(subject.key);
    const std::scoped_lock lock(shard.mutex);
    const Account* const found = shard.accounts.find(subject.key);
    if (found == nullptr) return std::nullopt;
    return of_account(*found, now);
}

std::optional<LoginGuard::Page> LoginGuard::list(std::string_view cursor, std::size_t limit,
                                                 SteadyTime now) const {
    std::optional<std::pair<Table, std::uint64_t>> after;
    if (!cursor.empty()) {
        after = parse_cursor(cursor);
        if (!after) return std::nullopt;
    }
    limit = std::max<std::size_t>(limit, 1);
    const Tick tick = tick_of(now);
    std::map<std::pair<Table, std::uint64_t>, Standing>
        found;  // the first limit + 1 behind `after`
    // Texts are made only of what has its place on this page: there may be a million.
    const auto take = [&](Table table, std::uint64_t key, auto&& make) {
        const std::pair at(table, key);
        if (after && at <= *after) return;
        if (found.size() > limit && std::prev(found.end())->first < at) return;
        Standing standing = make();
        if (standing.subject.empty()) return;  // It was no address.
        found.insert_or_assign(at, std::move(standing));
        if (found.size() > limit + 1) found.erase(std::prev(found.end()));
    };
    impl_->each_standing(tick, take);
    std::map<std::pair<Table, std::uint64_t>, Subject> allowed;
    {
        const std::shared_lock lock(impl_->allowed_mutex);
        allowed = impl_->allowed;
    }
    for (const auto& [key, subject] : allowed) {
        take(subject.table, subject.key, [&subject] {
            Standing standing;
            standing.kind = kind_of(subject.table);
            standing.subject = subject.text;
            standing.allowed = true;
            return standing;
        });
    }
    Page page;
    for (auto& [key, standing] : found) {
        if (page.items.size() == limit) break;
        page.items.push_back(std::move(standing));
        if (page.items.size() == limit && found.size() > limit)
            page.next = fmt::format("{}:{:x}", static_cast<int>(key.first), key.second);
    }
    return page;
}

bool LoginGuard::forget(std::string_view subject) {
    const auto what = impl_->subject_of(subject);
    if (!what) return false;
    const bool counted = impl_->drop(*what);
    const std::scoped_lock lock(impl_->allowed_mutex);
    const bool was_allowed = impl_->allowed.erase({what->table, what->key}) != 0;
    impl_->allowed_count.store(impl_->allowed.size(), std::memory_order_relaxed);
    return counted || was_allowed;
}

LoginGuard::Allow LoginGuard::allow(std::string_view subject) {
    const auto what = impl_->subject_of(subject);
    const bool is_address = what && what->text.contains('@') && !what->text.contains('/');
    if (!what || (what->table == Table::account && (!is_address || what->text.contains(' '))))
        return Allow::malformed;
    if (const auto said = impl_->exempt(*what); said != Allow::done) return said;
    impl_->drop(*what);
    return Allow::done;
}

double LoginGuard::failures_of(Kind kind, std::string_view subject, SteadyTime now) const {
    auto what = impl_->subject_of(subject);
    if (what && kind == Kind::account && what->table != Table::account) {
        *what = Subject{};
        what->table = Table::account;
        what->account = what->text = guarded_name(subject);
        what->key = impl_->account_key(what->account);
    }
    const auto standing = what ? impl_->standing(*what, tick_of(now)) : std::nullopt;
    return standing ? standing->failures : 0;
}

LoginGuard::Penalties LoginGuard::penalties(SteadyTime now) const {
    Penalties out;
    impl_->each_standing(tick_of(now), [&out](Table table, std::uint64_t, auto&&) {
        ++(table == Table::account ? out.accounts : table == Table::pair ? out.pairs : out.sources);
    });
    return out;
}

}  // namespace postern::policy
