#include "relay/sink/sink_session.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace postern::relay::sink {

namespace {

constexpr std::size_t buffer_size = std::size_t{64} * 1024;
constexpr auto patience = std::chrono::minutes(10);

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return out;
}

std::string decode_base64(std::string_view text) {
    std::string out(text.size(), '\0');
    const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                  reinterpret_cast<const unsigned char*>(text.data()),
                                  static_cast<int>(text.size()));
    if (n < 0) return {};
    auto size = static_cast<std::size_t>(n);
    for (auto at = text.rbegin(); at != text.rend() && *at == '=' && size > 0; ++at) --size;
    out.resize(size);
    return out;
}

struct Path {
    std::string address;
    std::vector<std::string> params;
};

/// "FROM:<address> P=V ..." after the verb; `word` is "FROM:" or "TO:".
std::optional<Path> parse_path(std::string_view text, std::string_view word) {
    if (text.size() < word.size() || upper(text.substr(0, word.size())) != word)
        return std::nullopt;
    text.remove_prefix(word.size());
    while (text.starts_with(' ')) text.remove_prefix(1);
    if (!text.starts_with('<')) return std::nullopt;
    bool quoted = false;
    std::size_t end = 1;
    for (; end < text.size() && (quoted || text[end] != '>'); ++end) {
        if (text[end] == '"') quoted = !quoted;
        if (text[end] == '\\') ++end;
    }
    if (end >= text.size()) return std::nullopt;
    Path path{std::string(text.substr(1, end - 1)), {}};
    text.remove_prefix(end + 1);
    while (!text.empty()) {
        if (text.front() != ' ') return std::nullopt;
        text.remove_prefix(1);
        const auto space = text.find(' ');
        if (const auto word_end = text.substr(0, space); !word_end.empty())
            path.params.emplace_back(word_end);
        text = space == std::string_view::npos ? std::string_view() : text.substr(space);
    }
    return path;
}

}  // namespace

SinkSession::SinkSession(Shared& shared, net::Stream stream, std::uint64_t number)
    : shared_(shared), stream_(std::move(stream)), number_(number), buffer_(buffer_size) {}

void SinkSession::say(std::string_view reply) {
    out_ += reply;
    out_ += "\r\n";
}

void SinkSession::reset() {
    mail_ = {};
    in_mail_ = false;
}

awaitable<SinkSession::Next> SinkSession::flush() {
    if (out_.empty()) co_return Next::go_on;
    stream_.set_deadline(patience);
    const error_code ec = co_await stream_.write(out_);
    out_.clear();
    co_return ec ? Next::end : Next::go_on;
}

/// Sends what is owed, then reads more.
awaitable<SinkSession::Next> SinkSession::fill() {
    if (co_await flush() == Next::end) co_return Next::end;
    if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == buffer_.size()) co_return Next::end;  // a line without end
    stream_.set_deadline(patience);
    const auto got = co_await stream_.read_some(std::span(buffer_).subspan(end_));
    if (!got || *got == 0) co_return Next::end;
    end_ += *got;
    co_return Next::go_on;
}

std::optional<std::string_view> SinkSession::take_line() {
    const std::string_view octets(buffer_.data() + begin_, end_ - begin_);
    const auto lf = octets.find('\n');
    if (lf == std::string_view::npos) return std::nullopt;
    begin_ += lf + 1;
    std::string_view line = octets.substr(0, lf);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

awaitable<std::optional<std::string>> SinkSession::line_after(std::string_view prompt) {
    say(prompt);
    for (;;) {
        if (const auto line = take_line()) co_return std::string(*line);
        if (co_await fill() == Next::end) co_return std::nullopt;
    }
}

std::vector<std::string> SinkSession::subjects(Stage stage) const {
    if (stage == Stage::mail) return {mail_.mail_from};
    if (stage == Stage::rcpt && !mail_.rcpts.empty()) return {mail_.rcpts.back()};
    return mail_.rcpts;
}

awaitable<SinkSession::Next> SinkSession::answer(Stage stage, std::string_view reply,
                                                 bool& accepted) {
    accepted = true;
    const auto fault = shared_.faults.find(stage, subjects(stage));
    if (!fault) {
        if (!reply.empty()) say(reply);
        co_return Next::go_on;
    }
    co_return co_await misbehave(*fault, reply, accepted);
}

awaitable<SinkSession::Next> SinkSession::misbehave(const Fault& fault, std::string_view reply,
                                                    bool& accepted) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    switch (fault.action) {
        case Action::reply:
            accepted = fault.code < 400;
            say(fault.reply);
            if (fault.code != 421) co_return Next::go_on;
            (void)co_await flush();
            co_return Next::end;
        case Action::hang: {
            if (co_await flush() == Next::end) co_return Next::end;
            stream_.clear_deadline();
            for (;;) {  // until the peer leaves
                const auto got = co_await stream_.read_some(buffer_);
                if (!got || *got == 0) co_return Next::end;
            }
        }
        case Action::drop:
            accepted = false;
            if (co_await flush() == Next::go_on) stream_.close();
            co_return Next::end;
        case Action::lose:
            stream_.close();
            co_return Next::end;
        case Action::slow:
            if (co_await flush() == Next::end) co_return Next::end;
            timer.expires_after(fault.pause);
            co_await timer.async_wait(as_value);
            if (!reply.empty()) say(reply);
            co_return Next::go_on;
        case Action::drip: {
            if (co_await flush() == Next::end) co_return Next::end;
            const std::string text = reply.empty() ? std::string() : std::string(reply) + "\r\n";
            for (const char& c : text) {
                timer.expires_after(fault.pause);
                co_await timer.async_wait(as_value);
                if (co_await stream_.write(std::string_view(&c, 1))) co_return Next::end;
            }
            co_return Next::go_on;
        }
    }
    co_return Next::end;
}

awaitable<void> SinkSession::run() {
    ++shared_.counts.sessions;
    bool accepted = true;
    Next next = Next::go_on;
    stream_.set_deadline(patience);
    if (shared_.options.implicit_tls && shared_.tls) {
        if (co_await stream_.start_tls_server(shared_.tls, net::TlsStart::implicit)) co_return;
    }
    next = co_await answer(Stage::connect, "220 " + shared_.options.hostname + " ESMTP sink",
                           accepted);
    if (!accepted) {
        (void)co_await flush();
        next = Next::end;
    }
    while (next == Next::go_on) {
        const auto line = take_line();
        if (!line) {
            next = co_await fill();
            continue;
        }
        if (!shared_.options.pipelining && begin_ != end_) {
            say("554 5.5.0 pipelining without being offered");
            break;
        }
        next = co_await command(*line);
    }
    (void)co_await flush();
    co_await stream_.shutdown();
}

awaitable<SinkSession::Next> SinkSession::command(std::string_view line) {
    const auto space = line.find(' ');
    const std::string verb = upper(line.substr(0, std::min<std::size_t>(space, 16)));
    const std::string_view rest =
        space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    if (verb == "MAIL") co_return co_await mail(rest);
    if (verb == "RCPT") co_return co_await rcpt(rest);
    if (verb == "DATA") co_return co_await data();
    if (verb == "EHLO" || verb == "HELO") co_return co_await ehlo(rest, verb == "EHLO");
    if (verb == "STARTTLS") co_return co_await starttls();
    if (verb == "AUTH") co_return co_await auth(rest);
    if (verb == "RSET") {
        reset();
        say("250 2.0.0 ok");
    } else if (verb == "NOOP") {
        say("250 2.0.0 ok");
    } else if (verb == "QUIT") {
        say("221 2.0.0 bye");
        co_return Next::end;
    } else {
        say("500 5.5.2 unknown command");
    }
    co_return Next::go_on;
}

awaitable<SinkSession::Next> SinkSession::ehlo(std::string_view rest, bool extended) {
    ehlo_ = rest;
    greeted_ = true;
    reset();
    const SinkOptions& options = shared_.options;
    std::string reply = (extended ? "250-" : "250 ") + options.hostname;
    if (extended) {
        if (options.pipelining) reply += "\r\n250-PIPELINING";
        reply += options.size > 0 ? fmt::format("\r\n250-SIZE {}", options.size) : "\r\n250-SIZE";
        if (options.eight_bit_mime) reply += "\r\n250-8BITMIME";
        if (options.smtputf8) reply += "\r\n250-SMTPUTF8";
        if (options.dsn) reply += "\r\n250-DSN";
        if (shared_.tls && !stream_.is_tls()) reply += "\r\n250-STARTTLS";
        reply += "\r\n250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES";
    }
    bool accepted = true;
    co_return co_await answer(Stage::ehlo, reply, accepted);
}

awaitable<SinkSession::Next> SinkSession::starttls() {
    if (!shared_.tls || stream_.is_tls()) {
        say("503 5.5.1 not offered");
        co_return Next::go_on;
    }
    bool accepted = true;
    Next next = co_await answer(Stage::starttls, "220 2.0.0 go ahead", accepted);
    if (next == Next::end || !accepted) co_return next;
    if (co_await flush() == Next::end || begin_ != end_) co_return Next::end;
    const error_code ec = co_await stream_.start_tls_server(shared_.tls, net::TlsStart::upgrade);
    ehlo_.clear();
    auth_.reset();
    greeted_ = false;
    reset();
    co_return ec ? Next::end : Next::go_on;
}

awaitable<SinkSession::Next> SinkSession::auth(std::string_view rest) {
    const auto space = rest.find(' ');
    const std::string mechanism = upper(rest.substr(0, space));
    std::optional<std::string> first;
    if (space != std::string_view::npos) first = std::string(rest.substr(space + 1));
    std::string user;
    if (mechanism == "PLAIN") {
        if (!first) first = co_await line_after("334 ");
        if (!first) co_return Next::end;
        const std::string message = decode_base64(*first);
        const auto start = message.find('\0');
        if (start != std::string::npos)
            user = message.substr(start + 1, message.find('\0', start + 1) - start - 1);
    } else if (mechanism == "LOGIN") {
        if (!first) first = co_await line_after("334 VXNlcm5hbWU6");
        if (!first) co_return Next::end;
        user = decode_base64(*first);
        if (!co_await line_after("334 UGFzc3dvcmQ6")) co_return Next::end;
    } else {
        say("504 5.5.4 unknown mechanism");
        co_return Next::go_on;
    }
    bool accepted = true;
    const Next next = co_await answer(Stage::auth, "235 2.7.0 ok", accepted);
    if (accepted) auth_ = user;
    co_return next;
}

/// The first parameter that was not offered.
std::optional<std::string_view> SinkSession::unknown_param(const std::vector<std::string>& params,
                                                           bool of_mail) const {
    const SinkOptions& options = shared_.options;
    for (const std::string& param : params) {
        const std::string name = upper(param.substr(0, param.find('=')));
        const bool known = of_mail ? name == "SIZE" || name == "AUTH" ||
                                         (name == "BODY" && options.eight_bit_mime) ||
                                         (name == "SMTPUTF8" && options.smtputf8) ||
                                         ((name == "RET" || name == "ENVID") && options.dsn)
                                   : (name == "NOTIFY" || name == "ORCPT") && options.dsn;
        if (!known) return param;
    }
    return std::nullopt;
}

awaitable<SinkSession::Next> SinkSession::mail(std::string_view rest) {
    const SinkOptions& options = shared_.options;
    auto path = parse_path(rest, "FROM:");
    if (!greeted_ || in_mail_) {
        say("503 5.5.1 not now");
    } else if (options.require_auth && !auth_) {
        say("530 5.7.0 log in first");
    } else if (!path) {
        say("501 5.5.4 bad path");
    } else if (const auto unknown = unknown_param(path->params, true)) {
        say("555 5.5.4 parameter was not offered");
    } else {
        for (const std::string& param : path->params) {
            if (options.size == 0 || !upper(param).starts_with("SIZE=")) continue;
            std::uint64_t size = 0;
            std::from_chars(param.data() + 5, param.data() + param.size(), size);
            if (size <= options.size) continue;
            say("552 5.3.4 too large");
            co_return Next::go_on;
        }
        mail_.mail_from = std::move(path->address);
        mail_.mail_params = std::move(path->params);
        const Next next = co_await answer(Stage::mail, "250 2.1.0 ok", in_mail_);
        if (!in_mail_) reset();
        co_return next;
    }
    co_return Next::go_on;
}

awaitable<SinkSession::Next> SinkSession::rcpt(std::string_view rest) {
    auto path = parse_path(rest, "TO:");
    if (!in_mail_) {
        say("503 5.5.1 MAIL first");
    } else if (!path || path->address.empty()) {
        say("501 5.5.4 bad path");
    } else if (unknown_param(path->params, false)) {
        say("555 5.5.4 parameter was not offered");
    } else {
        mail_.rcpts.push_back(std::move(path->address));
        mail_.rcpt_params.push_back(std::move(path->params));
        bool accepted = true;
        const Next next = co_await answer(Stage::rcpt, "250 2.1.5 ok", accepted);
        if (!accepted) {
            mail_.rcpts.pop_back();
            mail_.rcpt_params.pop_back();
        }
        co_return next;
    }
    co_return Next::go_on;
}

awaitable<SinkSession::Next> SinkSession::data() {
    if (!in_mail_ || mail_.rcpts.empty()) {
        say(in_mail_ ? "554 5.5.1 no valid recipients" : "503 5.5.1 RCPT first");
        co_return Next::go_on;
    }
    bool accepted = true;
    Next next = co_await answer(Stage::data, "354 go ahead", accepted);
    if (next == Next::end || !accepted) co_return next;
    DotReader reader;
    const std::uint64_t limit = shared_.options.size;
    bool first = true;
    while (!reader.done()) {
        if (begin_ == end_) {
            begin_ = end_ = 0;
            if (co_await fill() == Next::end) co_return Next::end;
        }
        if (first) {
            first = false;
            next = co_await answer(Stage::body, "", accepted);
            if (next == Next::end) co_return next;
        }
        const bool keep = !shared_.options.discard && (limit == 0 || reader.size() <= limit);
        begin_ +=
            reader.feed({buffer_.data() + begin_, end_ - begin_}, keep ? &mail_.data : nullptr);
    }
    mail_.eight_bit = reader.eight_bit();
    if (limit > 0 && reader.size() > limit) {
        say("552 5.3.4 too large");
        reset();
        co_return Next::go_on;
    }
    shared_.counts.bytes += reader.size();
    next = co_await end_of_data();
    reset();
    co_return next;
}

awaitable<SinkSession::Next> SinkSession::end_of_data() {
    const auto fault = shared_.faults.find(Stage::dot, mail_.rcpts);
    bool accepted = true;
    const bool kept = !fault || fault->action == Action::lose || fault->action == Action::slow ||
                      fault->action == Action::drip ||
                      (fault->action == Action::reply && fault->code < 400);
    std::string reply = "451 4.3.0 cannot write";
    if (kept) {
        mail_.auth = auth_;
        if (stream_.is_tls() && !shared_.options.discard) mail_.tls = stream_.tls_info().version;
        mail_.ehlo = ehlo_;
        mail_.session = number_;
        if (const auto number = shared_.capture.write(mail_)) {
            reply = fmt::format("250 2.0.0 ok {}", *number);
            ++shared_.counts.mails;
            shared_.counts.recipients += mail_.rcpts.size();
        }
    }
    if (fault) co_return co_await misbehave(*fault, reply, accepted);
    say(reply);
    co_return Next::go_on;
}

}  // namespace postern::relay::sink
