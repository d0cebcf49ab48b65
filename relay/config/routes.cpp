#include "relay/config/routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "relay/config/reading.hpp"

namespace postern::relay::config {

namespace {

bool fits_everything(const Route& route) {
    return route.sender_domains.empty() && route.customers.empty() && route.plans.empty();
}

}  // namespace

void finish_routes(const Config& config,
                   const std::function<void(std::string key, std::string text)>& fault) {
    std::vector<std::string_view> there;
    for (const Upstream& upstream : config.upstream) there.push_back(upstream.name);
    for (std::size_t i = 0; i < config.route.size(); ++i) {
        const Route& route = config.route[i];
        const std::string key = fmt::format("route.{}", i);
        if (route.upstreams.empty())
            fault(key + ".upstreams", "not set; name the upstreams that such mail goes to");
        for (const std::string& name : route.upstreams) {
            if (std::ranges::find(there, name) != there.end()) continue;
            const std::string_view near = nearest(name, there);
            fault(key + ".upstreams",
                  near.empty()
                      ? fmt::format("{} is no upstream's name; name one of them", in_quotes(name))
                      : fmt::format("{} is no upstream's name; did you mean {}?", in_quotes(name),
                                    near));
        }
        if (fits_everything(route) && i + 1 < config.route.size()) {
            fault(key,
                  "fits all mail, so that none reaches the routes behind it; write it last, "
                  "or name sender_domains, customers or plans");
        }
    }
    const bool lost = !config.upstream.empty() &&
                      std::ranges::none_of(config.upstream, &Upstream::by_default) &&
                      std::ranges::none_of(config.route, fits_everything);
    if (lost) {
        fault("upstream.0.default",
              "no upstream takes mail that no route names; leave one with default = true, or write "
              "a last [[route]] with upstreams alone");
    }
}

}  // namespace postern::relay::config
