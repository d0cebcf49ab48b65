#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <boost/asio/execution_context.hpp>

namespace postern::relay::net {

/// The memory that all connections of one thread share: what arrives lands here, what leaves is
/// gathered here. A service of the thread's io_context, made with its first connection.
class ThreadBuffers final : public boost::asio::execution_context::service {
  public:
    using key_type = ThreadBuffers;
    static boost::asio::execution_context::id id;

    /// Has octets in the landing buffer; keeps them when somebody else needs it.
    class Tenant {
      public:
        virtual ~Tenant() = default;
        virtual void move_out() noexcept = 0;
    };

    static constexpr std::size_t landing_size = std::size_t{64} * 1024;
    static constexpr std::size_t record_size =
        std::size_t{16} * 1024;  ///< Plaintext of a full TLS record.
    static constexpr std::size_t outgoing_size = std::size_t{128} * 1024;

    explicit ThreadBuffers(boost::asio::execution_context& context);

    /// The landing buffer, for `tenant`; the one before moves out. Returns its first octet.
    [[nodiscard]] char* claim(Tenant* tenant) noexcept;
    void leave(const Tenant* tenant) noexcept;
    /// Rises with each claim: who finds it changed lost what it had not taken.
    [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
    [[nodiscard]] char* landing() noexcept { return landing_.get(); }

    /// Encrypted records on their way out; used within one call only.
    [[nodiscard]] std::string_view outgoing() const noexcept { return {outgoing_.get(), used_}; }
    void clear_outgoing() noexcept { used_ = 0; }
    [[nodiscard]] bool append_outgoing(std::string_view octets) noexcept;
    /// Room for another full record with its overhead.
    [[nodiscard]] bool takes_record() const noexcept {
        return outgoing_size - used_ >= record_size + 512;
    }

    /// Small pieces are joined here into one record; used within one call only.
    [[nodiscard]] char* record() noexcept { return record_.get(); }
    [[nodiscard]] std::array<iovec, 128>& vectors() noexcept { return vectors_; }

  private:
    void shutdown() override {}

    std::unique_ptr<char[]> landing_;
    std::unique_ptr<char[]> outgoing_;
    std::unique_ptr<char[]> record_;
    std::array<iovec, 128> vectors_{};
    std::size_t used_ = 0;
    Tenant* tenant_ = nullptr;
    std::uint64_t epoch_ = 0;
};

}  // namespace postern::relay::net
