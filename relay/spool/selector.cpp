#include "relay/spool/selector.hpp"

#include <algorithm>
#include <utility>

#include "proto/address.hpp"

namespace postern::relay::spool {
namespace {

constexpr Handle handles_a_turn = 8192;
constexpr std::size_t ids_a_pass = 65536;

std::string domain_of(const std::string& address) {
    const std::size_t at = address.rfind('@');
    return at == std::string::npos ? std::string{} : address.substr(at);
}

/// The first ids behind `after` that may match, in order.
std::vector<std::string> next_ids(Shared& shared, const Selector& selector,
                                  const std::string& after) {
    std::vector<std::string> ids;  // A heap, the last id on top, once it is full.
    for (Handle from = 0;;) {
        const std::lock_guard lock(shared.mutex);
        const Index& index = shared.ledger.index;
        const Handle end = std::min(index.bound(), from + handles_a_turn);
        for (; from < end; ++from) {
            const IndexEntry& e = index[from];
            if (!e.used || e.id.view() <= after) continue;
            const bool full = ids.size() == ids_a_pass;
            if (full && e.id.view() >= ids.front()) continue;
            if (!selector.may_match(shared.ledger, e)) continue;
            if (full) {
                std::ranges::pop_heap(ids);
                ids.pop_back();
            }
            ids.emplace_back(e.id.view());
            std::ranges::push_heap(ids);
        }
        if (from >= index.bound()) break;
    }
    std::ranges::sort_heap(ids);
    return ids;
}

}  // namespace

bool Selector::Addresses::match(const std::string& address) const {
    const std::string normal = address.empty() ? address : proto::normalised_address(address);
    const std::string domain = domain_of(normal);
    return std::ranges::any_of(any, [&](const std::string& wanted) {
        return wanted.starts_with('@') ? wanted == domain : wanted == normal;
    });
}

Selector::Numbers Selector::numbers(const std::vector<std::string>& names, const Names& known) {
    if (names.empty()) return std::nullopt;
    std::unordered_set<std::uint32_t> out;
    for (const std::string& name : names) {
        if (const auto number = known.find(name)) out.insert(*number);
    }
    return out;
}

Selector::Addresses Selector::addresses(const std::vector<std::string>& given) {
    Addresses out;
    for (const std::string& text : given) {
        if (text.starts_with('@')) {
            out.any.push_back("@" + proto::normalised_domain(std::string_view(text).substr(1)));
        } else if (text.empty() || text == "<>") {
            out.any.emplace_back();
        } else {
            out.any.push_back(proto::normalised_address(text));
        }
    }
    return out;
}

Selector::Selector(const EntrySelector& which, const Ledger& ledger)
    : accounts_(numbers(which.accounts, ledger.index.names)),
      customers_(numbers(which.customers, ledger.index.names)),
      upstreams_(numbers(which.upstreams, ledger.index.names)),
      states_(which.states),
      sources_(which.sources),
      mail_from_(addresses(which.mail_from)),
      rcpts_(addresses(which.rcpts)) {
    if (!which.ids.empty()) ids_.emplace(which.ids.begin(), which.ids.end());
    if (which.since) since_ = to_disk(*which.since);
    if (which.until) until_ = to_disk(*which.until);
}

bool Selector::may_match(const Ledger& ledger, const IndexEntry& e) const {
    if (since_ && e.created < *since_) return false;
    if (until_ && e.created > *until_) return false;
    if (accounts_ && !accounts_->contains(e.account)) return false;
    if (customers_ && !customers_->contains(e.customer)) return false;
    if (upstreams_ && !upstreams_->contains(e.upstream)) return false;
    if (!states_.empty() && std::ranges::none_of(states_, [&](EntryState wanted) {
            return wanted == ledger.shown(e) || (wanted == EntryState::held && e.held);
        })) {
        return false;
    }
    return !ids_ || ids_->contains(std::string(e.id.view()));
}

bool Selector::matches(const EntryInfo& info) const {
    if (!mail_from_.any.empty() && !mail_from_.match(info.mail_from)) return false;
    if (!sources_.empty() && std::ranges::none_of(sources_, [&](const proto::Network& network) {
            return network.contains(info.source);
        })) {
        return false;
    }
    return rcpts_.any.empty() || std::ranges::any_of(info.open_rcpts, [this](const auto& rcpt) {
               return rcpts_.match(rcpt);
           });
}

std::optional<Met> meet(Shared& shared, const std::string& id) {
    Met met;
    {
        const std::lock_guard lock(shared.mutex);
        const Handle h = shared.ledger.index.find(id);
        if (h == no_handle) return std::nullopt;
        met.located = locate(shared.ledger, h);
    }
    const auto details = read_details(met.located);
    met.readable = details.has_value();
    met.info = info_of(met.located, details ? &*details : nullptr);
    return met;
}

void walk(Shared& shared, const EntrySelector& which, const std::string& after_id,
          const std::function<Walk(Met)>& visit) {
    const Selector selector = [&] {
        const std::lock_guard lock(shared.mutex);
        return Selector(which, shared.ledger);
    }();
    std::string after = after_id;
    for (;;) {
        const std::vector<std::string> ids = next_ids(shared, selector, after);
        for (const std::string& id : ids) {
            auto met = meet(shared, id);
            if (!met || (!met->readable && selector.needs_details())) continue;
            if (!selector.matches(met->info)) continue;
            if (visit(std::move(*met)) == Walk::stop) return;
        }
        if (ids.size() < ids_a_pass) return;
        after = ids.back();
    }
}

}  // namespace postern::relay::spool
