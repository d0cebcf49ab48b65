// /api/v1/upstream: the ways out, and what an operator does about them.
#include "relay/admin/upstreams.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"

namespace postern::relay::admin {

std::string_view name(UpstreamVerb verb) noexcept {
    switch (verb) {
        case UpstreamVerb::pause:
            return "pause";
        case UpstreamVerb::resume:
            return "resume";
        case UpstreamVerb::promote:
            return "promote";
        case UpstreamVerb::demote:
            break;
    }
    return "demote";
}

namespace {

constexpr std::array upstream_verbs{UpstreamVerb::pause, UpstreamVerb::resume,
                                    UpstreamVerb::promote, UpstreamVerb::demote};

std::optional<UpstreamVerb> upstream_verb(std::string_view word) {
    for (const UpstreamVerb verb : upstream_verbs) {
        if (name(verb) == word) return verb;
    }
    return std::nullopt;
}

Json upstream_item(const UpstreamView& one) {
    Json out;
    out["upstream"] = one.upstream;
    out["role"] = one.role;
    out["address"] = one.address;
    out["breaker"] = one.breaker;
    out["paused"] = one.paused;
    out["promoted"] = one.promoted;
    out["until"] = time_or_null(one.until);
    out["connections"] = one.connections;
    out["messages_today"] = one.messages_today;
    out["share"] = std::round(one.share * 1e6) / 1e6;
    out["latency_s"] = one.latency_s ? Json(std::round(*one.latency_s * 1e6) / 1e6) : Json(nullptr);
    return out;
}

/// Why a change changes nothing.
std::string_view nothing_to_do(UpstreamVerb verb) {
    switch (verb) {
        case UpstreamVerb::resume:
            return "it is not paused";
        case UpstreamVerb::promote:
            return "it is a primary already";
        case UpstreamVerb::demote:
            return "it is not promoted; pause it to keep mail from it";
        case UpstreamVerb::pause:
            break;
    }
    return "it cannot be paused";
}

class UpstreamCall {
  public:
    UpstreamCall(const Ports& ports, const Request& request) : ports_(ports), request_(request) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        const std::string cursor = s.text("cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const std::vector<UpstreamView> all = ports_.upstreams.list();
        auto at = all.begin();
        if (!cursor.empty()) {
            at = std::ranges::find(all, cursor, &UpstreamView::upstream);
            if (at == all.end()) return invalid("is none that a list gave", "cursor");
            ++at;
        }
        Json out;
        out["items"] = Json::array();
        for (; at != all.end() && out["items"].size() < *limit; ++at)
            out["items"].push_back(upstream_item(*at));
        out["next"] = at == all.end() ? Json(nullptr) : Json(std::prev(at)->upstream);
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> change(const std::string& upstream, UpstreamVerb verb) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto text = fields->text("for");
        if (!text) return text.error();
        if (const auto done = fields->done(); !done) return done.error();
        std::optional<std::chrono::seconds> for_long;
        if (*text) {
            if (verb == UpstreamVerb::resume || verb == UpstreamVerb::demote)
                return invalid("goes with pause and promote alone", "for");
            for_long = parse_age(**text);
            constexpr std::chrono::hours longest{24 * 366};
            if (!for_long || for_long->count() <= 0 || *for_long > longest)
                return invalid("write how long, like 30s, 45m, 2h or 7d (a year at most)", "for");
        }
        switch (ports_.upstreams.change(upstream, verb, for_long)) {
            case UpstreamSaid::unknown:
                return not_found("no upstream has that name");
            case UpstreamSaid::nothing:
                return Problem(409, "conflict", std::string(nothing_to_do(verb)));
            case UpstreamSaid::done:
                break;
        }
        std::vector<std::pair<std::string, std::string>> told;
        if (for_long) told.emplace_back("for_s", std::to_string(for_long->count()));
        tell(ports_, request_, fmt::format("upstream_{}", name(verb)), upstream, std::move(told));
        return Answer{Json{{"matched", 1}, {"changed", 1}, {"failed", 0}}};
    }

  private:
    const Ports& ports_;
    const Request& request_;
};

}  // namespace

Checked<Answer> upstream_endpoint(const Ports& ports, const Request& request,
                                  std::span<const std::string> rest) {
    if (!ports.upstreams.list || !ports.upstreams.change)
        return not_ready("the relay is not running; start it with: postern serve");
    const UpstreamCall call(ports, request);
    if (rest.empty()) return request.method == "GET" ? call.list() : no_such_method(request);
    if (rest.size() != 2) return no_such_path();
    const auto verb = upstream_verb(rest[1]);
    if (!verb) return no_such_path();
    if (request.method != "POST") return no_such_method(request);
    return call.change(rest[0], *verb);
}

}  // namespace postern::relay::admin
