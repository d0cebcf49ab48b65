#include "relay/net/resolver.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include <boost/asio/error.hpp>

#include "relay/net/resolver_state.hpp"

namespace postern::relay::net {

namespace {

/// A host name that may be asked for: DNS's bounds (RFC 1035 2.3.4) and characters, with
/// underscores.
bool plausible(const std::string& name) {
    if (name.empty() || name.size() > 253) return false;
    std::size_t label = 0;
    for (const char c : name) {
        if (c == '.') {
            if (label == 0) return false;
            label = 0;
            continue;
        }
        const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
        if (!fits || ++label > 63) return false;
    }
    return true;
}

std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::optional<asio::ip::address> literal(const std::string& name) {
    const bool bracketed = name.size() > 2 && name.front() == '[' && name.back() == ']';
    error_code ec;
    auto address = asio::ip::make_address(bracketed ? name.substr(1, name.size() - 2) : name, ec);
    if (ec) return std::nullopt;
    return address;
}

}  // namespace

Resolver::Resolver(asio::io_context& context, ResolverOptions options)
    : state_(std::make_shared<State>(context, std::move(options))) {
    state_->open();
}

Resolver::~Resolver() {
    state_->close();
}

void Resolver::clear_cache() noexcept {
    state_->cache.clear();
}

awaitable<result<Addresses>> Resolver::resolve(std::string name) {
    const auto state = state_;
    if (const auto address = literal(name)) co_return Addresses{*address};
    if (!plausible(name)) co_return error_code(Error::name_invalid);
    const std::string key = lower(std::move(name));
    if (const auto* known = state->find_cached(key)) {
        if (known->error) co_return known->error;
        co_return known->addresses;
    }
    const auto query = state->start(key);
    if (!query) co_return error_code(Error::too_many_lookups);
    if (!query->done) {
        asio::steady_timer ended(co_await asio::this_coro::executor, state->options.deadline);
        const auto where = query->waiters.insert(query->waiters.end(), &ended);
        struct Out {
            Lookup& lookup;
            std::list<asio::steady_timer*>::iterator where;
            ~Out() { lookup.waiters.erase(where); }
        } out{*query, where};
        co_await ended.async_wait(as_value);
        if (!query->done) co_return error_code(asio::error::timed_out);
    }
    if (query->error) co_return query->error;
    co_return query->addresses;
}

}  // namespace postern::relay::net
