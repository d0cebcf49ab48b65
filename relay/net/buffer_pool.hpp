#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

namespace postern::relay::net {

/// A piece of memory that bodies are read into and that slices keep alive.
class Block {
  public:
    explicit Block(std::size_t size) : data_(new char[size]), size_(size) {}

    [[nodiscard]] char* data() noexcept { return data_.get(); }
    [[nodiscard]] const char* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::span<char> span() noexcept { return {data_.get(), size_}; }

    /// The first `octets` may hold a secret: they are wiped when nobody uses the block any more.
    void holds_secret(std::size_t octets) noexcept { secret_ = std::max(secret_, octets); }
    void wipe_secret() noexcept;

  private:
    std::unique_ptr<char[]> data_;  // not zeroed
    std::size_t size_;
    std::size_t secret_ = 0;
};

using BlockPtr = std::shared_ptr<Block>;

/// Blocks of one thread. A block returns to its pool with its last reference; when that goes on
/// another thread, or when the pool is full or gone, it is freed.
class BufferPool {
  public:
    static constexpr std::size_t small_size = std::size_t{16} * 1024;
    static constexpr std::size_t large_size = std::size_t{64} * 1024;

    /// `keep`: the most memory held in free blocks, octets.
    explicit BufferPool(std::size_t keep = std::size_t{8} * 1024 * 1024);
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    ~BufferPool();

    [[nodiscard]] BlockPtr small();  ///< 16 KiB
    [[nodiscard]] BlockPtr large();  ///< 64 KiB
    [[nodiscard]] std::size_t free_octets() const noexcept;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::net
