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
    const auto until = State::clock::now() + state_->options.deadline;
    auto answer = co_await ask(Question::address, std::move(name), until);
    if (!answer) co_return answer.error();
    co_return std::move(answer->records.addresses);
}

awaitable<result<Answer>> Resolver::ask(Question question, std::string name,
                                        std::chrono::steady_clock::time_point until) {
    const auto state = state_;
    if (question == Question::address) {
        if (const auto address = literal(name))
            co_return Answer{
                .records = {.addresses = {*address}, .exchangers = {}, .services = {}}};
    }
    if (!plausible(name)) co_return error_code(Error::name_invalid);
    const Asked asked{.question = question, .name = lower(std::move(name))};
    const std::string key = asked.key();
    if (const auto* known = state->cache.fresh(key, State::clock::now())) {
        if (known->error) co_return known->error;
        co_return Answer{.records = known->value, .stale = known->stale};
    }
    const auto query = state->start(asked);
    error_code error = Error::too_many_lookups;
    if (query) {
        if (!query->done) {
            until = std::min(until, State::clock::now() + state->options.deadline);
            if (state->cache.last_good(key, State::clock::now()) != nullptr)
                until = std::min(until, State::clock::now() + state->options.patience);
            asio::steady_timer ended(co_await asio::this_coro::executor, until);
            const auto where = query->waiters.insert(query->waiters.end(), &ended);
            struct Out {
                Lookup& lookup;
                std::list<asio::steady_timer*>::iterator where;
                ~Out() { lookup.waiters.erase(where); }
            } out{*query, where};
            co_await ended.async_wait(as_value);
        }
        if (query->done && !query->error) co_return Answer{.records = query->records};
        error = query->done ? query->error : error_code(asio::error::timed_out);
    }
    // What the servers deny is no longer there; what they cannot say now may still hold.
    const auto* last = state->cache.last_good(key, State::clock::now());
    if (last == nullptr || error == asio::error::operation_aborted) co_return error;
    co_return Answer{.records = last->value, .stale = true};
}

}  // namespace postern::relay::net
