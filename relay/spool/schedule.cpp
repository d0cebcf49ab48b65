#include "relay/spool/schedule.hpp"

#include <algorithm>
#include <limits>

namespace postern::relay::spool {
namespace {

/// What an entry costs its customer: one turn, and one more for each 16 KiB, up to 8.
std::uint32_t cost(const IndexEntry& e) noexcept {
    return static_cast<std::uint32_t>(1 + std::min<std::uint64_t>(e.bytes / (16U << 10U), 7));
}

}  // namespace

std::uint32_t Schedule::flow_of(const IndexEntry& e) {
    const auto flow_key = std::uint64_t{e.customer} << 32U | e.account;
    const auto [flow, new_flow] =
        flow_numbers_.try_emplace(flow_key, static_cast<std::uint32_t>(flows_.size()));
    if (new_flow) {
        // An account without a customer is its own.
        const std::uint64_t key =
            e.customer != 0 ? std::uint64_t{e.customer} << 32U : std::uint64_t{e.account};
        const auto [customer, new_customer] =
            customer_numbers_.try_emplace(key, static_cast<std::uint32_t>(customers_.size()));
        if (new_customer) customers_.emplace_back();
        flows_.push_back({.customer = customer->second});
    }
    return flow->second;
}

void Schedule::make_due(Handle h) {
    IndexEntry& e = index_[h];
    const std::uint32_t number = flow_of(e);
    Flow& flow = flows_[number];
    Customer& customer = customers_[flow.customer];
    e.slot = Slot::due;
    e.due_before = flow.last;
    e.due_after = no_handle;
    if (flow.last != no_handle) {
        index_[flow.last].due_after = h;
    } else {
        flow.first = h;
    }
    flow.last = h;
    ++due_;
    if (!flow.listed) {
        flow.listed = true;
        flow.deficit = 0;
        customer.flows.push_back(number);
    }
    if (!customer.listed) {
        customer.listed = true;
        customer.deficit = 0;
        turn_.push_back(flow.customer);
    }
}

void Schedule::unlink(Handle h) {
    IndexEntry& e = index_[h];
    Flow& flow = flows_[flow_of(e)];
    if (e.due_before != no_handle) {
        index_[e.due_before].due_after = e.due_after;
    } else {
        flow.first = e.due_after;
    }
    if (e.due_after != no_handle) {
        index_[e.due_after].due_before = e.due_before;
    } else {
        flow.last = e.due_before;
    }
    e.due_before = no_handle;
    e.due_after = no_handle;
    --due_;
}

bool Schedule::choose(Customer& c) {
    while (!c.flows.empty()) {
        Flow& flow = flows_[c.flows.front()];
        if (flow.first == no_handle) {
            flow.listed = false;
            c.flows.pop_front();
            c.chosen = false;
            continue;
        }
        if (c.chosen) return true;
        ++flow.deficit;
        if (flow.deficit >= cost(index_[flow.first])) {
            c.chosen = true;
            return true;
        }
        c.flows.push_back(c.flows.front());
        c.flows.pop_front();
    }
    return false;
}

std::optional<Handle> Schedule::take(std::int64_t now) {
    for (int i = 0; i < 4096 && !heap_.empty() && index_[heap_.front()].next <= now; ++i) {
        const Handle h = heap_.front();
        remove(h);
        if (index_[h].base == EntryState::deferred) index_[h].base = EntryState::ready;
        make_due(h);
    }
    while (!turn_.empty()) {
        const std::uint32_t number = turn_.front();
        turn_.pop_front();
        Customer& customer = customers_[number];
        if (!choose(customer)) {
            customer.listed = false;
            continue;
        }
        turn_.push_back(number);
        Flow& flow = flows_[customer.flows.front()];
        const Handle h = flow.first;
        const std::uint32_t price = cost(index_[h]);
        ++customer.deficit;
        if (customer.deficit < price) continue;
        customer.deficit -= price;
        flow.deficit -= std::min(flow.deficit, price);
        customer.chosen = false;
        unlink(h);
        customer.flows.push_back(customer.flows.front());
        customer.flows.pop_front();
        index_[h].slot = Slot::active;
        return h;
    }
    return std::nullopt;
}

std::optional<std::int64_t> Schedule::next() const {
    if (due_ > 0) return std::numeric_limits<std::int64_t>::min();
    if (heap_.empty()) return std::nullopt;
    return index_[heap_.front()].next;
}

void Schedule::wait(Handle h) {
    index_[h].slot = Slot::waiting;
    heap_.push_back(h);
    heap_put(heap_.size() - 1, h);
    heap_up(heap_.size() - 1);
}

void Schedule::remove(Handle h) {
    IndexEntry& e = index_[h];
    if (e.slot == Slot::due) unlink(h);
    if (e.slot == Slot::waiting) {
        const std::size_t at = e.heap_at;
        const Handle last = heap_.back();
        heap_.pop_back();
        if (last != h) {
            heap_put(at, last);
            heap_up(at);
            heap_down(index_[last].heap_at);
        }
    }
    e.slot = Slot::none;
}

void Schedule::heap_put(std::size_t at, Handle h) {
    heap_[at] = h;
    index_[h].heap_at = static_cast<std::uint32_t>(at);
}

void Schedule::heap_up(std::size_t at) {
    while (at > 0) {
        const std::size_t parent = (at - 1) / 2;
        const Handle here = heap_[at];
        const Handle above = heap_[parent];
        if (index_[above].next <= index_[here].next) return;
        heap_put(at, above);
        heap_put(parent, here);
        at = parent;
    }
}

void Schedule::heap_down(std::size_t at) {
    for (;;) {
        std::size_t least = at;
        for (std::size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap_.size(); ++child) {
            if (index_[heap_[child]].next < index_[heap_[least]].next) least = child;
        }
        if (least == at) return;
        const Handle here = heap_[at];
        heap_put(at, heap_[least]);
        heap_put(least, here);
        at = least;
    }
}

}  // namespace postern::relay::spool
