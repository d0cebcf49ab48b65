#include "relay/spool/index.hpp"

#include <algorithm>

namespace postern::relay::spool {

Id::Id(std::string_view text) noexcept
    : size_(static_cast<std::uint8_t>(std::min(text.size(), max_id))) {
    std::ranges::copy(text.substr(0, size_), text_.begin());
}

Names::Names() {
    numbers_.emplace(texts_.emplace_back(), 0U);
}

std::uint32_t Names::intern(std::string_view text) {
    if (const auto known = find(text)) return *known;
    const auto number = static_cast<std::uint32_t>(texts_.size());
    numbers_.emplace(texts_.emplace_back(text), number);
    return number;
}

std::optional<std::uint32_t> Names::find(std::string_view text) const {
    const auto it = numbers_.find(text);
    if (it == numbers_.end()) return std::nullopt;
    return it->second;
}

std::size_t Index::Hash::operator()(Handle h) const noexcept {
    return (*this)((*entries)[h].id.view());
}
std::size_t Index::Hash::operator()(std::string_view id) const noexcept {
    return std::hash<std::string_view>{}(id);
}
bool Index::Equal::operator()(std::string_view a, Handle b) const noexcept {
    return a == (*entries)[b].id.view();
}
bool Index::Equal::operator()(Handle a, std::string_view b) const noexcept {
    return b == (*entries)[a].id.view();
}

Index::Index() : by_id_(0, Hash{&entries_}, Equal{&entries_}) {}

Handle Index::find(std::string_view id) const {
    const auto it = by_id_.find(id);
    return it == by_id_.end() ? no_handle : *it;
}

Handle Index::add(std::string_view id) {
    Handle h = 0;
    if (free_.empty()) {
        h = static_cast<Handle>(entries_.size());
        entries_.emplace_back();
    } else {
        h = free_.back();
        free_.pop_back();
        entries_[h] = {};
    }
    entries_[h].id = Id(id);
    entries_[h].used = true;
    by_id_.insert(h);
    return h;
}

void Index::erase(Handle h) {
    by_id_.erase(h);
    many_settled_.erase(h);
    reasons_.erase(h);
    entries_[h] = {};
    free_.push_back(h);
}

void Index::settle(Handle h, std::uint32_t recipient) {
    if (recipient < 64) {
        entries_[h].settled |= std::uint64_t{1} << recipient;
        return;
    }
    std::vector<bool>& bits = many_settled_[h];
    const std::size_t at = recipient - 64U;
    if (bits.size() <= at) bits.resize(at + 1);
    bits[at] = true;
}

bool Index::settled(Handle h, std::uint32_t recipient) const {
    if (recipient < 64) return ((entries_[h].settled >> recipient) & 1U) != 0;
    const auto it = many_settled_.find(h);
    const std::size_t at = recipient - 64U;
    return it != many_settled_.end() && at < it->second.size() && it->second[at];
}

std::vector<std::uint32_t> Index::settled_list(Handle h) const {
    std::vector<std::uint32_t> out;
    if (entries_[h].settled == 0 && !many_settled_.contains(h)) return out;
    for (std::uint32_t i = 0; i < entries_[h].recipients; ++i) {
        if (settled(h, i)) out.push_back(i);
    }
    return out;
}

void Index::forget_settled(Handle h) {
    entries_[h].settled = 0;
    many_settled_.erase(h);
}

const std::string& Index::reason(Handle h) const {
    const auto it = reasons_.find(h);
    return names.text(it == reasons_.end() ? 0 : it->second);
}

void Index::set_reason(Handle h, std::string_view reason) {
    if (reason.empty()) {
        reasons_.erase(h);
    } else {
        reasons_.insert_or_assign(h, names.intern(reason));
    }
}

}  // namespace postern::relay::spool
