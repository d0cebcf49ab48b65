#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "relay/net/stream.hpp"
#include "tests/catch.hpp"

namespace postern::test {

namespace net = relay::net;
namespace asio = boost::asio;
using asio::ip::tcp;
using relay::awaitable;
using relay::error_code;
using relay::result;
using namespace std::chrono_literals;

/// A folder that goes with the test.
class Folder {
  public:
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder();
    [[nodiscard]] std::string path(const std::string& name) const {
        return (root_ / name).string();
    }
    void write(const std::string& name, const std::string& text) const;

  private:
    std::filesystem::path root_;
};

/// Runs the tasks on `context` until all have ended; an exception (a failed REQUIRE too) leaves.
void run(asio::io_context& context, std::vector<awaitable<void>> tasks);
void run(asio::io_context& context, awaitable<void> one);
void run(asio::io_context& context, awaitable<void> one, awaitable<void> two);

struct Buffers {
    int receive = 0;  ///< Octets; 0: the system's.
    int send = 0;
};

/// Two ends of one loopback connection, as sockets.
std::pair<tcp::socket, tcp::socket> socket_pair(asio::io_context& context, Buffers buffers = {});
/// And as streams.
std::pair<net::Stream, net::Stream> stream_pair(asio::io_context& context, Buffers buffers = {});

/// Makes a self-signed certificate: NAME.pem and NAME.key in `folder`.
enum class KeyKind : std::uint8_t { rsa, ec };
net::CertificateFiles make_certificate(const Folder& folder, const std::string& name, KeyKind kind,
                                       const std::vector<std::string>& alternatives);

net::TlsServerPtr server_of(const std::vector<net::CertificateFiles>& files,
                            std::shared_ptr<net::TicketKeys> tickets = net::make_ticket_keys());
net::TlsClientPtr client_trusting(const std::string& certificate);
net::TlsClientPtr client_trusting_all();

/// Reads until `size` octets are there, or the end.
awaitable<std::string> read_exactly(net::Stream& stream, std::size_t size, std::size_t step = 4096);
/// Octets that repeat with no short period.
std::string pattern(std::size_t size, unsigned seed = 1);
awaitable<void> pause(std::chrono::milliseconds time);

}  // namespace postern::test
