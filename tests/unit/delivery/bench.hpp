#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "relay/delivery/delivery.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/task_group.hpp"
#include "tests/catch.hpp"

namespace postern::test {

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

/// Entries in memory; `says` answers a batch.
class ScriptedSpool final : public relay::Spool {
  public:
    std::map<std::string, relay::LoadedEntry> entries;
    std::function<boost::system::error_code(const relay::SpoolBatch&)> says;
    std::vector<relay::SpoolBatch> taken;
    std::vector<std::string> put_backs;
    relay::WallTime put_back_until;  ///< Of the last.
    std::vector<std::string> due;
    std::atomic<int> loads = 0;  ///< On the pool's thread, looked at from the test's.

    void commit(relay::SpoolBatch batch, Callback done) override {
        if (says) {
            if (const auto error = says(batch)) return done(error);
        }
        taken.push_back(std::move(batch));
        done({});
    }
    [[nodiscard]] boost::system::result<Reservation> reserve(std::uint64_t) override {
        return Reservation();
    }
    void set_reserve(std::uint64_t) override {}
    [[nodiscard]] boost::system::result<relay::LoadedEntry> load(const std::string& id) override {
        ++loads;
        const auto at = entries.find(id);
        if (at == entries.end()) return relay::SpoolError::not_found;
        return at->second;
    }
    [[nodiscard]] std::vector<std::string> take_due(relay::WallTime, std::size_t max) override {
        std::vector<std::string> out;
        while (!due.empty() && out.size() < max) {
            out.push_back(due.back());
            due.pop_back();
        }
        return out;
    }
    void put_back(const std::string& id, relay::WallTime when) override {
        put_backs.push_back(id);
        put_back_until = when;
    }
    [[nodiscard]] std::optional<relay::WallTime> next_due() const override { return std::nullopt; }
    [[nodiscard]] bool hold_back(const std::string&) override { return true; }
    void let_go(const std::string&) override {}
    [[nodiscard]] std::vector<relay::EntryInfo> list(const relay::EntrySelector& which,
                                                     std::size_t limit,
                                                     const std::string& after) const override {
        std::vector<relay::EntryInfo> out;
        for (auto at = entries.upper_bound(after); at != entries.end() && out.size() < limit;
             ++at) {
            relay::EntryInfo info;
            info.id = at->first;
            info.created = at->second.entry.created;
            info.delay_notified = at->second.delay_notified;
            if (!which.until || info.created <= *which.until) out.push_back(std::move(info));
        }
        return out;
    }
    void visit(const relay::EntrySelector& which,
               const std::function<bool(const relay::EntryInfo&)>& see) const override {
        for (const relay::EntryInfo& info : list(which, entries.size(), {})) {
            if (!see(info)) return;
        }
    }
    relay::ChangeOutcome change(const relay::EntrySelector&, const relay::EntryChange&,
                                const std::function<void(const relay::EntryInfo&)>&) override {
        return {};
    }
    void freeze(const std::string&, bool, Callback done) override { done({}); }
    void record_frozen(Callback done) override { done({}); }
    [[nodiscard]] std::vector<std::string> frozen_accounts() const override { return {}; }
    [[nodiscard]] Stats stats() const override { return {}; }
    void stop() override {}
};

/// Deliveries over a spool that does as told, on one thread.
struct Bench {
    boost::asio::io_context context{1};
    boost::asio::thread_pool offload{1};
    Kept events;
    ScriptedSpool spool;
    std::shared_ptr<relay::config::Config> config = std::make_shared<relay::config::Config>();
    std::shared_ptr<relay::PathSet> paths = std::make_shared<relay::PathSet>();
    int refs = 0;
    relay::net::TaskGroup tasks{context.get_executor(),
                                [](std::string_view what) { FAIL(std::string(what)); }};
    relay::net::Resolver resolver{context, {}};
    relay::UpstreamPool pool{context, resolver, tasks, events, {}};
    relay::Delivery delivery{{.config = [this] { return config; },
                              .paths = [this] { return paths; },
                              .make_ref = [this] { return "01REF" + std::to_string(refs++); },
                              .random = [] { return 0.5; }},
                             spool,
                             offload,
                             events};

    Bench() {
        config->server.hostname = "mx.example.net";
        config->server.contact = "postmaster@example.net";
    }

    relay::LoadedEntry& entry(const std::string& id, std::chrono::hours age = {}) {
        relay::LoadedEntry loaded;
        loaded.entry.id = id;
        loaded.entry.ref = id;
        loaded.entry.account = "ann@example.net";
        loaded.entry.envelope.mail_from = proto::Address{"ann", "example.net"};
        loaded.entry.envelope.recipients.push_back(
            {.address = {"bob", "example.org"}, .notify = {}, .orcpt = {}});
        loaded.entry.pieces = {"Subject: x\r\n\r\nbody\r\n"};
        loaded.entry.created = std::chrono::system_clock::now() - age;
        loaded.open = {0};
        return spool.entries[id] = std::move(loaded);
    }

    /// Runs it on the one thread to its end.
    void run(relay::awaitable<void> task) {
        tasks.spawn(std::move(task));
        context.restart();
        while (tasks.count() > 0) context.run_one();
    }
};

}  // namespace postern::test
