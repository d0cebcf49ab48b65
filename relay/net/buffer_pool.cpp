#include "relay/net/buffer_pool.hpp"

#include <thread>
#include <utility>
#include <vector>

#include <openssl/crypto.h>

namespace postern::relay::net {

void Block::wipe_secret() noexcept {
    if (secret_ > 0) OPENSSL_cleanse(data_.get(), secret_);
    secret_ = 0;
}

struct BufferPool::State {
    std::size_t keep;
    std::size_t held = 0;
    std::vector<std::unique_ptr<Block>> small;
    std::vector<std::unique_ptr<Block>> large;

    explicit State(std::size_t limit) : keep(limit) {}

    std::vector<std::unique_ptr<Block>>& list(std::size_t size) {
        return size == small_size ? small : large;
    }

    std::unique_ptr<Block> take(std::size_t size) {
        auto& free = list(size);
        if (free.empty()) return std::make_unique<Block>(size);
        auto block = std::move(free.back());
        free.pop_back();
        held -= size;
        return block;
    }

    void give_back(std::unique_ptr<Block> block) {
        if (held + block->size() > keep) return;
        held += block->size();
        list(block->size()).push_back(std::move(block));
    }
};

namespace {

/// Brings a block home, if it dies on its own thread and the pool still is.
template <typename State>
struct Return {
    std::weak_ptr<State> pool;
    std::thread::id owner;

    void operator()(Block* block) const noexcept {
        std::unique_ptr<Block> owned(block);
        owned->wipe_secret();
        if (std::this_thread::get_id() != owner) return;
        if (const auto home = pool.lock()) home->give_back(std::move(owned));
    }
};

template <typename State>
BlockPtr lend(const std::shared_ptr<State>& state, std::size_t size) {
    // Whoever made the pool need not be who uses it.
    return BlockPtr(state->take(size).release(), Return<State>{state, std::this_thread::get_id()});
}

}  // namespace

BufferPool::BufferPool(std::size_t keep) : state_(std::make_shared<State>(keep)) {}
BufferPool::~BufferPool() = default;

BlockPtr BufferPool::small() {
    return lend(state_, small_size);
}
BlockPtr BufferPool::large() {
    return lend(state_, large_size);
}
std::size_t BufferPool::free_octets() const noexcept {
    return state_->held;
}

}  // namespace postern::relay::net
