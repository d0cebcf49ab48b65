#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include <openssl/ssl.h>

#include "tests/unit/net/support.hpp"

namespace postern::test {

/// A client context of OpenSSL's own making, for versions and ciphers that ours never offers.
inline net::SslContextPtr raw_client(int lowest, int highest) {
    net::SslContextPtr made(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(made.get(), 0);
    SSL_CTX_set_min_proto_version(made.get(), lowest);
    SSL_CTX_set_max_proto_version(made.get(), highest);
    return made;
}

/// A blocking peer on a thread of its own: the other side's OpenSSL sees nothing of ours.
class RawPeer {
  public:
    RawPeer(tcp::socket socket, net::SslContextPtr context, std::string sni = {})
        : context_(std::move(context)),
          ssl_(SSL_new(context_.get())),
          descriptor_(socket.release()) {
        const int flags = ::fcntl(descriptor_, F_GETFL);
        ::fcntl(descriptor_, F_SETFL, flags & ~O_NONBLOCK);
        SSL_set_fd(ssl_.get(), descriptor_);
        if (!sni.empty()) SSL_set_tlsext_host_name(ssl_.get(), sni.c_str());
    }
    RawPeer(const RawPeer&) = delete;
    RawPeer& operator=(const RawPeer&) = delete;
    ~RawPeer() {
        if (thread_.joinable()) thread_.join();
        ::close(descriptor_);
    }
    template <typename F>
    void start(F work) {
        thread_ = std::thread([this, work] { work(ssl_.get(), descriptor_); });
    }
    void join() { thread_.join(); }

  private:
    net::SslContextPtr context_;
    net::SslPtr ssl_;
    int descriptor_;
    std::thread thread_;
};

}  // namespace postern::test
