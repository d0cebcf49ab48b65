#include "relay/suppression/lists.hpp"

#include <utility>

#include <fmt/format.h>

namespace postern::relay::suppression {

namespace {

/// Rows that wait to be written; what comes beyond them is in memory alone.
constexpr std::size_t most_waiting = 16'384;
/// Rows of one transaction: other changes of the store wait no longer than these take.
constexpr std::size_t batch_rows = 256;
/// Rows that one call of tend() lets expire.
constexpr std::size_t most_expired = 10'000;

auth::ListOwner stored_owner(const Owner& owner) {
    if (!owner.customer.empty()) return {.customer = owner.customer, .account = {}};
    return {.customer = {}, .account = owner.account};
}

Owner owner_of(const auth::SuppressedRow& row) {
    return {.customer = row.owner.customer, .account = row.owner.account};
}

bool is_of(const auth::SuppressedRow& row, const Owner& owner) {
    return owner.customer.empty() ? row.owner.customer.empty() && row.owner.account == owner.account
                                  : row.owner.customer == owner.customer;
}

}  // namespace

Lists::Lists(auth::AccountStore& store, Ports ports, std::uint64_t seed, Index::Bounds bounds)
    : store_(store), ports_(std::move(ports)), index_(bounds, seed) {}

auth::result<void> Lists::load(WallTime now) {
    return store_.visit_suppressed(now, [&](const auth::SuppressedRow& row) {
        Suppressed what{
            .since = row.since, .until = row.until, .enhanced = row.enhanced, .ref = {}};
        if (index_.put(key_of(owner_of(row), row.rcpt), what, now) == Index::Put::full)
            dropped_.fetch_add(1, std::memory_order_relaxed);
    });
}

std::optional<Suppressed> Lists::find(const Owner& owner, std::string_view rcpt,
                                      WallTime now) const {
    if (index_.size() == 0) return std::nullopt;
    const std::string normalised = normalised_rcpt(rcpt);
    if (normalised.empty()) return std::nullopt;
    auto found = index_.find(key_of(owner, normalised), now);
    if (found && found->until && ports_.suppress_for().count() <= 0) return std::nullopt;
    return found;
}

void Lists::bounced(const Owner& owner, std::string_view rcpt, std::string_view enhanced,
                    std::string_view ref, WallTime now) {
    if (!is_hard_bounce(enhanced) || (owner.customer.empty() && owner.account.empty())) return;
    const auto keep = ports_.suppress_for();
    if (keep.count() <= 0) return;
    std::string normalised = normalised_rcpt(rcpt);
    if (normalised.empty()) return;
    const Key key = key_of(owner, normalised);
    Suppressed what{.since = now,
                    .until = now + keep,
                    .enhanced = std::string(enhanced),
                    .ref = std::string(ref)};
    switch (index_.put(key, what, now)) {
        case Index::Put::kept:
            return;
        case Index::Put::full:
            dropped_.fetch_add(1, std::memory_order_relaxed);
            return;
        case Index::Put::added:
        case Index::Put::renewed:
            break;
    }
    queue(key, {.owner = stored_owner(owner),
                .rcpt = std::move(normalised),
                .since = what.since,
                .until = what.until,
                .enhanced = std::move(what.enhanced),
                .ref = std::move(what.ref)});
}

void Lists::queue(const Key& key, auth::SuppressedRow row) {
    {
        const std::scoped_lock lock(waiting_mutex_);
        if (waiting_.size() >= most_waiting && !waiting_.contains(key.place)) {
            dropped_.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        waiting_.insert_or_assign(key.place, std::move(row));
        // While the store cannot be written it is tried by tend() alone.
        if (asked_ || failing_.load() || !ports_.later) return;
        asked_ = true;
    }
    ports_.later([this] { flush(); });
}

boost::system::error_code Lists::write_waiting() {
    std::vector<std::uint64_t> places;
    std::vector<auth::SuppressedRow> rows;
    for (;;) {
        places.clear();
        rows.clear();
        {
            const std::scoped_lock lock(waiting_mutex_);
            while (!waiting_.empty() && rows.size() < batch_rows) {
                auto taken = waiting_.extract(waiting_.begin());
                places.push_back(taken.key());
                rows.push_back(std::move(taken.mapped()));
            }
            if (rows.empty()) {
                asked_ = false;
                break;
            }
        }
        const auto written = store_.note_suppressed(rows);
        if (written) continue;
        {
            const std::scoped_lock lock(waiting_mutex_);
            asked_ = false;
            // What came meanwhile is newer.
            for (std::size_t i = 0; i < rows.size(); ++i)
                waiting_.try_emplace(places[i], std::move(rows[i]));
        }
        if (!failing_.exchange(true) && ports_.trouble) {
            ports_.trouble(fmt::format(
                "suppressed recipients cannot be written ({}); they hold until a restart",
                written.error().message()));
        }
        return written.error();
    }
    failing_.store(false);
    return {};
}

void Lists::flush() {
    const std::scoped_lock lock(writing_);
    (void)write_waiting();  // It has told, and tend() tries again.
}

auth::result<Suppressed> Lists::add(const Owner& owner, std::string_view normalised, WallTime now) {
    const std::scoped_lock lock(writing_);
    if (const auto error = write_waiting()) return error;
    const auth::ListOwner stored = stored_owner(owner);
    const auto done = store_.suppress({.owner = stored,
                                       .rcpt = std::string(normalised),
                                       .since = now,
                                       .until = std::nullopt,
                                       .enhanced = {},
                                       .ref = {}});
    if (!done) return done.error();
    Suppressed what{.since = now, .until = std::nullopt, .enhanced = {}, .ref = {}};
    if (index_.put(key_of(owner, normalised), what, now) == Index::Put::full) {
        if (const auto undone = store_.unsuppress(stored, normalised); !undone)
            return undone.error();
        return make_error_code(boost::system::errc::not_enough_memory);
    }
    return what;
}

auth::result<std::uint64_t> Lists::remove(const Owner& owner,
                                          std::optional<std::string_view> normalised) {
    const std::scoped_lock lock(writing_);
    if (const auto error = write_waiting()) return error;
    const auto gone = store_.unsuppress(stored_owner(owner), normalised);
    if (!gone) return gone;
    if (!normalised) {
        forget(owner);
        return gone;
    }
    const Key key = key_of(owner, *normalised);
    index_.erase(key);
    const std::scoped_lock waiting(waiting_mutex_);
    waiting_.erase(key.place);
    return gone;
}

auth::result<auth::SuppressedPage> Lists::list(const auth::SuppressedFilter& filter,
                                               std::string_view cursor, std::size_t limit,
                                               WallTime now) {
    flush();
    return store_.list_suppressed(filter, cursor, limit, now);
}

void Lists::tend(WallTime now) {
    const std::scoped_lock lock(writing_);
    index_.sweep(now);
    if (const std::uint64_t dropped = this->dropped(); dropped != dropped_told_ && ports_.trouble) {
        ports_.trouble(fmt::format("{} recipients that bounced are on no list: there are too many",
                                   dropped - dropped_told_));
        dropped_told_ = dropped;
    }
    if (write_waiting()) return;
    const auto expired_rows = store_.expire_suppressed(now, most_expired);
    if (!expired_rows && ports_.trouble) {
        ports_.trouble(fmt::format("suppressed recipients that have expired cannot be removed ({})",
                                   expired_rows.error().message()));
    }
}

void Lists::forget(const Owner& owner) {
    index_.erase_owner(owner_key(owner));
    const std::scoped_lock lock(waiting_mutex_);
    std::erase_if(waiting_, [&](const auto& one) { return is_of(one.second, owner); });
}

}  // namespace postern::relay::suppression
