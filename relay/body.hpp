#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace postern::relay {

/// A message's octets as they were read: slices of shared blocks. Policy, spool and upstreams read
/// the same blocks. Pieces are not copied, but for small ones that do not continue the one before:
/// those are gathered, so that a message of thousands of tiny pieces keeps neither thousands of
/// slices nor a block for each. Filled on one thread; shared read-only afterwards.
class Body {
  public:
    /// Appends a view; `owner` of `owner_octets` keeps it alive (null: static text).
    void append(std::string_view bytes, const std::shared_ptr<const void>& owner,
                std::size_t owner_octets);

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    /// Octets of memory that it keeps.
    [[nodiscard]] std::uint64_t footprint() const noexcept { return footprint_; }
    [[nodiscard]] std::span<const std::string_view> slices() const noexcept { return slices_; }
    void clear() noexcept;

    static constexpr std::size_t small_piece = 4096;  ///< Shorter pieces are gathered.

  private:
    void gather(std::string_view bytes);
    [[nodiscard]] bool extend(std::string_view bytes);

    std::vector<std::string_view> slices_;
    std::vector<std::shared_ptr<const void>> owners_;
    char* tail_ = nullptr;  ///< Where the next small piece goes, in a block among owners_.
    std::size_t tail_room_ = 0;
    const void* last_owner_ = nullptr;
    std::uint64_t size_ = 0;
    std::uint64_t footprint_ = 0;
};

}  // namespace postern::relay
