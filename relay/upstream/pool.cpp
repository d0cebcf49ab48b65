#include "relay/upstream/pool.hpp"

#include <algorithm>
#include <utility>

#include "proto/classify.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using proto::BreakerEffect;

/// By how much a waiting client counts as having come earlier than it did. Of its customer's own,
/// that is: it takes no turn from others.
constexpr std::chrono::seconds head_start{5};

/// 421 to the dot judges nothing, but it is no sign of health either.
bool taking_leave(const AttemptResult& result) {
    return std::ranges::any_of(result.results, [](const auto& one) {
        return one.stage == proto::UpstreamStage::dot && one.reply.code == 421;
    });
}

}  // namespace

UpstreamPool::UpstreamPool(asio::io_context& context, net::Resolver& resolver,
                           net::TaskGroup& tasks, event::Stream& events, Settings settings)
    : context_(context),
      resolver_(&resolver),
      tasks_(tasks),
      events_(events),
      settings_(settings) {}

AttemptPtr UpstreamPool::start(PathPtr path, Outgoing outgoing, bool client_waits,
                               SteadyTime slot_deadline) {
    auto attempt = std::make_shared<Attempt>(context_.get_executor(), std::move(path),
                                             std::move(outgoing), client_waits);
    running_.insert(attempt);
    if (hurried_) attempt->hurry(*hurried_);
    tasks_.spawn(run(attempt, slot_deadline));
    return attempt;
}

awaitable<void> UpstreamPool::run(AttemptPtr attempt, SteadyTime slot_deadline) {
    // An exception takes the result with it; the owner hears of the end all the same.
    struct End {
        UpstreamPool& pool;
        const AttemptPtr& attempt;
        ~End() {
            if (!attempt->finished()) {
                AttemptResult lost;
                lost.how =
                    attempt->dot_sent() ? AttemptResult::How::in_doubt : AttemptResult::How::broken;
                attempt->finish(std::move(lost));
            }
            pool.running_.erase(attempt);
        }
    };
    const End end{*this, attempt};
    attempt->finish(co_await carry_out(attempt, slot_deadline));
}

awaitable<AttemptResult> UpstreamPool::carry_out(AttemptPtr attempt, SteadyTime slot_deadline) {
    const PathPtr path = attempt->path();
    for (int tries = 0;; ++tries) {
        Acquired got = co_await acquire(path, attempt, slot_deadline, tries > 0);
        AttemptResult result;
        if (!got.connection) {
            result.how = AttemptResult::How::no_slot;
            if (got.failed) {
                result.how = AttemptResult::How::broken;
                learn(path, *got.failed, attempt->outgoing().ref);
                result.failure = std::move(got.failed);
            }
            if (attempt->abandoned()) result.how = AttemptResult::How::abandoned;
            co_return result;
        }
        const bool reused = got.connection->messages > 0;
        if (attempt->abandoned()) {
            result.how = AttemptResult::How::abandoned;
            release(std::move(got.connection), std::move(got.use));
            co_return result;
        }
        if (!offers(got.connection->offer(), attempt->outgoing().needs())) {
            result.how = AttemptResult::How::unfit;
            release(std::move(got.connection), std::move(got.use));
            co_return result;
        }
        // Once a message, on however many connections it is tried.
        if (tries == 0 && !path->memory().take(clock::now(), attempt->outgoing().shares_as)) {
            result.how = AttemptResult::How::at_rate;
            release(std::move(got.connection), std::move(got.use));
            co_return result;
        }
        result = co_await send_on(*got.connection, attempt);
        // A kept connection that died without a word was most likely closed while idle: nothing was
        // sent that counts, and the path is not to blame. Others that were kept may have died with
        // it.
        if (reused && tries == 0 && result.how == AttemptResult::How::broken &&
            !got.connection->heard() && result.failure &&
            result.failure->kind == Connection::Failed::Kind::eof) {
            continue;
        }
        learn(path, result, attempt->outgoing().ref);
        release(std::move(got.connection), std::move(got.use));
        co_return result;
    }
}

awaitable<AttemptResult> UpstreamPool::send_on(Connection& connection, AttemptPtr attempt) {
    const InHand in_hand(*this, &connection);
    const auto began = clock::now();
    AttemptResult result = co_await connection.send(attempt);
    if (std::ranges::any_of(result.results, [](const auto& one) { return one.reply.positive(); }))
        attempt->path()->took_mail(std::chrono::duration<double>(clock::now() - began).count());
    co_return result;
}

void UpstreamPool::learn(const PathPtr& path, const Connection::Failed& failed,
                         const std::string& ref) {
    if (proto::asks_for_less(failed.stage, failed.reply)) path->asked_for_less(clock::now());
    switch (proto::breaker_effect(failed, path->settings().upstream.path_replies)) {
        case BreakerEffect::none:
            break;
        case BreakerEffect::counts:
            path->failed(clock::now(), name(failed.stage), describe(failed));
            break;
        case BreakerEffect::opens:
            path->trip(clock::now(), name(failed.stage), describe(failed));
            break;
        case BreakerEffect::doubt:
            path->no_answer(clock::now(), ref);
            break;
    }
}

void UpstreamPool::learn(const PathPtr& path, const AttemptResult& result, const std::string& ref) {
    if (result.how == AttemptResult::How::abandoned) return;
    if (std::ranges::any_of(result.results, [](const auto& one) {
            return proto::asks_for_less(one.stage, one.reply);
        }))
        path->asked_for_less(clock::now());
    const proto::ClientSession::RecipientResult* worst = nullptr;
    BreakerEffect effect = BreakerEffect::none;
    for (const auto& one : result.results) {
        const BreakerEffect now =
            proto::breaker_effect(one.stage, one.reply, path->settings().upstream.path_replies);
        if (now == BreakerEffect::opens ||
            (now == BreakerEffect::counts && effect == BreakerEffect::none)) {
            effect = now;
            worst = &one;
        }
    }
    if (worst != nullptr) {
        const std::string text = std::to_string(worst->reply.code) + " " + worst->reply.text;
        if (effect == BreakerEffect::opens) {
            path->trip(clock::now(), name(worst->stage), text);
        } else {
            path->failed(clock::now(), name(worst->stage), text);
        }
        return;
    }
    if (result.failure) {
        learn(path, *result.failure, ref);
    } else if (result.how == AttemptResult::How::answered && !taking_leave(result)) {
        path->succeeded(clock::now());
    }
}

awaitable<UpstreamPool::Acquired> UpstreamPool::acquire(PathPtr path, AttemptPtr attempt,
                                                        SteadyTime deadline, bool fresh) {
    if (path->memory().paused(clock::now())) co_return Acquired{};
    const std::string& customer = attempt->outgoing().shares_as;
    Lane& lane = lanes_[path.get()];
    // What has just come free belongs to those who wait, on whatever thread.
    const bool nobody_waits = path->waiting.load() == 0;
    while (nobody_waits && !fresh && !lane.idle.empty()) {
        ConnectionPtr connection = std::move(lane.idle.back());
        lane.idle.pop_back();
        if (connection->still_good())
            co_return Acquired{std::move(connection), {}, Path::Use(path, customer)};
    }
    Path::Slot slot;
    Path::Use use;
    if (nobody_waits) slot = Path::try_slot(path, clock::now());
    if (slot) use = Path::Use(path, customer);
    // What else was kept here may be dead as well.
    if (!slot && fresh) lane.idle.clear();
    if (!slot && path->takes_mail(clock::now())) {
        Waiting waited = co_await wait_for_slot(path, attempt, deadline);
        if (waited.connection)
            co_return Acquired{std::move(waited.connection), {}, std::move(waited.use)};
        slot = std::move(waited.slot);
        use = std::move(waited.use);
    }
    if (!slot || attempt->abandoned() || stopping_) co_return Acquired{};
    auto connection = std::make_unique<Connection>(path, std::move(slot), events_);
    const InHand in_hand(*this, connection.get());
    // Given up meanwhile or not: what it shows of the path is worth knowing.
    auto failed = co_await connection->establish(
        context_, *resolver_, attempt->client_waits() ? Patience::client_waits : Patience::spooled);
    if (failed) co_return Acquired{nullptr, std::move(failed), {}};
    co_return Acquired{std::move(connection), {}, std::move(use)};
}

/// Waits in turn, until a connection is handed over, a slot is free, or nothing will come of it.
awaitable<UpstreamPool::Waiting> UpstreamPool::wait_for_slot(PathPtr path, AttemptPtr attempt,
                                                             SteadyTime deadline) {
    Lane& lane = lanes_[path.get()];
    Waiter waiter(context_, lane, path, attempt);
    // A slot that came free before we counted as waiting was told to nobody.
    waiter.wake();
    // What is idle here is for who is first, and so is what other threads hold.
    while (!lane.idle.empty()) {
        ConnectionPtr idle = std::move(lane.idle.back());
        lane.idle.pop_back();
        release(std::move(idle), {});
    }
    if (ask_others) ask_others();
    Waiting out;
    for (;;) {
        if (!waiter.woken && !attempt->abandoned() && !stopping_) {
            waiter.timer.expires_at(deadline);
            (void)co_await waiter.timer.async_wait(as_value);
        }
        waiter.woken = false;
        out.connection = waiter.take_handed();
        if (out.connection || attempt->abandoned() || stopping_) break;
        out.slot = waiter.try_slot();
        if (out.slot || clock::now() >= deadline || !path->takes_mail(clock::now())) break;
    }
    out.use = std::move(waiter.use);
    co_return out;
}

UpstreamPool::Waiter::Waiter(asio::io_context& context, Lane& lane, PathPtr path,
                             AttemptPtr attempt)
    : timer(context),
      lane_(lane),
      path_(std::move(path)),
      attempt_(std::move(attempt)),
      // A client that waits goes before what is queued, but what is queued is not kept for ever.
      came_(clock::now() - (attempt_->client_waits() ? head_start : std::chrono::seconds(0))),
      given_up_(*attempt_, [this] { wake(); }) {
    ++lane_.waiting;
    path_->waiting.fetch_add(1);
    join();
}

UpstreamPool::Waiter::~Waiter() {
    leave();
    --lane_.waiting;
    path_->waiting.fetch_sub(1);
    path_->tell_first(clock::now());
}

void UpstreamPool::Waiter::join() {
    number_ = path_->join_row(attempt_->outgoing().shares_as, came_);
    lane_.row.emplace(*number_, this);
    lane_.by_age.emplace(came_, *number_);
}

void UpstreamPool::Waiter::leave() {
    if (!number_) return;
    path_->leave_row(*number_);
    lane_.row.erase(*number_);
    lane_.by_age.erase({came_, *number_});
    number_.reset();
}

void UpstreamPool::Waiter::hand(ConnectionPtr connection) {
    leave();
    use = Path::Use(path_, attempt_->outgoing().shares_as);
    handed_ = std::move(connection);
    wake();
}

UpstreamPool::ConnectionPtr UpstreamPool::Waiter::take_handed() {
    if (!handed_) return nullptr;
    if (handed_->still_good()) return std::move(handed_);
    // The peer may have closed meanwhile: then it waits on.
    use = {};
    join();
    handed_.reset();
    return nullptr;
}

Path::Slot UpstreamPool::Waiter::try_slot() {
    if (!number_) return {};
    Path::Slot slot = Path::try_slot_in_turn(path_, *number_, clock::now());
    if (!slot) return slot;
    use = Path::Use(path_, attempt_->outgoing().shares_as);
    leave();
    return slot;
}

bool UpstreamPool::keep(Connection& connection) const {
    Path& path = *connection.path();
    return connection.ready() && !stopping_ && !path.retired.load() &&
           connection.messages < path.settings().upstream.messages_per_connection &&
           // Fewer are borne than there are, or none is wanted any more.
           path.connections() <= path.bears() && !path.memory().paused(clock::now());
}

void UpstreamPool::release(ConnectionPtr connection, Path::Use use) {
    const PathPtr path = connection->path();
    Lane& lane = lanes_[path.get()];
    connection->idle_since = clock::now();
    // Before it is somebody else's turn: as whoever has one less.
    use = {};
    if (!keep(*connection)) {
        if (connection->ready()) {
            tasks_.spawn([](ConnectionPtr last) -> awaitable<void> {
                co_await last->quit();
            }(std::move(connection)));
        }
        connection.reset();
        return;
    }
    if (hand_over(lane, connection)) return;
    const std::size_t share = std::max<std::size_t>(
        1, (path->settings().upstream.concurrency + settings_.threads - 1) / settings_.threads);
    if (lane.idle.size() >= share || path->waiting.load() > 0) {
        tasks_.spawn([](ConnectionPtr last) -> awaitable<void> {
            co_await last->quit();
        }(std::move(connection)));
        return;
    }
    lane.idle.push_back(std::move(connection));
}

bool UpstreamPool::hand_over(Lane& lane, ConnectionPtr& connection) {
    if (lane.row.empty()) return false;
    Path& path = *connection->path();
    const auto first = path.first_in_row();
    auto to = first ? lane.row.find(*first) : lane.row.end();
    if (to == lane.row.end()) {
        to = lane.row.find(lane.by_age.begin()->second);
        if (!path.may_pass(to->first, clock::now())) return false;
    }
    to->second->hand(std::move(connection));
    return true;
}

void UpstreamPool::shed() {
    for (auto& [path, lane] : lanes_) {
        if (lane.waiting == 0 && !lane.idle.empty() && path->waiting.load() > 0)
            lane.idle.erase(lane.idle.begin());
    }
}

void UpstreamPool::wake_waiters() {
    for (auto& [path, lane] : lanes_) {
        if (lane.row.empty()) continue;
        const auto first = path->first_in_row();
        const auto here = first ? lane.row.find(*first) : lane.row.end();
        if (here != lane.row.end()) here->second->wake();
    }
}

awaitable<void> UpstreamPool::probe(PathPtr path) {
    // A probe that ends by an exception is told as well, or there would never be another one.
    struct Claim {
        Path& path;
        bool told = false;
        ~Claim() {
            if (!told) path.probed(clock::now(), false, "internal error");
        }
    };
    Claim claim{*path};
    Connection connection(path, Path::Slot{}, events_);
    const InHand in_hand(*this, &connection);
    auto failed = co_await connection.establish(context_, *resolver_, Patience::client_waits);
    if (!failed) failed = co_await connection.noop();
    path->probed(clock::now(), !failed, failed ? describe(*failed) : std::string{});
    claim.told = true;
    if (!failed) co_await connection.quit();
}

awaitable<void> UpstreamPool::sweep(SteadyTime now) {
    std::vector<ConnectionPtr> old;
    for (auto it = lanes_.begin(); it != lanes_.end();) {
        Lane& lane = it->second;
        std::erase_if(lane.idle, [&](ConnectionPtr& connection) {
            const Path& path = *connection->path();
            if (now - connection->idle_since < settings_.idle_for && !path.retired.load() &&
                !path.memory().paused(now))
                return false;
            old.push_back(std::move(connection));
            return true;
        });
        // The key is an address only: a lane without connections and waiters is not worth keeping.
        it = lane.idle.empty() && lane.waiting == 0 ? lanes_.erase(it) : std::next(it);
    }
    for (ConnectionPtr& connection : old) co_await connection->quit();
}

void UpstreamPool::hurry(SteadyTime until) {
    hurried_ = until;
    for (const AttemptPtr& attempt : running_) attempt->hurry(until);
}

void UpstreamPool::stop() {
    stopping_ = true;
    for (auto& [path, lane] : lanes_) {
        for (const auto& [number, waiter] : lane.row) waiter->wake();
        lane.idle.clear();
    }
    for (Connection* connection : live_) connection->close();
}

}  // namespace postern::relay
