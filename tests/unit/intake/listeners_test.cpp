#include "relay/intake/listeners.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "relay/net/listener.hpp"
#include "relay/net/task_group.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay;
using namespace postern::relay::intake;
using namespace std::chrono_literals;

namespace {

class FakeDesk final : public Desk {
  public:
    void take(Mail mail, Done done) override {
        const std::scoped_lock lock(mutex_);
        mails_.push_back(std::move(mail));
        done(answer_);
    }
    void take(std::vector<Word> words, Done done) override {
        const std::scoped_lock lock(mutex_);
        calls_.push_back(std::move(words));
        done(answer_);
    }
    void answers(Taken taken) {
        const std::scoped_lock lock(mutex_);
        answer_ = taken;
    }
    std::vector<Mail> mails() {
        const std::scoped_lock lock(mutex_);
        return mails_;
    }
    std::vector<std::vector<Word>> calls() {
        const std::scoped_lock lock(mutex_);
        return calls_;
    }

  private:
    std::mutex mutex_;
    Taken answer_ = Taken::counted;
    std::vector<Mail> mails_;
    std::vector<std::vector<Word>> calls_;
};

/// JSON that begins with a brace is a bounce.
boost::system::result<Call, std::string> fake_read(const config::Webhook& webhook,
                                                   const std::string& json) {
    if (!json.starts_with('{')) return std::string("no JSON\r\n");
    Call call;
    call.words.emplace_back();
    call.words.back().rcpt = webhook.name;
    return call;
}

std::uint16_t port_of(int socket) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin_port);
}

/// A blocking peer with a time-out.
class PlainPeer {
  public:
    explicit PlainPeer(std::uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
        const timeval patience{.tv_sec = 20, .tv_usec = 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const auto* where = reinterpret_cast<const sockaddr*>(&address);
        REQUIRE(::connect(descriptor_, where, sizeof address) == 0);
    }
    PlainPeer(const PlainPeer&) = delete;
    PlainPeer& operator=(const PlainPeer&) = delete;
    ~PlainPeer() { ::close(descriptor_); }

    void send(std::string_view text) {
        REQUIRE(::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(text.size()));
    }
    /// Until `mark` was said, or the end.
    std::string hear(std::string_view mark) {
        std::string heard;
        std::array<char, 4096> part{};
        while (mark.empty() || heard.find(mark) == std::string::npos) {
            const ssize_t got = ::recv(descriptor_, part.data(), part.size(), 0);
            if (got <= 0) break;
            heard.append(part.data(), static_cast<std::size_t>(got));
        }
        return heard;
    }
    std::string hear_all() { return hear({}); }

  private:
    int descriptor_;
};

struct House {
    explicit House(ListenerLimits limits = {}, const std::string& from = "127.0.0.0/8") {
        auto made = std::make_shared<config::Config>();
        made->server.hostname = "mx.example.net";
        made->intake.from = {config::Network::parse(from).value()};
        made->intake.listen = {{"127.0.0.1", 1, config::IntakeSpeech::lmtp},
                               {"127.0.0.1", 2, config::IntakeSpeech::http}};
        config::Webhook webhook;
        webhook.name = "own";
        webhook.secret = proto::Secret("s3cret");
        made->intake.webhook = {webhook};
        config = std::move(made);
        std::vector<int> sockets;
        for (std::uint16_t* port : {&lmtp, &http}) {
            sockets.push_back(net::open_listening_socket("127.0.0.1:0").value());
            *port = port_of(sockets.back());
        }
        listeners = std::make_unique<Listeners>(
            context,
            ListenerPorts{.desk = desk,
                          .events = events,
                          .config = [this] { return config; },
                          .tls = [] { return net::TlsServerPtr(); },
                          .read_call = fake_read,
                          .pool = pool,
                          .count =
                              [this](std::string_view kind, std::string_view result) {
                                  const std::scoped_lock lock(mutex);
                                  counted += std::string(kind) + " " + std::string(result) + "\n";
                              }},
            sockets, limits);
        tasks.spawn(listeners->run());
        thread = std::thread([this] { context.run(); });
    }
    House(const House&) = delete;
    House& operator=(const House&) = delete;
    ~House() { end(); }
    void stop() {
        asio::post(context, [this] { listeners->stop(); });
    }
    /// Returns once every connection has ended.
    void end() {
        if (!thread.joinable()) return;
        stop();
        thread.join();
        pool.join();
    }
    std::string counts() {
        const std::scoped_lock lock(mutex);
        return counted;
    }

    FakeDesk desk;
    event::NullStream events;
    config::ConfigPtr config;
    asio::io_context context{1};
    asio::thread_pool pool{1};
    net::TaskGroup tasks{context.get_executor(), {}};
    std::unique_ptr<Listeners> listeners;
    std::uint16_t lmtp = 0;
    std::uint16_t http = 0;
    std::mutex mutex;
    std::string counted;
    std::thread thread;
};

std::string post(const std::string& target, const std::string& fields, const std::string& body) {
    return "POST " + target + " HTTP/1.1\r\nHost: x\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string answer(std::uint16_t port, const std::string& request) {
    PlainPeer peer(port);
    peer.send(request);
    return peer.hear("\r\n\r\n");
}

const std::string lmtp_mail =
    "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
    "Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n";

}  // namespace

TEST_CASE("a mail by LMTP comes to the desk before it is answered", "[intake]") {
    House house;
    PlainPeer peer(house.lmtp);
    peer.send(lmtp_mail);
    CHECK(peer.hear_all().ends_with("250 2.0.0 taken\r\n250 2.0.0 taken\r\n221 2.0.0 bye\r\n"));
    const auto mails = house.desk.mails();
    REQUIRE(mails.size() == 1);
    CHECK(mails[0].octets == "Subject: x\r\n\r\n.\r\n");
    CHECK(mails[0].rcpts == std::vector<std::string>{"a@example.net", "b@example.net"});
}

TEST_CASE("a desk that is full sends mail and calls away for a while", "[intake]") {
    House house;
    house.desk.answers(Taken::overloaded);
    PlainPeer peer(house.lmtp);
    peer.send(lmtp_mail);
    CHECK(peer.hear_all().find("451 4.3.1 busy, try again later\r\n451 4.3.1") !=
          std::string::npos);
    const std::string busy =
        answer(house.http, post("/webhook/own", "Authorization: Bearer s3cret\r\n", "{}"));
    CHECK(busy.starts_with("HTTP/1.1 503 "));
    CHECK(busy.find("Retry-After: ") != std::string::npos);
}

TEST_CASE("calls are answered by what they are", "[intake]") {
    House house;
    const std::string right = "Authorization: Bearer s3cret\r\n";
    struct Row {
        std::string request;
        const char* status;
    };
    const Row table[] = {
        {post("/webhook/own", right, "{}"), "202"},
        {post("/webhook/own?x=1", "Authorization: Basic dXNlcjpzM2NyZXQ=\r\n", "{}"), "202"},
        {post("/webhook/own", right + "Content-Type: text/plain\r\n", "{}"), "202"},
        {post("/webhook/own", "", "{}"), "401"},
        {post("/webhook/own", "Authorization: Bearer x\r\n", "{}"), "401"},
        {post("/webhook/own", right, "nonsense"), "400"},
        {post("/webhook/own", right, ""), "400"},
        {post("/webhook/other", right, "{}"), "404"},
        {post("/", right, "{}"), "404"},
        {"GET /webhook/own HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
        {"GET /message HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
        {post("/message", "", "Subject: x\r\n\r\n"), "202"},
        {post("/message", "", ""), "400"},
        {post("/message", "X-Forwarded-For: 192.0.2.1\r\n", "Subject: x\r\n\r\n"), "401"},
        {post("/message", "Origin: https://a.example\r\n", "Subject: x\r\n\r\n"), "401"},
        {post("/message", right + "Via: 1.1 a\r\n", "Subject: x\r\n\r\n"), "202"},
        {"POST /webhook/own HTTP/1.1\r\n" + right + "Content-Length: 1048577\r\n\r\n", "413"},
        {"nonsense\r\n\r\n", "400"},
        {"POST /message HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", "431"},
        {"POST /message HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "202"},
    };
    for (const Row& row : table) {
        CAPTURE(row.request.substr(0, 200));
        const std::string heard = answer(house.http, row.request);
        CAPTURE(heard);
        CHECK(heard.starts_with(std::string("HTTP/1.1 ") + row.status + " "));
        if (row.status[0] == '4')
            CHECK(heard.find("application/problem+json") != std::string::npos);
        if (row.status == std::string("401"))
            CHECK(heard.find("WWW-Authenticate: Basic") != std::string::npos);
        if (row.status == std::string("405")) CHECK(heard.find("Allow: POST") != std::string::npos);
    }
    CHECK(house.desk.calls().size() == 3);
    CHECK(house.desk.mails().size() == 3);
    CHECK(house.counts().find("webhook unreadable\n") != std::string::npos);
    CHECK(house.counts().find("webhook unauthenticated\n") != std::string::npos);
}

TEST_CASE("a connection carries one call after the other", "[intake]") {
    House house;
    PlainPeer peer(house.http);
    const std::string call = post("/webhook/own", "Authorization: Bearer s3cret\r\n", "{}");
    peer.send(call + call);
    CHECK(peer.hear("\r\n\r\n").starts_with("HTTP/1.1 202 "));
    peer.send(post("/message", "Connection: close\r\n", "Subject: x\r\n\r\n"));
    CHECK(peer.hear_all().find("Connection: close\r\n") != std::string::npos);
    CHECK(house.desk.calls().size() == 2);
}

TEST_CASE("who waits to be told to go on is told", "[intake]") {
    House house;
    PlainPeer peer(house.http);
    peer.send("POST /message HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    CHECK(peer.hear("\r\n\r\n").starts_with("HTTP/1.1 100 "));
    peer.send("a: b");
    CHECK(peer.hear("\r\n\r\n").starts_with("HTTP/1.1 202 "));
}

TEST_CASE("a foreign network may not bring mail, and is told", "[intake]") {
    House house({}, "10.0.0.0/8");
    PlainPeer peer(house.lmtp);
    CHECK(peer.hear_all() == "554 5.7.1 your address may not bring reports here\r\n");
    CHECK(house.counts() == "lmtp foreign\n");
}

TEST_CASE("no more connections than are allowed, of mail and of HTTP apart", "[intake]") {
    ListenerLimits limits;
    limits.mail_connections = 1;
    House house(limits);
    PlainPeer first(house.lmtp);
    CHECK(first.hear("\r\n") == "220 mx.example.net LMTP ready\r\n");
    PlainPeer second(house.lmtp);
    CHECK(second.hear_all().starts_with("421 4.7.0 "));
    CHECK(answer(house.http, post("/message", "", "x: y\r\n\r\n")).starts_with("HTTP/1.1 202 "));
    CHECK(house.counts() == "lmtp full\n");
}

TEST_CASE("who says nothing, or too little, is not waited for", "[intake]") {
    ListenerLimits limits;
    limits.mail_patience = 100ms;
    limits.http_patience = 100ms;
    House house(limits);
    PlainPeer mail(house.lmtp);
    mail.send("LHLO");
    CHECK(mail.hear_all().ends_with("421 4.4.2 too slow\r\n"));
    PlainPeer call(house.http);
    call.send("POST /message HTTP/1.1\r\nContent-Length: 100\r\n\r\nx");
    CHECK(call.hear_all().empty());
}

TEST_CASE("at the end who waits hears 421, and nothing is left", "[intake]") {
    House house;
    PlainPeer mail(house.lmtp);
    CHECK(mail.hear("\r\n").starts_with("220 "));
    PlainPeer call(house.http);
    call.send("POST /mess");
    mail.send("NOOP\r\n");
    CHECK(mail.hear("\r\n").starts_with("250 "));
    house.stop();
    CHECK(mail.hear_all() == "421 4.3.2 service shuts down, try again later\r\n");
    CHECK(call.hear_all().empty());
    house.end();
    CHECK(house.listeners->quiet());
}
