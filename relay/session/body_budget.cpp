#include "relay/session/body_budget.hpp"

#include <utility>

namespace postern::relay {

BodyBudget::Claim::Claim(Claim&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)),
      holder_(std::exchange(other.holder_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

BodyBudget::Claim& BodyBudget::Claim::operator=(Claim&& other) noexcept {
    if (this != &other) {
        release();
        budget_ = std::exchange(other.budget_, nullptr);
        holder_ = std::exchange(other.holder_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

bool BodyBudget::Claim::cover(std::uint64_t bytes) noexcept {
    if (budget_ == nullptr) return false;
    if (bytes <= bytes_) return true;
    const std::uint64_t more = bytes - bytes_;
    const std::scoped_lock lock(budget_->mutex_);
    Holder& holder = holder_->second;
    if (!budget_->fits(holder, holder.claims, more)) return false;
    budget_->used_ += more;
    holder.bytes += more;
    bytes_ = bytes;
    return true;
}

void BodyBudget::Claim::release() noexcept {
    if (budget_ == nullptr) return;
    const std::scoped_lock lock(budget_->mutex_);
    budget_->used_ -= bytes_;
    holder_->second.bytes -= bytes_;
    if (--holder_->second.claims == 0) {
        const auto it = budget_->holders_.find(holder_->first);
        budget_->holders_.erase(it);
    }
    budget_ = nullptr;
    holder_ = nullptr;
    bytes_ = 0;
}

BodyBudget::Claim BodyBudget::claim(std::string_view account, std::uint64_t bytes) {
    Claim out;
    const std::scoped_lock lock(mutex_);
    const auto it = holders_.find(account);
    const Holder held = it == holders_.end() ? Holder{} : it->second;
    if (!fits(held, held.claims + 1, bytes)) return out;
    Holders::value_type& holder =
        it == holders_.end() ? *holders_.emplace(account, Holder{}).first : *it;
    holder.second.bytes += bytes;
    ++holder.second.claims;
    used_ += bytes;
    out.budget_ = this;
    out.holder_ = &holder;
    out.bytes_ = bytes;
    return out;
}

bool BodyBudget::fits(const Holder& holder, std::size_t claims,
                      std::uint64_t bytes) const noexcept {
    if (bytes > limit_ || used_ > limit_ - bytes) return false;
    const std::uint64_t quarter = limit_ / 4;
    return claims < 2 || holder.bytes + bytes <= quarter || limit_ - used_ - bytes >= quarter;
}

std::uint64_t BodyBudget::used() const noexcept {
    const std::scoped_lock lock(mutex_);
    return used_;
}

void BodyBudget::set_limit(std::uint64_t limit) noexcept {
    const std::scoped_lock lock(mutex_);
    limit_ = limit;
}

}  // namespace postern::relay
