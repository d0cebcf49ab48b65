#include "relay/upstream/path_set.hpp"

#include <algorithm>
#include <iterator>

namespace postern::relay {

namespace {

bool empty_or_has(const std::vector<std::string>& list, const std::string& value) {
    return list.empty() || std::ranges::find(list, value) != list.end();
}

}  // namespace

bool PathRoute::fits(const Sender& sender) const {
    return empty_or_has(rule.sender_domains, sender.domain) &&
           empty_or_has(rule.customers, sender.customer) && empty_or_has(rule.plans, sender.plan);
}

PathSet::Needs needs_of(const proto::Envelope& envelope, std::uint64_t size) {
    return {.size = size,
            .eight_bit_mime = envelope.body == proto::Body::eight_bit_mime,
            .smtputf8 = envelope.smtputf8};
}

bool offers(const proto::UpstreamOffer& offer, const PathSet::Needs& needs) {
    if (needs.eight_bit_mime && !offer.eight_bit_mime) return false;
    if (needs.smtputf8 && !offer.smtputf8) return false;
    return !(offer.max_size > 0 && needs.size > offer.max_size);
}

PathSet PathSet::routed(const Sender& sender) const {
    PathSet out;
    const auto route =
        std::ranges::find_if(routes, [&](const PathRoute& one) { return one.fits(sender); });
    if (route != routes.end()) {
        out.paths = route->paths;
        return out;
    }
    std::ranges::copy_if(paths, std::back_inserter(out.paths),
                         [](const PathPtr& path) { return path->settings().upstream.by_default; });
    return out;
}

std::vector<PathPtr> PathSet::candidates(const Needs& needs, SteadyTime now) const {
    std::vector<PathPtr> out;
    for (const PathPtr& path : paths) {
        if (!path->takes_mail(now)) continue;
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
    return std::ranges::none_of(paths, [&](const PathPtr& path) { return path->takes_mail(now); });
}

PathPtr PathSet::find(std::string_view name) const {
    const auto it = std::ranges::find(paths, name, &Path::name);
    return it == paths.end() ? nullptr : *it;
}

}  // namespace postern::relay
