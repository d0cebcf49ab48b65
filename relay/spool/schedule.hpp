#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "relay/spool/index.hpp"

namespace postern::relay::spool {

/// Which entry is next: a heap of those that wait for their time, and queues of those that are due,
/// served by deficit round robin among customers and, within one, among its accounts. Works on the
/// index's entries (slot, heap_at, due_*); no lock, no clock of its own.
class Schedule {
  public:
    explicit Schedule(Index& index) : index_(index) {}

    /// Into the heap, by IndexEntry::next.
    void wait(Handle h);
    /// To the end of its account's queue.
    void make_due(Handle h);
    /// Out of either (or of being active).
    void remove(Handle h);

    /// The next one, now active. What waited until `now` is due first, at most 4096 of them a call.
    [[nodiscard]] std::optional<Handle> take(std::int64_t now);
    /// When something is due, as on disk; of what is due already, the least number.
    [[nodiscard]] std::optional<std::int64_t> next() const;

  private:
    struct Flow {  ///< An account's queue.
        Handle first = no_handle;
        Handle last = no_handle;
        std::uint32_t customer = 0;  ///< Into customers_.
        std::uint32_t deficit = 0;
        bool listed = false;
    };
    struct Customer {
        std::deque<std::uint32_t> flows;  ///< Into flows_; some may be empty by now.
        std::uint32_t deficit = 0;
        bool listed = false;
        bool chosen = false;  ///< The first flow is to give its head, as soon as the customer may.
    };

    [[nodiscard]] std::uint32_t flow_of(const IndexEntry& e);
    /// Brings the flow whose turn it is to the front; false: all are empty.
    [[nodiscard]] bool choose(Customer& c);
    void unlink(Handle h);

    void heap_up(std::size_t at);
    void heap_down(std::size_t at);
    void heap_put(std::size_t at, Handle h);

    Index& index_;
    std::vector<Handle> heap_;
    std::vector<Flow> flows_;
    std::vector<Customer> customers_;
    std::unordered_map<std::uint64_t, std::uint32_t> flow_numbers_;  ///< By customer and account.
    std::unordered_map<std::uint64_t, std::uint32_t> customer_numbers_;
    std::deque<std::uint32_t>
        turn_;  ///< Customers with something due; some may have nothing by now.
    std::size_t due_ = 0;
};

}  // namespace postern::relay::spool
