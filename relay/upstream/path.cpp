#include "relay/upstream/path.hpp"

#include <algorithm>

namespace postern::relay {

Path::Path(PathSettings settings, event::Stream& events)
    : settings_(std::move(settings)),
      events_(events),
      bears_(static_cast<int>(settings_.upstream.concurrency)) {
    if (!settings_.memory) {
        settings_.memory = std::make_shared<PathMemory>();
        in_force();
    }
    if (!settings_.traffic)
        settings_.traffic = std::make_shared<Traffic>(std::chrono::system_clock::now());
    if (!settings_.login)
        settings_.login = std::make_shared<Login>(settings_.upstream, nullptr, nullptr);
}

void Path::in_force() {
    memory().set_rate(settings_.upstream.rate);
}

config::UpstreamRole Path::role(SteadyTime now) const {
    return memory().promoted(now) ? config::UpstreamRole::primary : settings_.upstream.role;
}

Path::Slot& Path::Slot::operator=(Slot&& other) noexcept {
    if (this != &other) {
        if (path_) path_->release_slot();
        path_ = std::move(other.path_);
    }
    return *this;
}

Path::Slot::~Slot() {
    if (path_) path_->release_slot();
}

Path::Slot Path::try_slot(const std::shared_ptr<Path>& path, SteadyTime now) {
    const int allowed = path->limit(now);
    // In one order with `waiting`: who counted as waiting before this look is told of what it
    // missed.
    int have = path->connections_.load();
    while (have < allowed) {
        if (path->connections_.compare_exchange_weak(have, have + 1)) return Slot(path);
    }
    return {};
}

Path::Use::Use(std::shared_ptr<Path> path, std::string customer)
    : path_(std::move(path)), customer_(std::move(customer)) {
    {
        const std::lock_guard lock(path_->turns_mutex_);
        path_->turns_.begin(customer_);
    }
    path_->turns_changed();
}

Path::Use& Path::Use::operator=(Use&& other) noexcept {
    if (this != &other) {
        end();
        path_ = std::move(other.path_);
        customer_ = std::move(other.customer_);
    }
    return *this;
}

void Path::Use::end() noexcept {
    if (!path_) return;
    {
        const std::lock_guard lock(path_->turns_mutex_);
        path_->turns_.end(customer_);
    }
    path_->turns_changed();
    path_.reset();
}

Turns::Number Path::join_row(std::string_view customer, SteadyTime came) {
    const std::lock_guard lock(turns_mutex_);
    return turns_.join(customer, came);
}

void Path::leave_row(Turns::Number number) {
    const std::lock_guard lock(turns_mutex_);
    turns_.leave(number);
}

std::optional<Turns::Number> Path::first_in_row() const {
    const std::lock_guard lock(turns_mutex_);
    return turns_.first();
}

bool Path::may_pass(Turns::Number number, SteadyTime now) {
    const int allowed = limit(now);
    const std::lock_guard lock(turns_mutex_);
    return turns_.may_pass(number, allowed, now);
}

Path::Slot Path::try_slot_in_turn(const std::shared_ptr<Path>& path, Turns::Number number,
                                  SteadyTime now) {
    Slot slot;
    const int allowed = path->limit(now);
    {
        // Whose turn it is and that he has it are one step, or two threads would both be told no.
        const std::lock_guard lock(path->turns_mutex_);
        const auto first = path->turns_.first();
        int have = path->connections_.load();
        while (first && *first == number && have < allowed) {
            if (!path->connections_.compare_exchange_weak(have, have + 1)) continue;
            slot = Slot(path);
            path->turns_.leave(number);
            break;
        }
    }
    // There may be another slot, or this one may be another's: nobody else tells him.
    path->tell_first(now);
    return slot;
}

/// Each thread looks by itself who is first: where another became it meanwhile, none may have found
/// him.
void Path::turns_changed() {
    if (waiting.load() > 0) tell_first(std::chrono::steady_clock::now());
}

void Path::tell_first(SteadyTime now) {
    if (!on_free) return;
    const int allowed = limit(now);
    // Where nothing is to be had at all, everybody in the row is to know it.
    if (allowed > 0 && connections_.load() >= allowed) return;
    if (first_in_row()) on_free();
}

int Path::in_use(std::string_view customer) const {
    const std::lock_guard lock(turns_mutex_);
    return turns_.in_use(customer);
}

void Path::release_slot() {
    connections_.fetch_sub(1);
    if (waiting.load() > 0 && on_free) on_free();
}

int Path::limit(SteadyTime now) {
    if (memory().paused(now)) return 0;
    const std::lock_guard lock(mutex_);
    return std::min(breaker_.allowed(now, static_cast<int>(settings_.upstream.concurrency)),
                    bears_.now());
}

int Path::bears() const {
    const std::lock_guard lock(mutex_);
    return bears_.now();
}

std::size_t Path::room(SteadyTime now) {
    return memory().rate_room(now, static_cast<std::size_t>(limit(now)));
}

void Path::succeeded(SteadyTime now) {
    bool grown = false;
    {
        const std::lock_guard lock(mutex_);
        breaker_.success(now);
        grown = bears_.went_well(now);
    }
    if (grown && waiting.load() > 0 && on_free) on_free();
}

void Path::asked_for_less(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    bears_.asked_for_less(now, connections_.load());
}

void Path::took_mail(double seconds) {
    memory().took(seconds);
    traffic().count(name(), std::chrono::system_clock::now());
}

std::string Path::trouble(SteadyTime now) {
    if (memory().paused(now)) return name() + ": paused by an operator";
    return name() + ": " + view().error;
}

void Path::failed(SteadyTime now, std::string_view stage, std::string_view error) {
    bool opened = false;
    {
        const std::lock_guard lock(mutex_);
        opened = breaker_.failure(now, error);
    }
    if (opened) tell(Breaker::State::open, stage, error);
}

void Path::no_answer(SteadyTime now, std::string_view ref) {
    bool opened = false;
    {
        const std::lock_guard lock(mutex_);
        opened = breaker_.dot_timeout(now, ref);
    }
    if (opened) tell(Breaker::State::open, "dot", "no answer after the end of data");
}

void Path::trip(SteadyTime now, std::string_view stage, std::string_view error) {
    bool opened = false;
    {
        const std::lock_guard lock(mutex_);
        opened = breaker_.trip(now, error);
    }
    if (opened) tell(Breaker::State::open, stage, error);
}

bool Path::claim_probe(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    if (probing_ || !breaker_.probe_due(now)) return false;
    probing_ = true;
    return true;
}

void Path::probed(SteadyTime now, bool good, std::string_view error) {
    bool changed = false;
    {
        const std::lock_guard lock(mutex_);
        probing_ = false;
        changed = breaker_.probed(now, good, error);
    }
    if (changed) {
        tell(Breaker::State::half_open, "probe", "");
        if (on_free) on_free();
    }
}

void Path::met(const proto::UpstreamOffer& offer) {
    const std::lock_guard lock(mutex_);
    offer_ = offer;
}

std::optional<proto::UpstreamOffer> Path::last_offer() const {
    const std::lock_guard lock(mutex_);
    return offer_;
}

Path::View Path::view() {
    const std::lock_guard lock(mutex_);
    return {breaker_.state(), connections_.load(), breaker_.error()};
}

void Path::tell(Breaker::State state, std::string_view stage, std::string_view error) {
    events_.emit(event::Upstream{.upstream = settings_.upstream.name,
                                 .state = std::string(relay::name(state)),
                                 .error = std::string(error),
                                 .stage = std::string(stage)});
    event::AlertRaised alert{.kind = "upstream_down",
                             .severity = "warning",
                             .subject = settings_.upstream.name,
                             .text = "",
                             .action = "",
                             .resolved = state != Breaker::State::open,
                             .fields = {}};
    if (alert.resolved) {
        alert.text = "upstream " + settings_.upstream.name + " takes mail again";
    } else {
        alert.text =
            "upstream " + settings_.upstream.name + " takes no mail: " + std::string(error);
        alert.action = "see `postern check`; mail takes the next path or waits in the queue";
        alert.fields.emplace_back("error", std::string(error));
    }
    events_.emit(std::move(alert));
}

WarmShare warm_share(const Path& path) {
    const config::Upstream& upstream = path.settings().upstream;
    return {
        .share = upstream.warm_share, .per_day = upstream.warm_per_day, .cap = upstream.warm_cap};
}

}  // namespace postern::relay
