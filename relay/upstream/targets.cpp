#include "relay/upstream/targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "relay/config/names.hpp"

namespace postern::relay {

namespace {

using net::Question;

/// Not a secret: it only spreads load.
double by_chance() {
    thread_local std::minstd_rand engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
}

std::size_t one_of(std::size_t count, const std::function<double()>& random) {
    const auto at = static_cast<std::size_t>(random() * static_cast<double>(count));
    return std::min(at, count - 1);
}

/// Adds a host that can be asked for; each once.
void add_target(std::vector<Target>& out, Target target) {
    if (out.size() < most_targets && config::is_host_name(target.host) && target.port != 0 &&
        std::ranges::find(out, target) == out.end())
        out.push_back(std::move(target));
}

template <typename Record>
void shuffle(std::vector<Record>& records, const std::function<double()>& random) {
    for (std::size_t i = records.size(); i > 1; --i)
        std::swap(records[i - 1], records[one_of(i, random)]);
}

template <typename Record>
bool none_offered(const std::vector<Record>& records) {
    return std::ranges::all_of(records, [](const Record& one) { return one.host == "."; });
}

/// RFC 2782: a sum over what is left, in which each has its weight; those without come first in
/// it, so that they have a small chance.
net::Service draw(std::vector<net::Service>& left, const std::function<double()>& random) {
    std::ranges::partition(left, [](const net::Service& one) { return one.weight == 0; });
    std::uint64_t total = 0;
    for (const net::Service& one : left) total += one.weight;
    const auto pick = static_cast<std::uint64_t>(random() * static_cast<double>(total + 1));
    std::uint64_t sum = 0;
    auto at = left.begin();
    for (; std::next(at) != left.end(); ++at) {
        sum += at->weight;
        if (sum >= pick) break;
    }
    net::Service out = std::move(*at);
    left.erase(at);
    return out;
}

bool absent(const error_code& error) {
    return error == net::Error::no_record || error == net::Error::name_not_found ||
           error == net::Error::takes_no_mail;
}

awaitable<result<std::vector<Target>>> mx_targets(net::Resolver& resolver,
                                                  const config::Upstream& upstream,
                                                  event::Stream& events, SteadyTime until) {
    const config::Address& address = upstream.address;
    const bool implicit_tls = upstream.implicit_tls;
    auto records = co_await look_up(resolver, Question::mx, address.host, events, until);
    if (!records) {
        if (records.error() != net::Error::no_record) co_return records.error();
        // The domain is its own exchanger (RFC 5321 5.1).
        co_return std::vector<Target>{
            {.host = address.host, .port = address.port, .implicit_tls = implicit_tls}};
    }
    auto out = in_order(std::move(records->exchangers), address.port, by_chance);
    if (out) {
        for (Target& one : *out) one.implicit_tls = implicit_tls;
    }
    co_return out;
}

awaitable<result<std::vector<Target>>> srv_targets(net::Resolver& resolver,
                                                   const config::Upstream& upstream,
                                                   event::Stream& events, SteadyTime until) {
    error_code error = net::Error::no_record;
    for (const bool implicit_tls : {false, true}) {
        if (!implicit_tls && upstream.implicit_tls) continue;
        if (implicit_tls && upstream.tls == config::UpstreamTls::none) continue;
        const std::string service = implicit_tls ? "_submissions._tcp." : "_submission._tcp.";
        auto records = co_await look_up(resolver, Question::srv, service + upstream.address.host,
                                        events, until);
        auto out = records ? in_order(std::move(records->services), by_chance)
                           : result<std::vector<Target>>(records.error());
        if (out) {
            for (Target& one : *out) one.implicit_tls = implicit_tls;
            co_return out;
        }
        // "Not offered" says more than "not there".
        if (error != net::Error::takes_no_mail) error = out.error();
        if (!absent(out.error())) break;
    }
    co_return error;
}

}  // namespace

result<std::vector<Target>> in_order(std::vector<net::MailExchanger> exchangers, std::uint16_t port,
                                     const std::function<double()>& random) {
    if (none_offered(exchangers)) return error_code(net::Error::takes_no_mail);
    shuffle(exchangers, random);
    std::ranges::sort(exchangers, {}, &net::MailExchanger::preference);
    std::vector<Target> out;
    for (net::MailExchanger& one : exchangers)
        add_target(out, {.host = std::move(one.host), .port = port});
    if (out.empty()) return error_code(net::Error::no_usable_target);
    return out;
}

result<std::vector<Target>> in_order(std::vector<net::Service> services,
                                     const std::function<double()>& random) {
    if (none_offered(services)) return error_code(net::Error::takes_no_mail);
    shuffle(services, random);
    std::ranges::sort(services, {}, &net::Service::priority);
    std::vector<Target> out;
    for (auto begin = services.begin(); begin != services.end();) {
        const auto end = std::find_if(begin, services.end(), [&](const net::Service& one) {
            return one.priority != begin->priority;
        });
        std::vector<net::Service> left(begin, end);
        while (!left.empty()) {
            net::Service one = draw(left, random);
            add_target(out, {.host = std::move(one.host), .port = one.port});
        }
        begin = end;
    }
    if (out.empty()) return error_code(net::Error::no_usable_target);
    return out;
}

awaitable<result<net::Records>> look_up(net::Resolver& resolver, net::Question question,
                                        std::string name, event::Stream& events, SteadyTime until) {
    const auto started = std::chrono::steady_clock::now();
    auto answer = co_await resolver.ask(question, name, until);
    std::string told = "ok";
    if (!answer) {
        told = answer.error().message();
    } else if (answer->stale) {
        told = "stale";
    }
    events.emit(event::Lookup{
        .kind = std::string(net::name(question)),
        .name = std::move(name),
        .result = std::move(told),
        .seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()});
    if (!answer) co_return answer.error();
    co_return std::move(answer->records);
}

awaitable<result<std::vector<Target>>> find_targets(net::Resolver& resolver,
                                                    const config::Upstream& upstream,
                                                    event::Stream& events, SteadyTime until) {
    const config::Address& address = upstream.address;
    switch (address.kind) {
        case config::AddressKind::mx:
            co_return co_await mx_targets(resolver, upstream, events, until);
        case config::AddressKind::srv:
            co_return co_await srv_targets(resolver, upstream, events, until);
        case config::AddressKind::host:
            break;
    }
    co_return std::vector<Target>{
        {.host = address.host, .port = address.port, .implicit_tls = upstream.implicit_tls}};
}

std::vector<std::string> accepted_names(const config::Address& address, const Target& target) {
    if (address.kind == config::AddressKind::host) return {target.host};
    if (target.host == address.host) return {address.host};
    if (target.host.ends_with("." + address.host)) return {target.host, address.host};
    return {address.host};
}

std::string place_of(const Target& target, const std::string& address) {
    if (address.empty() || address == target.host) {
        return target.host.contains(':') ? fmt::format("[{}]:{}", target.host, target.port)
                                         : fmt::format("{}:{}", target.host, target.port);
    }
    return fmt::format("{} [{}]:{}", target.host, address, target.port);
}

}  // namespace postern::relay
