#include "relay/upstream/turns.hpp"

#include <algorithm>

namespace postern::relay {

Turns::Customers::iterator Turns::known(std::string_view customer) {
    const auto at = customers_.find(customer);
    if (at != customers_.end()) return at;
    const auto made = customers_.emplace(std::string(customer), Customer{}).first;
    made->second.turn = ++turns_;
    return made;
}

void Turns::forget_if_idle(Customers::iterator customer) {
    if (customer->second.in_use == 0 && customer->second.row.empty()) customers_.erase(customer);
}

Turns::Number Turns::join(std::string_view customer, SteadyTime came) {
    const auto at = known(customer);
    const Number number = ++numbers_;
    unlist(at->second);
    at->second.row.emplace(came, number);
    list(at->second);
    places_.emplace(number, Place{.customer = at, .came = came});
    return number;
}

void Turns::leave(Number number) {
    const auto place = places_.find(number);
    if (place == places_.end()) return;
    const auto at = place->second.customer;
    unlist(at->second);
    at->second.row.erase({place->second.came, number});
    list(at->second);
    places_.erase(place);
    forget_if_idle(at);
}

void Turns::begin(std::string_view customer) {
    Customer& one = known(customer)->second;
    unlist(one);
    ++one.in_use;
    one.turn = ++turns_;
    list(one);
}

void Turns::end(std::string_view customer) {
    const auto at = customers_.find(customer);
    if (at == customers_.end() || at->second.in_use == 0) return;
    unlist(at->second);
    --at->second.in_use;
    at->second.turn = ++turns_;
    list(at->second);
    forget_if_idle(at);
}

std::optional<Turns::Number> Turns::first() const {
    if (order_.empty()) return std::nullopt;
    return std::get<const Customer*>(*order_.begin())->row.begin()->second;
}

bool Turns::may_pass(Number number, int limit, SteadyTime now) const {
    const auto next = first();
    if (!next || *next == number) return true;
    const auto passing_place = places_.find(number);
    if (passing_place == places_.end()) return false;
    const Place& first_place = places_.at(*next);
    const Place& other = passing_place->second;
    const Customer& ahead = first_place.customer->second;
    const Customer& behind = other.customer->second;
    const int half = std::max(1, limit / 2);
    if (behind.in_use >= half && ahead.in_use < half) return false;
    // There is no half of one connection: turns, but not a new connection for each mail.
    if (limit <= 1 && &ahead != &behind && now - first_place.came > passing) return false;
    return other.came <= first_place.came + passing;
}

int Turns::in_use(std::string_view customer) const {
    const auto at = customers_.find(customer);
    return at == customers_.end() ? 0 : at->second.in_use;
}

}  // namespace postern::relay
