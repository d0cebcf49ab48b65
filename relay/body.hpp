#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace postern::relay {

/// A message's octets as they were read: slices of shared blocks, never copied. Policy, spool and upstreams read
/// the same blocks. Filled on one thread; shared read-only afterwards.
class Body {
  public:
    /// Appends a view; `owner` keeps it alive (null: static text). Touching slices are joined.
    void append(std::string_view bytes, const std::shared_ptr<const void>& owner);

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] std::span<const std::string_view> slices() const noexcept { return slices_; }
    void clear() noexcept;

  private:
    std::vector<std::string_view> slices_;
    std::vector<std::shared_ptr<const void>> owners_;
    std::uint64_t size_ = 0;
};

}  // namespace postern::relay
