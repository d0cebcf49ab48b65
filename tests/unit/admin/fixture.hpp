#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "auth/account_store.hpp"
#include "relay/admin/api.hpp"
#include "relay/event/event.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/json.hpp"
#include "relay/spool/spool.hpp"
#include "tests/catch.hpp"

namespace postern::test {

/// A folder of its own, gone at the end.
class Folder {
  public:
    Folder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "postern-admin-XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

/// Keeps what was emitted.
class Kept final : public relay::event::Stream {
  public:
    void emit(relay::event::Payload what) noexcept override { all.push_back(std::move(what)); }

    template <typename T>
    [[nodiscard]] std::vector<T> of() const {
        std::vector<T> out;
        for (const auto& one : all) {
            if (const T* found = std::get_if<T>(&one)) out.push_back(*found);
        }
        return out;
    }
    std::vector<relay::event::Payload> all;
};

/// A spool of entries in memory that answers at once.
class MemorySpool final : public relay::Spool {
  public:
    std::vector<relay::EntryInfo> entries;
    std::vector<std::pair<std::string, bool>> frozen;
    std::set<std::string> now_frozen;
    std::vector<relay::EntryChange> asked;  ///< Changes, as they came.
    std::string octets;                     ///< Of every message.
    std::function<void()> meanwhile;        ///< Happens while a change waits for its record.
    boost::system::error_code fails;

    void add(const std::string& id, const std::string& account,
             relay::EntryState state = relay::EntryState::deferred) {
        relay::EntryInfo e;
        e.id = id;
        e.ref = id;
        e.account = account;
        e.mail_from = account;
        e.open_rcpts = {"b@example.org", "c@example.org"};
        e.state = state;
        e.bytes = 1000;
        e.created = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
        e.next_attempt = e.created + std::chrono::minutes(5);
        e.last_reply = "451 4.3.0 later";
        entries.push_back(e);
    }

    [[nodiscard]] static bool fits(const relay::EntrySelector& w, const relay::EntryInfo& e) {
        const auto one_of = [](const auto& list, const auto& value) {
            return list.empty() || std::ranges::find(list, value) != list.end();
        };
        return one_of(w.ids, e.id) && one_of(w.accounts, e.account) && one_of(w.states, e.state) &&
               (!w.since || e.created >= *w.since) && (!w.until || e.created < *w.until);
    }

    void commit(relay::SpoolBatch, Callback done) override { done({}); }
    [[nodiscard]] boost::system::result<Reservation> reserve(std::uint64_t) override {
        return Reservation();
    }
    [[nodiscard]] boost::system::result<relay::LoadedEntry> load(const std::string& id) override {
        const auto at = std::ranges::find(entries, id, &relay::EntryInfo::id);
        if (at == entries.end()) return relay::SpoolError::not_found;
        if (at->state == relay::EntryState::damaged) return relay::SpoolError::damaged;
        relay::LoadedEntry loaded;
        loaded.entry.id = id;
        loaded.entry.ref = at->ref;
        const std::string_view all = octets;
        loaded.entry.pieces = {all.substr(0, all.size() / 3), all.substr(all.size() / 3)};
        return loaded;
    }
    [[nodiscard]] std::vector<std::string> take_due(relay::WallTime, std::size_t) override {
        return {};
    }
    void put_back(const std::string&, relay::WallTime) override {}
    [[nodiscard]] bool hold_back(const std::string&) override { return true; }
    void let_go(const std::string&) override {}
    void set_reserve(std::uint64_t) override {}
    [[nodiscard]] std::optional<relay::WallTime> next_due() const override { return std::nullopt; }
    [[nodiscard]] std::vector<relay::EntryInfo> list(const relay::EntrySelector& which,
                                                     std::size_t limit,
                                                     const std::string& after) const override {
        std::vector<relay::EntryInfo> out;
        for (const auto& e : entries) {
            if (e.id > after && fits(which, e) && out.size() < limit) out.push_back(e);
        }
        return out;
    }
    void visit(const relay::EntrySelector& which,
               const std::function<bool(const relay::EntryInfo&)>& see) const override {
        for (const auto& e : entries) {
            if (fits(which, e) && !see(e)) return;
        }
    }
    /// Whatever is active fails; the rest is noted, and what is dropped goes.
    relay::ChangeOutcome change(
        const relay::EntrySelector& which, const relay::EntryChange& what,
        const std::function<void(const relay::EntryInfo&)>& changed) override {
        relay::ChangeOutcome out;
        asked.push_back(what);
        std::erase_if(entries, [&](const relay::EntryInfo& e) {
            if (!fits(which, e) || out.error || (what.limit != 0 && out.matched == what.limit))
                return false;
            ++out.matched;
            if (e.state == relay::EntryState::active) {
                out.fail(e.id, "busy");
                return false;
            }
            if (fails) {
                out.error = fails;
                return false;
            }
            ++out.changed;
            if (changed) changed(e);
            return what.kind == relay::EntryChange::Kind::drop;
        });
        return out;
    }
    void freeze(const std::string& account, bool on, Callback done) override {
        frozen.emplace_back(account, on);
        if (on) {
            now_frozen.insert(account);
        } else {
            now_frozen.erase(account);
        }
        if (fails) return done(fails);
        done({});
    }
    void record_frozen(Callback done) override {
        if (meanwhile) std::exchange(meanwhile, nullptr)();
        if (fails) return done(fails);
        done({});
    }
    [[nodiscard]] std::vector<std::string> frozen_accounts() const override {
        return {now_frozen.begin(), now_frozen.end()};
    }
    [[nodiscard]] Stats stats() const override { return {}; }
    void stop() override {}
};

/// The API over a store of its own.
struct Fixture {
    Folder folder;
    std::unique_ptr<auth::AccountStore> accounts;
    MemorySpool spool;
    Kept events;
    relay::admin::Ports ports;
    std::shared_ptr<const auth::AccountStore::Listener> listener;

    Fixture() {
        auth::StoreSettings settings;
        settings.path = folder.path() + "/accounts.db";
        auto opened = auth::AccountStore::open(std::move(settings));
        REQUIRE(opened.has_value());
        accounts = std::move(*opened);
        // As the relay does.
        listener = accounts->subscribe([this](std::string_view account, auth::Change change) {
            if (change == auth::Change::suspended || change == auth::Change::released)
                spool.freeze(std::string(account), change == auth::Change::suspended, [](auto) {});
        });
        ports.accounts = accounts.get();
        ports.spool = &spool;
        ports.events = &events;
        ports.journal = folder.path() + "/events";
        ports.limits_of = [](const std::string& plan) -> std::optional<policy::PlanLimits> {
            if (plan == "transactional" || plan == "gold")
                return policy::PlanLimits::transactional();
            return std::nullopt;
        };
        ports.version = "1.2.3";
        ports.commit = "abc";
        ports.built = "2026-01-01T00:00:00Z";
    }

    struct Answer {
        int status = 0;
        nlohmann::json json;
    };
    [[nodiscard]] Answer call(const std::string& method, const std::string& target,
                              const std::string& body = "") const {
        relay::admin::Request request;
        request.method = method;
        REQUIRE(request.set_target(target));
        request.body = body;
        request.reason = "because";
        request.who = "uid:1000";
        const auto response = relay::admin::Api(ports).handle(request);
        return {response.status, nlohmann::json::parse(response.body, nullptr, false)};
    }
};

}  // namespace postern::test
