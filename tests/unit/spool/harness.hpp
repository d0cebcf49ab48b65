#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "relay/spool/spool.hpp"
#include "simulated_file_system.hpp"
#include "tests/catch.hpp"

namespace postern::test {

using relay::EntryState;
using relay::EntryUpdate;
using relay::NewEntry;
using relay::Settled;
using relay::Spool;
using relay::SpoolBatch;
using relay::SpoolError;
using relay::WallTime;
using namespace std::chrono_literals;

inline const std::string root = "/spool";

inline WallTime at(std::chrono::seconds t) {
    return WallTime(1'700'000'000s + t);
}

/// An entry that can be told apart; its body is `size` octets made from its id.
inline std::string body_of(const std::string& id, std::size_t size) {
    std::string out;
    while (out.size() < size) out += id + "\r\n";
    out.resize(size);
    return out;
}

inline NewEntry make_entry(const std::string& id, std::size_t size = 100,
                           std::size_t recipients = 1) {
    NewEntry e;
    e.id = id;
    e.ref = id;
    e.account = "ann@example.net";
    e.envelope.mail_from = proto::Address{"ann", "example.net"};
    for (std::size_t i = 0; i < recipients; ++i) {
        e.envelope.recipients.push_back(
            {.address = {"r" + std::to_string(i), "example.org"}, .notify = {}, .orcpt = {}});
    }
    e.message_id = "<" + id + "@example.net>";
    e.created = at(0s);
    e.next_attempt = at(0s);
    auto body = std::make_shared<std::string>(body_of(id, size));
    // In two pieces, as messages come.
    e.pieces = {std::string_view(*body).substr(0, size / 3),
                std::string_view(*body).substr(size / 3)};
    e.keep = body;
    return e;
}

inline std::string octets(const NewEntry& e) {
    std::string out;
    for (const std::string_view piece : e.pieces) out += piece;
    return out;
}

inline SpoolBatch adding(NewEntry e) {
    SpoolBatch b;
    b.add.push_back(std::move(e));
    return b;
}

inline EntryUpdate deferral(const std::string& id, std::uint32_t attempts, WallTime next) {
    EntryUpdate u;
    u.id = id;
    u.state = EntryState::deferred;
    u.attempts = attempts;
    u.next_attempt = next;
    u.upstream = "primary";
    u.last_reply = "451 4.3.0 later";
    return u;
}

inline EntryUpdate delivery(const std::string& id, std::vector<std::uint32_t> recipients = {0}) {
    EntryUpdate u;
    u.id = id;
    for (const std::uint32_t i : recipients) u.done.push_back({i, Settled::delivered});
    return u;
}

inline SpoolBatch updating(EntryUpdate u) {
    SpoolBatch b;
    b.update.push_back(std::move(u));
    return b;
}

/// What a spool told of itself.
struct Told {
    std::mutex mutex;
    std::vector<std::string> failed;
    std::vector<std::pair<std::string, std::string>> damaged;  ///< id, where
    std::string reasons;                                       ///< Of the damage.
    int recovered = 0;
    int due_changed = 0;

    [[nodiscard]] Spool::Observer observer() {
        Spool::Observer o;
        o.failed = [this](std::string_view kind, const std::string&, const std::string&) {
            const std::lock_guard lock(mutex);
            failed.emplace_back(kind);
        };
        o.recovered = [this] {
            const std::lock_guard lock(mutex);
            ++recovered;
        };
        o.damaged = [this](const std::string& id, const std::string& where,
                           const std::string& why) {
            const std::lock_guard lock(mutex);
            damaged.emplace_back(id, where);
            reasons += why + "; ";
        };
        o.due_changed = [this] {
            const std::lock_guard lock(mutex);
            ++due_changed;
        };
        return o;
    }
    template <class F>
    auto get(F f) {
        const std::lock_guard lock(mutex);
        return f(*this);
    }
};

inline Spool::Settings small_settings() {
    Spool::Settings s;
    s.path = root;
    s.reserve = 1U << 20U;
    s.segment_size = 64U << 10U;
    s.inline_limit = 8U << 10U;
    return s;
}

/// Asks until it is true; false after 20 seconds.
template <class F>
bool eventually(F f) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (!f()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

/// Commits and waits for the answer.
inline boost::system::result<void> commit(Spool& spool, SpoolBatch batch) {
    std::promise<boost::system::result<void>> promise;
    auto future = promise.get_future();
    spool.commit(std::move(batch), [&](boost::system::result<void> r) { promise.set_value(r); });
    REQUIRE(future.wait_for(20s) == std::future_status::ready);
    return future.get();
}

inline boost::system::result<std::vector<relay::EntryInfo>> drop(
    Spool& spool, const relay::EntrySelector& which, const std::string& reason = "test") {
    std::vector<relay::EntryInfo> gone;
    const auto outcome =
        spool.change(which, {.kind = relay::EntryChange::Kind::drop, .reason = reason, .now = {}},
                     [&](const relay::EntryInfo& info) { gone.push_back(info); });
    if (outcome.error) return outcome.error;
    return gone;
}

inline relay::ChangeOutcome change(Spool& spool, relay::EntryChange::Kind kind,
                                   const relay::EntrySelector& which, WallTime now = at(0s),
                                   const std::string& to = {}) {
    return spool.change(
        which, {.kind = kind, .reason = "by hand", .upstream = to, .now = now, .stop = {}}, {});
}

inline std::size_t retry(Spool& spool, const relay::EntrySelector& which, WallTime now) {
    return change(spool, relay::EntryChange::Kind::retry, which, now).changed;
}

inline boost::system::result<void> freeze(Spool& spool, const std::string& account, bool frozen) {
    std::promise<boost::system::result<void>> promise;
    auto future = promise.get_future();
    spool.freeze(account, frozen, [&](boost::system::result<void> r) { promise.set_value(r); });
    REQUIRE(future.wait_for(20s) == std::future_status::ready);
    return future.get();
}

inline std::unique_ptr<Spool> open_spool(relay::FileSystem& fs, Told& told,
                                         Spool::Settings settings = small_settings()) {
    auto spool = Spool::open(fs, std::move(settings), told.observer());
    REQUIRE(spool.has_value());
    return std::move(*spool);
}

inline std::vector<std::string> ids(const Spool& spool, const relay::EntrySelector& which = {}) {
    std::vector<std::string> out;
    for (const auto& info : spool.list(which, 1'000'000, {})) out.push_back(info.id);
    return out;
}

}  // namespace postern::test
