#include "relay/delivery/notices.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/ip/address.hpp>

#include "relay/asio.hpp"

namespace postern::relay {

namespace {

std::int64_t unix_seconds(WallTime t) {
    return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
}

/// The host of an upstream, as Remote-MTA names it (RFC 3464 2.3.5): a path's name is ours alone.
/// Of an upstream that is no longer configured its name has to do.
std::string host_of(const config::Config& config, const std::string& path) {
    const auto it = std::ranges::find(config.upstream, path, &config::Upstream::name);
    if (it == config.upstream.end()) return path;
    const std::string& host = it->address.host;
    error_code not_literal;
    const auto literal = asio::ip::make_address(host, not_literal);
    if (not_literal) return host;
    return (literal.is_v6() ? "[IPv6:" : "[") + host + "]";
}

/// The header section, at most 64 KiB of it, and (where the whole is small) the body.
struct Original {
    std::string text;
    std::size_t header = 0;
    bool whole = true;
};

Original original_of(const std::vector<std::string_view>& pieces) {
    Original out;
    for (const std::string_view piece : pieces) {
        const std::size_t room = proto::dsn_full_limit - out.text.size();
        out.text.append(piece.substr(0, room));
        if (piece.size() > room) {
            out.whole = false;
            break;
        }
    }
    const std::size_t end = out.text.find("\r\n\r\n");
    out.header = end == std::string::npos ? out.text.size() : end + 4;
    return out;
}

}  // namespace

std::string last_word(const proto::Reply& reply) {
    return fmt::format("{} {} {}", reply.code, reply.enhanced, reply.text);
}

std::vector<Notice> owed_notices(const proto::Envelope& envelope, const Tally& tally) {
    std::vector<Notice> out;
    const auto add = [&](Tally::Fate fate, proto::DsnAction action) {
        for (const std::size_t i : tally.with(fate)) {
            const Tally::Line& line = tally.line(i);
            if (action == proto::DsnAction::relayed && line.dsn_offered) continue;
            if (!proto::dsn_owed(envelope, envelope.recipients[i], action)) continue;
            out.push_back({.recipient = i,
                           .action = action,
                           .reply = line.reply,
                           .remote = line.path,
                           .reason = {}});
        }
    };
    add(Tally::Fate::refused, proto::DsnAction::failed);
    add(Tally::Fate::delivered, proto::DsnAction::relayed);
    return out;
}

std::string_view name(proto::DsnAction action) noexcept {
    static constexpr std::string_view names[] = {"failed", "delayed", "delivered", "relayed"};
    return names[static_cast<std::size_t>(action)];
}

void tell_notices(event::Stream& events, const std::string& ref, const proto::Envelope& envelope,
                  const std::vector<Notice>& notices, const std::string& id,
                  std::string_view result) {
    for (const Notice& notice : notices) {
        events.emit(event::Dsn{.ref = ref,
                               .id = id,
                               .action = std::string(name(notice.action)),
                               .rcpt = envelope.recipients[notice.recipient].address.text(),
                               .result = std::string(result)});
    }
}

std::string_view action_told(const std::vector<std::string_view>& pieces) noexcept {
    constexpr std::string_view field = "\r\nAction: ";
    for (const std::string_view piece : pieces) {
        const std::size_t at = piece.find(field);
        if (at == std::string_view::npos) continue;
        const std::string_view rest = piece.substr(at + field.size());
        for (const auto action :
             {proto::DsnAction::delayed, proto::DsnAction::delivered, proto::DsnAction::relayed}) {
            if (rest.starts_with(name(action))) return name(action);
        }
        break;
    }
    return name(proto::DsnAction::failed);
}

proto::Envelope as_sent(const config::Config& config, const proto::Envelope& notification) {
    proto::Envelope out = notification;
    if (config.delivery.dsn_envelope.empty()) return out;
    if (auto sender = proto::parse_mailbox(config.delivery.dsn_envelope, false))
        out.mail_from = std::move(*sender);
    return out;
}

EntryUpdate without_notices(EntryUpdate update, const std::vector<Notice>& notices) {
    for (const Notice& notice : notices) {
        if (notice.action == proto::DsnAction::delayed) update.delay_notified = false;
        if (notice.action != proto::DsnAction::failed) continue;
        std::erase_if(update.done, [&](const EntryUpdate::RecipientDone& done) {
            return done.index == notice.recipient;
        });
        if (notice.reply.code >= 400) update.last_reply = last_word(notice.reply);
    }
    return update;
}

std::string notice_domain(const config::Config& config) {
    const std::string& contact = config.server.contact;
    const std::size_t at = contact.rfind('@');
    return at == std::string::npos ? config.server.hostname : contact.substr(at + 1);
}

NewEntry make_notice_entry(const config::Config& config, const NoticeSource& source,
                           const std::vector<Notice>& notices, const std::string& id,
                           const std::string& random, WallTime now) {
    const Original original = original_of(source.pieces);
    proto::DsnRequest request;
    request.hostname = config.server.hostname;
    request.from_domain = notice_domain(config);
    request.contact = config.server.contact;
    request.ref = source.ref;
    request.own_ref = id;
    request.unix_seconds = unix_seconds(now);
    request.arrival = unix_seconds(source.received);
    request.envelope = *source.envelope;
    request.header = std::string_view(original.text).substr(0, original.header);
    if (original.whole) request.body = std::string_view(original.text).substr(original.header);
    request.boundary = random;
    for (const Notice& notice : notices) {
        proto::DsnRecipient line;
        line.recipient = source.envelope->recipients[notice.recipient];
        line.action = notice.action;
        line.reply = notice.reply;
        line.remote_mta = host_of(config, notice.remote);
        line.reason = notice.reason;
        line.last_attempt = notice.remote.empty() ? 0 : unix_seconds(now);
        if (notice.action == proto::DsnAction::delayed) {
            line.will_retry_until =
                unix_seconds(source.received + std::chrono::duration_cast<WallTime::duration>(
                                                   config.delivery.retry.give_up));
        }
        request.recipients.push_back(std::move(line));
    }
    auto dsn = std::make_shared<proto::Dsn>(proto::make_dsn(request));
    NewEntry entry;
    entry.id = id;
    entry.ref = source.ref;
    entry.account = source.account;
    entry.customer = source.customer;
    entry.envelope = dsn->envelope;
    entry.message_id = "<" + id + "@" + config.server.hostname + ">";
    entry.dsn = true;
    entry.created = now;
    entry.next_attempt = now;
    entry.pieces.emplace_back(dsn->text);
    entry.keep = dsn;
    return entry;
}

void put_on_top(NewEntry& entry, std::string fields) {
    if (fields.empty()) return;
    struct Kept {
        std::string fields;
        std::shared_ptr<const void> rest;
    };
    const auto kept = std::make_shared<const Kept>(
        Kept{.fields = std::move(fields), .rest = std::move(entry.keep)});
    entry.pieces.insert(entry.pieces.begin(), kept->fields);
    entry.keep = kept;
}

}  // namespace postern::relay
