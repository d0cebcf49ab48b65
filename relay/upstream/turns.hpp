#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "relay/upstream/send_rate.hpp"

namespace postern::relay {

/// Whose turn it is for a connection of one path, by customer (an account without one is one of its
/// own). Next is the customer with the fewest connections in use; of those with as many, the one
/// that has had none for longest; of a customer's own, who came first. Knows customers only while
/// they use a connection or wait. Pure: time comes in as an argument. Not thread-safe (Path locks
/// it).
class Turns {
  public:
    using Number = std::uint64_t;  ///< Of a place in the row; rises.

    /// Into the row, as who came at `came`.
    [[nodiscard]] Number join(std::string_view customer, SteadyTime came);
    /// Out of it, served or not. Nothing, where it has left already.
    void leave(Number number);
    /// A connection is in use for the customer, and no more.
    void begin(std::string_view customer);
    void end(std::string_view customer);

    [[nodiscard]] std::optional<Number> first() const;
    /// Whether who stands at `number` may go before the first, because a connection is at hand
    /// there that would have to be closed and made anew for the first: not where `limit` is halved
    /// between them and this customer has its half, nor where the first has waited for long.
    [[nodiscard]] bool may_pass(Number number, int limit, SteadyTime now) const;

    [[nodiscard]] int in_use(std::string_view customer) const;
    /// Customers that are known now.
    [[nodiscard]] std::size_t customers() const noexcept { return customers_.size(); }

  private:
    /// How much later than the first who passes it may have come.
    static constexpr std::chrono::seconds passing{1};
    struct Customer {
        int in_use = 0;
        std::uint64_t turn = 0;  ///< When it came, or last had a connection: rises.
        std::set<std::pair<SteadyTime, Number>> row;
    };
    using Customers = std::map<std::string, Customer, std::less<>>;
    struct Place {
        Customers::iterator customer;
        SteadyTime came;
    };
    using Key = std::tuple<int, std::uint64_t, const Customer*>;
    [[nodiscard]] Customers::iterator known(std::string_view customer);
    void forget_if_idle(Customers::iterator customer);
    /// Takes it out of the order for as long as its key changes.
    void unlist(const Customer& customer) { order_.erase(key(customer)); }
    void list(const Customer& customer) {
        if (!customer.row.empty()) order_.insert(key(customer));
    }
    [[nodiscard]] static Key key(const Customer& customer) {
        return {customer.in_use, customer.turn, &customer};
    }

    Customers customers_;
    std::unordered_map<Number, Place> places_;
    std::set<Key> order_;  ///< Customers that wait.
    std::uint64_t turns_ = 0;
    Number numbers_ = 0;
};

}  // namespace postern::relay
