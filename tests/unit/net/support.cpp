#include "tests/unit/net/support.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <random>

namespace postern::test {

Folder::Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-net-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = name;
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
}

void Folder::write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name, std::ios::binary) << text;
}

void run(asio::io_context& context, std::vector<awaitable<void>> tasks) {
    std::size_t left = tasks.size();
    std::exception_ptr failure;
    for (auto& task : tasks) {
        asio::co_spawn(context, std::move(task), [&](const std::exception_ptr& error) {
            --left;
            if (error && !failure) failure = error;
            if (left == 0 || failure) context.stop();
        });
    }
    context.restart();
    context.run_for(60s);
    context.restart();
    if (failure) std::rethrow_exception(failure);
    if (left != 0) throw std::runtime_error("a task hangs");
}

namespace {
std::vector<awaitable<void>> listed(awaitable<void> one) {
    std::vector<awaitable<void>> tasks;
    tasks.push_back(std::move(one));
    return tasks;
}
}  // namespace

void run(asio::io_context& context, awaitable<void> one) {
    run(context, listed(std::move(one)));
}

void run(asio::io_context& context, awaitable<void> one, awaitable<void> two) {
    auto tasks = listed(std::move(one));
    tasks.push_back(std::move(two));
    run(context, std::move(tasks));
}

std::pair<tcp::socket, tcp::socket> socket_pair(asio::io_context& context, Buffers buffers) {
    tcp::acceptor acceptor(context);
    acceptor.open(tcp::v4());
    if (buffers.receive > 0) acceptor.set_option(tcp::socket::receive_buffer_size(buffers.receive));
    if (buffers.send > 0) acceptor.set_option(tcp::socket::send_buffer_size(buffers.send));
    acceptor.bind({asio::ip::address_v4::loopback(), 0});
    acceptor.listen();
    tcp::socket client(context);
    client.open(tcp::v4());
    if (buffers.receive > 0) client.set_option(tcp::socket::receive_buffer_size(buffers.receive));
    if (buffers.send > 0) client.set_option(tcp::socket::send_buffer_size(buffers.send));
    client.connect(acceptor.local_endpoint());
    client.set_option(tcp::no_delay(true));
    tcp::socket server = acceptor.accept();
    server.set_option(tcp::no_delay(true));
    return {std::move(server), std::move(client)};
}

std::pair<net::Stream, net::Stream> stream_pair(asio::io_context& context, Buffers buffers) {
    auto [server, client] = socket_pair(context, buffers);
    return {net::Stream(std::move(server)), net::Stream(std::move(client))};
}

net::CertificateFiles make_certificate(const Folder& folder, const std::string& name, KeyKind kind,
                                       const std::vector<std::string>& alternatives) {
    struct Free {
        void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
        void operator()(X509* p) const { X509_free(p); }
        void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
        void operator()(BIO* p) const { BIO_free_all(p); }
    };
    const std::unique_ptr<EVP_PKEY, Free> key(kind == KeyKind::rsa ? EVP_RSA_gen(2048U)
                                                                   : EVP_EC_gen("P-256"));
    const std::unique_ptr<X509, Free> certificate(X509_new());
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()),
                     static_cast<long>(std::random_device{}() >> 2U));
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* subject = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), subject);
    std::string list;
    for (const std::string& one : alternatives) list += (list.empty() ? "" : ",") + one;
    if (!list.empty()) {
        const std::unique_ptr<X509_EXTENSION, Free> extension(
            X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, list.c_str()));
        X509_add_ext(certificate.get(), extension.get(), -1);
    }
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    const net::CertificateFiles files{folder.path(name + ".pem"), folder.path(name + ".key")};
    const std::unique_ptr<BIO, Free> out(BIO_new_file(files.certificate.c_str(), "w"));
    PEM_write_bio_X509(out.get(), certificate.get());
    const std::unique_ptr<BIO, Free> key_out(BIO_new_file(files.key.c_str(), "w"));
    PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return files;
}

net::TlsServerPtr server_of(const std::vector<net::CertificateFiles>& files,
                            std::shared_ptr<net::TicketKeys> tickets) {
    auto made = net::TlsServer::load(files, std::move(tickets));
    if (!made) throw std::runtime_error(made.error().file + ": " + made.error().what);
    return *made;
}

net::TlsClientPtr client_trusting(const std::string& certificate) {
    auto made = net::TlsClient::make({net::PeerCheck::verify, certificate});
    if (!made) throw std::runtime_error(made.error().what);
    return *made;
}

net::TlsClientPtr client_trusting_all() {
    auto made = net::TlsClient::make({net::PeerCheck::none, std::nullopt});
    if (!made) throw std::runtime_error(made.error().what);
    return *made;
}

awaitable<std::string> read_exactly(net::Stream& stream, std::size_t size, std::size_t step) {
    std::string out;
    std::vector<char> part(step);
    while (out.size() < size) {
        const auto got =
            co_await stream.read_some(std::span(part).first(std::min(step, size - out.size())));
        if (!got) throw std::runtime_error("read: " + got.error().message());
        if (*got == 0) break;
        out.append(part.data(), *got);
    }
    co_return out;
}

std::string pattern(std::size_t size, unsigned seed) {
    std::minstd_rand random(seed);
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random() >> 8U);
    return out;
}

awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace postern::test
