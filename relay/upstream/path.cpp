#include "relay/upstream/path.hpp"

#include <algorithm>

namespace postern::relay {

Path::Path(PathSettings settings, event::Stream& events)
    : settings_(std::move(settings)), events_(events) {}

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
    int allowed = 0;
    {
        const std::lock_guard lock(path->mutex_);
        allowed =
            path->breaker_.allowed(now, static_cast<int>(path->settings_.upstream.concurrency));
    }
    // In one order with `waiting`: who counted as waiting before this look is told of what it
    // missed.
    int have = path->connections_.load();
    while (have < allowed) {
        if (path->connections_.compare_exchange_weak(have, have + 1)) return Slot(path);
    }
    return {};
}

void Path::release_slot() {
    connections_.fetch_sub(1);
    if (waiting.load() > 0 && on_free) on_free();
}

bool Path::open_breaker(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    return breaker_.allowed(now, static_cast<int>(settings_.upstream.concurrency)) == 0;
}

void Path::succeeded(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    breaker_.success(now);
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

bool offers(const proto::UpstreamOffer& offer, const PathSet::Needs& needs) {
    if (needs.eight_bit_mime && !offer.eight_bit_mime) return false;
    if (needs.smtputf8 && !offer.smtputf8) return false;
    return !(offer.max_size > 0 && needs.size > offer.max_size);
}

std::vector<PathPtr> PathSet::candidates(const Needs& needs, SteadyTime now) const {
    std::vector<PathPtr> out;
    for (const PathPtr& path : paths) {
        if (path->open_breaker(now)) continue;
        const auto offer = path->last_offer();
        if (offer && !offers(*offer, needs)) continue;
        out.push_back(path);
    }
    return out;
}

bool PathSet::any_offers(const Needs& needs) const {
    return std::ranges::any_of(paths, [&](const PathPtr& path) {
        const auto offer = path->last_offer();
        return !offer || offers(*offer, needs);
    });
}

std::uint64_t PathSet::largest_size() const {
    std::uint64_t largest = 0;
    for (const PathPtr& path : paths) {
        const auto offer = path->last_offer();
        if (!offer || offer->max_size == 0) return 0;
        largest = std::max(largest, offer->max_size);
    }
    return largest;
}

bool PathSet::all_open(SteadyTime now) const {
    return std::ranges::all_of(paths, [&](const PathPtr& path) { return path->open_breaker(now); });
}

PathPtr PathSet::find(std::string_view name) const {
    const auto it = std::ranges::find(paths, name, &Path::name);
    return it == paths.end() ? nullptr : *it;
}

}  // namespace postern::relay
