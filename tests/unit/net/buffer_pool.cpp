#include "relay/net/buffer_pool.hpp"

#include <thread>

#include "tests/catch.hpp"

using postern::relay::net::BlockPtr;
using postern::relay::net::BufferPool;

TEST_CASE("a block returns to its pool with its last reference", "[net][pool]") {
    BufferPool pool;
    BlockPtr block = pool.large();
    CHECK(block->size() == BufferPool::large_size);
    const char* at = block->data();
    const BlockPtr other = block;
    block.reset();
    CHECK(pool.free_octets() == 0);
    const_cast<BlockPtr&>(other).reset();
    CHECK(pool.free_octets() == BufferPool::large_size);
    CHECK(pool.large()->data() == at);
}

TEST_CASE("a pool serves the thread that uses it, whoever made it", "[net][pool]") {
    BufferPool pool;
    std::thread([&] { pool.small().reset(); }).join();
    CHECK(pool.free_octets() == BufferPool::small_size);
}

TEST_CASE("a pool keeps no more than it was told", "[net][pool]") {
    BufferPool pool(BufferPool::small_size);
    {
        const BlockPtr one = pool.small();
        const BlockPtr two = pool.small();
    }
    CHECK(pool.free_octets() == BufferPool::small_size);
}

TEST_CASE("a block that dies on another thread, or after its pool, is freed", "[net][pool]") {
    BlockPtr survivor;
    {
        BufferPool pool;
        BlockPtr block = pool.small();
        std::thread([moved = std::move(block)]() mutable { moved.reset(); }).join();
        CHECK(pool.free_octets() == 0);
        survivor = pool.large();
    }
    survivor->data()[0] = 'x';
    survivor.reset();
}
