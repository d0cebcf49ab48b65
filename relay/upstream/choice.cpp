#include "relay/upstream/choice.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

namespace postern::relay {

namespace {

using config::UpstreamRole;

std::uint64_t total_weight(const std::vector<PathPtr>& paths) {
    return std::accumulate(paths.begin(), paths.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const PathPtr& path) {
                               return sum + path->settings().upstream.weight;
                           });
}

/// One by one, each by its part of the weight that is left.
std::vector<PathPtr> by_weight(std::vector<PathPtr> left, const std::function<double()>& random) {
    std::vector<PathPtr> out;
    while (left.size() > 1) {
        double point = random() * static_cast<double>(total_weight(left));
        auto at = left.begin();
        for (; std::next(at) != left.end(); ++at) {
            point -= (*at)->settings().upstream.weight;
            if (point < 0) break;
        }
        out.push_back(std::move(*at));
        left.erase(at);
    }
    for (PathPtr& last : left) out.push_back(std::move(last));
    return out;
}

/// The first standby whose schedule is behind, to the front of all.
void warm_up(Ways& ways, std::size_t standbys_from, const Wish& wish, const Moment& now) {
    // Where nobody else takes the mail a standby does anyway, outside its share.
    if (wish.warms_as.empty() || standbys_from == 0) return;
    for (std::size_t i = standbys_from; i < ways.paths.size(); ++i) {
        const PathPtr& path = ways.paths[i];
        if (path->rate_wait(now.steady) > std::chrono::nanoseconds(0)) continue;
        auto claim = path->memory().warming()->claim(warm_share(*path),
                                                     path->traffic().today(path->name(), now.wall),
                                                     wish.warms_as, now.steady);
        if (!claim) continue;
        ways.warm.emplace(std::move(*claim));
        const auto from = ways.paths.begin();
        const auto at = from + static_cast<std::ptrdiff_t>(i);
        std::rotate(from, at, at + 1);
        return;
    }
}

}  // namespace

Ways choose(const PathSet& routed, const Wish& wish, const Moment& now,
            const std::function<double()>& random) {
    const std::vector<PathPtr> all = routed.candidates(wish.needs, now.steady);
    Ways ways;
    std::size_t standbys_from = 0;
    for (const auto role : {UpstreamRole::primary, UpstreamRole::fallback, UpstreamRole::standby}) {
        std::vector<PathPtr> group;
        std::ranges::copy_if(all, std::back_inserter(group),
                             [&](const PathPtr& path) { return path->role(now.steady) == role; });
        group = by_weight(std::move(group), random);
        if (const auto own = std::ranges::find(group, wish.before, &Path::name); own != group.end())
            std::rotate(group.begin(), own, std::next(own));
        if (role == UpstreamRole::standby) standbys_from = ways.paths.size();
        std::ranges::move(group, std::back_inserter(ways.paths));
    }
    warm_up(ways, standbys_from, wish, now);
    return ways;
}

}  // namespace postern::relay
