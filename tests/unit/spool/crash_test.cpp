#include <cstdlib>
#include <set>
#include <thread>

#include "harness.hpp"

using namespace postern::test;

namespace {

/// What a client of the spool was told of an entry, and what it asked for and was not told yet.
struct Version {
    bool exists = false;
    std::set<std::uint32_t> open;
    std::uint32_t attempts = 0;
    bool held = false;
    std::string way;  ///< By which it was rerouted.
    bool operator==(const Version&) const = default;
};
struct Known {
    std::size_t size = 0;
    Version answered;
    Version asked;
    std::size_t batch = 0;  ///< In flight; 0: none.
};
struct Model {
    std::map<std::string, Known> entries;
    std::set<std::string> failed;  ///< Adds that were refused.
};

/// When the machine lost its power.
enum class Moment : std::uint8_t { at_work, in_compaction, at_the_end };

struct CrashState {
    std::unique_ptr<SimulatedFileSystem> fs;
    Model model;
    Moment moment = Moment::at_work;
};

/// What a campaign has recovered and compared, for who asks how much that was.
struct Recovered {
    std::size_t at_work = 0;
    std::size_t in_compaction = 0;
    std::size_t at_the_end = 0;
    std::size_t in_start = 0;    ///< Of one of the above, cut off and begun again.
    std::size_t answered = 0;    ///< Entries whose last answer was known, found just so.
    std::size_t unanswered = 0;  ///< Entries in flight, found as before it or as after it.
    std::size_t refused = 0;     ///< Entries whose add was refused, and that are not there.

    void count(Moment moment) {
        ++(moment == Moment::at_work         ? at_work
           : moment == Moment::in_compaction ? in_compaction
                                             : at_the_end);
    }
    [[nodiscard]] std::size_t states() const {
        return at_work + in_compaction + at_the_end + in_start;
    }
    [[nodiscard]] std::string text() const {
        return std::to_string(states()) + " states recovered: crashed at work " +
               std::to_string(at_work) + ", in compaction " + std::to_string(in_compaction) +
               ", at the end " + std::to_string(at_the_end) + ", in the start from one of these " +
               std::to_string(in_start) + "; entries as answered " + std::to_string(answered) +
               ", in flight " + std::to_string(unanswered) + ", refused and absent " +
               std::to_string(refused) + "; lost 0, invented 0";
    }
};

/// Uses a spool as a relay does, several batches in flight, and takes crash states at random calls
/// of the file port.
class Campaign {
  public:
    explicit Campaign(std::uint32_t seed) : random_(seed), fs_(seed) {}

    void inject(SimulatedFileSystem::Call call, int nth, int error) { fault_ = {call, nth, error}; }

    std::vector<CrashState> run(int operations, std::size_t states) {
        Told told;
        std::mt19937 hook_random(random_());
        fs_.set_hook([&, states](const SimulatedFileSystem::Event& event) {
            return on_call(event, hook_random, states);
        });
        auto spool = Spool::open(fs_, crash_settings(), told.observer());
        REQUIRE(spool.has_value());
        for (int i = 0; i < operations; ++i) submit(**spool);
        (*spool)->stop();
        spool->reset();
        fs_.set_hook({});
        states_.push_back({fs_.crashed_now(random_), model_, Moment::at_the_end});
        return std::move(states_);
    }

    static Spool::Settings crash_settings() {
        Spool::Settings s = small_settings();
        s.inline_limit = 2000;
        return s;
    }

  private:
    struct Fault {
        SimulatedFileSystem::Call call;
        int nth;
        int error;
    };

    boost::system::error_code on_call(const SimulatedFileSystem::Event& event, std::mt19937& random,
                                      std::size_t states) {
        using Call = SimulatedFileSystem::Call;
        // Who uses the spool reads on this thread; on the writer's own only compaction reads (a
        // segment, known here by the name that it was opened under).
        if (event.call == Call::read && !event.path.contains("/bodies/") &&
            std::this_thread::get_id() != user_) {
            compacting_ = true;
        }
        // A few calls: they get their states beside those of all other work.
        if (compacting_ ? in_compaction_ < 3 && random() % 4 == 0
                        : at_work_ < states && random() % 40 == 0) {
            const std::lock_guard lock(mutex_);
            ++(compacting_ ? in_compaction_ : at_work_);
            states_.push_back({fs_.crashed(random), model_,
                               compacting_ ? Moment::in_compaction : Moment::at_work});
        }
        if (event.call == Call::unlink && event.path.ends_with(".seg")) compacting_ = false;
        if (fault_ && fault_->call == event.call && --fault_->nth == 0) {
            return {fault_->error, boost::system::system_category()};
        }
        return {};
    }

    void submit(Spool& spool) {
        SpoolBatch batch;
        std::optional<Order> order;
        {
            std::unique_lock lock(mutex_);
            // A few in flight, now and then none.
            const std::size_t most = random_() % 6;
            changed_.wait(lock, [&] { return in_flight_ <= most; });
            ++batch_;
            ++in_flight_;
            std::vector<std::string> settled;
            for (auto& [id, known] : model_.entries) {
                if (known.batch == 0 && known.answered.exists) settled.push_back(id);
            }
            if (!settled.empty() && random_() % 5 == 0) {
                order = ask(settled[random_() % settled.size()]);
            }
            const bool add = !order && (settled.size() < 4 || random_() % 3 != 0);
            if (!order && !settled.empty() && (!add || random_() % 4 == 0)) {
                update(batch, settled[random_() % settled.size()]);
            }
            if (add) {
                const std::size_t n = 1 + random_() % 2;
                for (std::size_t i = 0; i < n; ++i) add_one(batch);
            }
        }
        const std::size_t number = batch_;
        if (order) {
            const auto outcome =
                change(spool, order->kind, {.ids = {order->id}}, at(1s), order->to);
            answered(number, !outcome.error && outcome.failed == 0);
            return;
        }
        spool.commit(std::move(batch), [this, number](boost::system::result<void> r) {
            answered(number, r.has_value());
        });
    }

    void answered(std::size_t number, bool done) {
        const std::lock_guard lock(mutex_);
        for (auto it = model_.entries.begin(); it != model_.entries.end();) {
            Known& known = it->second;
            if (known.batch != number) {
                ++it;
                continue;
            }
            known.batch = 0;
            if (done) {
                known.answered = known.asked;
            } else {
                known.asked = known.answered;
            }
            if (!done && !known.answered.exists) {
                model_.failed.insert(it->first);
                it = model_.entries.erase(it);
            } else {
                ++it;
            }
        }
        --in_flight_;
        changed_.notify_all();
    }

    struct Order {
        postern::relay::EntryChange::Kind kind;
        std::string id;
        std::string to;
    };

    /// What an operator asks for.
    Order ask(const std::string& id) {
        using Kind = postern::relay::EntryChange::Kind;
        Known& known = model_.entries[id];
        known.batch = batch_;
        switch (random_() % 4) {
            case 0:
                known.asked.held = true;
                return {Kind::hold, id, {}};
            case 1:
                known.asked.held = false;
                return {Kind::release, id, {}};
            case 2:
                known.asked.way = random_() % 2 == 0 ? "second" : "third";
                return {Kind::reroute, id, known.asked.way};
            default:
                known.asked.exists = false;
                return {Kind::drop, id, {}};
        }
    }

    void add_one(SpoolBatch& batch) {
        const std::string id = "01" + std::to_string(10000 + next_id_++);
        const std::size_t size = random_() % 8 == 0 ? 2001 + random_() % 9000 : random_() % 2000;
        const std::size_t recipients = 1 + random_() % 3;
        batch.add.push_back(make_entry(id, size, recipients));
        Known known;
        known.size = size;
        known.batch = batch_;
        known.asked.exists = true;
        for (std::uint32_t i = 0; i < recipients; ++i) known.asked.open.insert(i);
        model_.entries[id] = known;
    }

    void update(SpoolBatch& batch, const std::string& id) {
        Known& known = model_.entries[id];
        known.batch = batch_;
        EntryUpdate u = deferral(id, known.answered.attempts + 1, at(5s));
        known.asked.attempts = u.attempts;
        for (const std::uint32_t i : known.answered.open) {
            if (random_() % 3 == 0) continue;
            u.done.push_back({i, Settled::delivered});
            known.asked.open.erase(i);
        }
        known.asked.exists = !known.asked.open.empty();
        batch.update.push_back(std::move(u));
    }

    std::mt19937 random_;
    SimulatedFileSystem fs_;
    std::mutex mutex_;
    std::condition_variable changed_;
    Model model_;
    std::size_t in_flight_ = 0;
    std::size_t batch_ = 0;
    int next_id_ = 0;
    std::optional<Fault> fault_;
    std::vector<CrashState> states_;
    // By the hook alone, which runs with the file system's lock held.
    std::thread::id user_ = std::this_thread::get_id();
    bool compacting_ = false;
    std::size_t in_compaction_ = 0;
    std::size_t at_work_ = 0;
};

Version found_version(Spool& spool, Told& told, const std::string& id, const Known& known) {
    Version v;
    const auto loaded = spool.load(id);
    if (!loaded) {
        INFO(id << " size " << known.size << " batch " << known.batch << ": "
                << loaded.error().message() << " " << told.get([](Told& t) { return t.reasons; }));
        REQUIRE(loaded.error() == SpoolError::not_found);
        return v;
    }
    INFO("body of " << id);
    REQUIRE(octets(loaded->entry) == body_of(id, known.size));
    v.exists = true;
    v.open = {loaded->open.begin(), loaded->open.end()};
    v.attempts = loaded->entry.attempts;
    v.held = loaded->held;
    if (loaded->rerouted) v.way = loaded->entry.upstream;
    return v;
}

enum class Failed : std::uint8_t { must_be_gone, may_be_found };

void verify(Spool& spool, Told& told, const Model& model, Failed failed, Recovered& recovered) {
    for (const std::string& id : ids(spool)) {
        INFO("found " << id);
        const bool refused = model.failed.contains(id);
        REQUIRE((model.entries.contains(id) || (refused && failed == Failed::may_be_found)));
    }
    std::map<std::size_t, bool> whole;  // Of batches in flight: whether they are found.
    for (const auto& [id, known] : model.entries) {
        const Version found = found_version(spool, told, id, known);
        // Gone is gone, however far it had come.
        const auto same = [](const Version& a, const Version& b) {
            return a.exists == b.exists && (!a.exists || a == b);
        };
        INFO("entry " << id);
        if (known.batch == 0) {
            REQUIRE(same(found, known.answered));
            ++recovered.answered;
            continue;
        }
        const bool after = same(found, known.asked);
        REQUIRE((after || same(found, known.answered)));
        const auto [it, first] = whole.emplace(known.batch, after);
        INFO("batch " << known.batch << " is found whole or not at all");
        REQUIRE(it->second == after);
        ++recovered.unanswered;
    }
    if (failed == Failed::must_be_gone) recovered.refused += model.failed.size();
}

/// Recovers twice, a crash at a random call of the first recovery between; then works on.
void check(CrashState& state, std::mt19937& random, Failed failed, Recovered& recovered) {
    std::unique_ptr<SimulatedFileSystem> again;
    const int nth = 1 + static_cast<int>(random() % 40);
    int calls = 0;
    state.fs->set_hook([&](const SimulatedFileSystem::Event&) {
        if (++calls == nth) again = state.fs->crashed(random);
        return boost::system::error_code{};
    });
    for (SimulatedFileSystem* fs : {state.fs.get(), static_cast<SimulatedFileSystem*>(nullptr)}) {
        if (fs == nullptr) fs = again.get();
        if (fs == nullptr) continue;
        Told told;
        std::vector<std::string> before;
        {
            auto spool = open_spool(*fs, told, Campaign::crash_settings());
            if (fs == state.fs.get()) {
                // The hook is not to race with what follows.
                fs->set_hook({});
            }
            INFO((fs == state.fs.get() ? "first recovery" : "second recovery"));
            verify(*spool, told, state.model, failed, recovered);
            if (fs == state.fs.get()) {
                recovered.count(state.moment);
            } else {
                ++recovered.in_start;
            }
            REQUIRE(commit(*spool, adding(make_entry("02NEW"))));
            before = ids(*spool);
        }
        auto spool = open_spool(*fs, told, Campaign::crash_settings());
        REQUIRE(ids(*spool) == before);
        REQUIRE(told.get([](Told& t) { return t.damaged.size(); }) == 0);
    }
}

int rounds_from_environment(int usual) {
    const char* text = std::getenv("POSTERN_CRASH_ROUNDS");
    return text == nullptr ? usual : std::max(1, std::atoi(text));
}

}  // namespace

TEST_CASE("after a crash at any instant every answered batch is there, whole, and nothing else",
          "[spool][crash]") {
    const int wanted = rounds_from_environment(600);
    int done = 0;
    Recovered recovered;
    for (std::uint32_t seed = 1; done < wanted; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        Campaign campaign(seed);
        for (CrashState& state : campaign.run(60, 5)) {
            INFO("crash state " << done);
            check(state, random, Failed::must_be_gone, recovered);
            ++done;
        }
    }
    CHECK(done >= wanted);
    // A campaign that never met one of them would prove less than it says.
    CHECK(recovered.in_compaction > 0);
    CHECK(recovered.in_start > 0);
    WARN(recovered.text());
}

TEST_CASE("a crash around a failing disk loses nothing that was answered", "[spool][crash]") {
    using Call = SimulatedFileSystem::Call;
    const int wanted = rounds_from_environment(600) / 4;
    int done = 0;
    Recovered recovered;
    for (std::uint32_t seed = 100'001; done < wanted; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        Campaign campaign(seed);
        constexpr Call calls[] = {Call::write,    Call::sync,          Call::preallocate,
                                  Call::truncate, Call::rename,        Call::open,
                                  Call::unlink,   Call::sync_directory};
        const Call call = calls[random() % std::size(calls)];
        const int nth = 3 + static_cast<int>(random() % 30);
        campaign.inject(call, nth, random() % 2 == 0 ? EIO : ENOSPC);
        for (CrashState& state : campaign.run(60, 5)) {
            INFO("crash state " << done << " fault at call " << static_cast<int>(call) << " no "
                                << nth);
            check(state, random, Failed::must_be_gone, recovered);
            ++done;
        }
    }
    CHECK(done >= wanted);
    WARN("with a call that fails: " << recovered.text());
}
