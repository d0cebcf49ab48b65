#include "relay/spool/record.hpp"

#include <algorithm>
#include <utility>

#include "relay/spool/bytes.hpp"
#include "relay/spool/checksum.hpp"

namespace postern::relay::spool {
namespace {

constexpr std::uint8_t flag_dsn = 1;
constexpr std::uint8_t flag_null_sender = 2;
constexpr std::uint8_t flag_smtputf8 = 4;
constexpr std::uint8_t flag_source = 8;

// Of a state. A hold is its state, so that a version that knows no more of it holds it, too.
constexpr std::uint8_t flag_delay_notified = 1;
constexpr std::uint8_t flag_in_doubt_beneath = 2;
constexpr std::uint8_t flag_rerouted = 4;

constexpr std::uint8_t notify_asked = 1;
constexpr std::uint8_t notify_never = 2;
constexpr std::uint8_t notify_success = 4;
constexpr std::uint8_t notify_failure = 8;
constexpr std::uint8_t notify_delay = 16;

/// Appends one record: leaves room for its check, and fills it in at the end.
template <class Content>
void with_check(std::string& out, Content content) {
    const std::size_t at = out.size();
    put_u32(out, 0);
    content();
    const std::uint32_t check = crc32c(std::string_view(out).substr(at + record_check_size));
    std::string front;
    put_u32(front, check);
    out.replace(at, front.size(), front);
}

std::uint8_t notify_bits(const std::optional<proto::Notify>& n) noexcept {
    if (!n) return 0;
    unsigned bits = notify_asked;
    if (n->never) bits |= notify_never;
    if (n->success) bits |= notify_success;
    if (n->failure) bits |= notify_failure;
    if (n->delay) bits |= notify_delay;
    return static_cast<std::uint8_t>(bits);
}

std::optional<proto::Notify> notify_from(std::uint8_t bits) noexcept {
    if ((bits & notify_asked) == 0) return std::nullopt;
    return proto::Notify{.never = (bits & notify_never) != 0,
                         .success = (bits & notify_success) != 0,
                         .failure = (bits & notify_failure) != 0,
                         .delay = (bits & notify_delay) != 0};
}

void put_time(std::string& out, WallTime t) {
    put_u64(out, static_cast<std::uint64_t>(to_disk(t)));
}
WallTime get_time(ByteReader& in) noexcept {
    return from_disk(static_cast<std::int64_t>(in.u64()));
}

template <class Enum>
Enum get_enum(ByteReader& in, Enum last) noexcept {
    const std::uint8_t v = in.u8();
    if (v > static_cast<std::uint8_t>(last)) {
        in.fail();
        return Enum{};
    }
    return static_cast<Enum>(v);
}

std::string get_id(ByteReader& in) {
    const std::string_view id = in.text();
    if (!valid_id(id)) {
        in.fail();
        return {};
    }
    return std::string(id);
}

void put_envelope(std::string& out, const proto::Envelope& e) {
    put_text(out, e.mail_from ? std::string_view(e.mail_from->local) : std::string_view{});
    put_text(out, e.mail_from ? std::string_view(e.mail_from->domain) : std::string_view{});
    put_u64(out, e.declared_size);
    put_u8(out, static_cast<std::uint8_t>(e.body));
    put_u8(out, static_cast<std::uint8_t>(e.ret));
    put_text(out, e.envid);
    put_u32(out, static_cast<std::uint32_t>(e.recipients.size()));
    for (const proto::Recipient& r : e.recipients) {
        put_text(out, r.address.local);
        put_text(out, r.address.domain);
        put_u8(out, notify_bits(r.notify));
        put_text(out, r.orcpt);
    }
}

proto::Envelope get_envelope(ByteReader& in, std::uint8_t flags) {
    proto::Envelope e;
    proto::Address sender{std::string(in.text()), std::string(in.text())};
    if ((flags & flag_null_sender) == 0) e.mail_from = std::move(sender);
    e.declared_size = in.u64();
    e.body = get_enum(in, proto::Body::eight_bit_mime);
    e.ret = get_enum(in, proto::Ret::headers);
    e.smtputf8 = (flags & flag_smtputf8) != 0;
    e.envid = in.text();
    const std::uint32_t n = in.count(13);
    e.recipients.reserve(n);
    for (std::uint32_t i = 0; i < n && in.ok(); ++i) {
        proto::Recipient r;
        r.address.local = in.text();
        r.address.domain = in.text();
        r.notify = notify_from(in.u8());
        r.orcpt = in.text();
        e.recipients.push_back(std::move(r));
    }
    return e;
}

void put_list(std::string& out, const std::vector<std::string>& list) {
    put_u32(out, static_cast<std::uint32_t>(list.size()));
    for (const std::string& s : list) put_text(out, s);
}

std::vector<std::string> get_list(ByteReader& in) {
    std::vector<std::string> out;
    const std::uint32_t n = in.count(4);
    for (std::uint32_t i = 0; i < n && in.ok(); ++i) out.emplace_back(in.text());
    return out;
}

}  // namespace

bool valid_id(std::string_view id) noexcept {
    return !id.empty() && id.size() <= max_id && std::ranges::all_of(id, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               c == '-' || c == '_';
    });
}

std::int64_t to_disk(WallTime t) noexcept {
    return std::chrono::floor<std::chrono::microseconds>(t.time_since_epoch()).count();
}

WallTime from_disk(std::int64_t us) noexcept {
    using Limit = std::chrono::duration<std::int64_t, std::micro>;
    constexpr auto most = std::chrono::floor<Limit>(WallTime::max().time_since_epoch()).count();
    constexpr auto least = std::chrono::ceil<Limit>(WallTime::min().time_since_epoch()).count();
    return WallTime(
        std::chrono::duration_cast<WallTime::duration>(Limit(std::clamp(us, least, most))));
}

void encode_entry(const NewEntry& entry, const BodyPlace& body, std::string& out) {
    with_check(out, [&] {
        put_text(out, entry.id);
        put_text(out, entry.ref);
        put_text(out, entry.account);
        put_text(out, entry.customer);
        unsigned flags = 0;
        if (entry.dsn) flags |= flag_dsn;
        if (!entry.envelope.mail_from) flags |= flag_null_sender;
        if (entry.envelope.smtputf8) flags |= flag_smtputf8;
        if (!entry.source.empty()) flags |= flag_source;
        put_u8(out, static_cast<std::uint8_t>(flags));
        put_u8(out, static_cast<std::uint8_t>(entry.state));
        put_time(out, entry.created);
        put_time(out, entry.next_attempt);
        put_u32(out, entry.attempts);
        put_u8(out, static_cast<std::uint8_t>(body.kind));
        put_u64(out, body.size);
        put_u32(out, body.check);
        put_text(out, entry.message_id);
        put_text(out, entry.upstream);
        put_text(out, entry.last_reply);
        put_envelope(out, entry.envelope);
        if (!entry.source.empty()) put_text(out, entry.source);
    });
}

std::optional<EntryRecord> decode_entry(std::string_view record) {
    const auto content = checked(record);
    if (!content) return std::nullopt;
    ByteReader in(*content);
    EntryRecord r;
    r.entry.id = get_id(in);
    r.entry.ref = in.text();
    r.entry.account = in.text();
    r.entry.customer = in.text();
    const std::uint8_t flags = in.u8();
    r.entry.dsn = (flags & flag_dsn) != 0;
    r.entry.state = get_enum(in, EntryState::damaged);
    r.entry.created = get_time(in);
    r.entry.next_attempt = get_time(in);
    r.entry.attempts = in.u32();
    r.body.kind = get_enum(in, BodyPlace::Kind::lost);
    r.body.size = in.u64();
    r.body.check = in.u32();
    r.entry.message_id = in.text();
    r.entry.upstream = in.text();
    r.entry.last_reply = in.text();
    r.entry.envelope = get_envelope(in, flags);
    if ((flags & flag_source) != 0) r.entry.source = in.text();
    if (!in.done() || r.entry.envelope.recipients.empty()) return std::nullopt;
    return r;
}

void encode_state(const StateRecord& s, std::string& out) {
    with_check(out, [&] {
        const bool held = s.held && s.state != EntryState::damaged;
        unsigned flags = 0;
        if (s.delay_notified) flags |= flag_delay_notified;
        if (held && s.state == EntryState::in_doubt) flags |= flag_in_doubt_beneath;
        if (s.rerouted) flags |= flag_rerouted;
        put_text(out, s.id);
        put_u8(out, static_cast<std::uint8_t>(held ? EntryState::held : s.state));
        put_time(out, s.next_attempt);
        put_u32(out, s.attempts);
        put_text(out, s.upstream);
        put_text(out, s.last_reply);
        put_text(out, s.reason);
        put_u8(out, static_cast<std::uint8_t>(flags));
        put_u32(out, static_cast<std::uint32_t>(s.settled.size()));
        for (const std::uint32_t i : s.settled) put_u32(out, i);
    });
}

std::optional<StateRecord> decode_state(std::string_view record) {
    const auto content = checked(record);
    if (!content) return std::nullopt;
    ByteReader in(*content);
    StateRecord s;
    s.id = get_id(in);
    s.state = get_enum(in, EntryState::damaged);
    s.next_attempt = get_time(in);
    s.attempts = in.u32();
    s.upstream = in.text();
    s.last_reply = in.text();
    s.reason = in.text();
    const std::uint8_t flags = in.u8();
    s.delay_notified = (flags & flag_delay_notified) != 0;
    s.rerouted = (flags & flag_rerouted) != 0;
    s.held = s.state == EntryState::held;
    if (s.held) {
        const bool doubt = (flags & flag_in_doubt_beneath) != 0;
        s.state = doubt ? EntryState::in_doubt : EntryState::deferred;
    }
    const std::uint32_t n = in.count(4);
    s.settled.reserve(n);
    for (std::uint32_t i = 0; i < n; ++i) s.settled.push_back(in.u32());
    if (!in.done()) return std::nullopt;
    return s;
}

void encode_end(const EndRecord& end, std::string& out) {
    with_check(out, [&] {
        put_text(out, end.id);
        put_u32(out, end.segment);
        put_text(out, end.reason);
    });
}

std::optional<EndRecord> decode_end(std::string_view record) {
    const auto content = checked(record);
    if (!content) return std::nullopt;
    ByteReader in(*content);
    EndRecord end;
    end.id = get_id(in);
    end.segment = in.u32();
    end.reason = in.text();
    if (!in.done()) return std::nullopt;
    return end;
}

void encode_opening(const OpeningRecord& o, std::string& out) {
    with_check(out, [&] {
        put_u32(out, o.segment);
        put_u32(out, o.seals);
        put_u64(out, o.sealed_size);
        put_list(out, o.frozen);
    });
}

std::optional<OpeningRecord> decode_opening(std::string_view record) {
    const auto content = checked(record);
    if (!content) return std::nullopt;
    ByteReader in(*content);
    OpeningRecord o;
    o.segment = in.u32();
    o.seals = in.u32();
    o.sealed_size = in.u64();
    o.frozen = get_list(in);
    if (!in.done()) return std::nullopt;
    return o;
}

void encode_frozen(const std::vector<std::string>& accounts, std::string& out) {
    with_check(out, [&] { put_list(out, accounts); });
}

std::optional<std::vector<std::string>> decode_frozen(std::string_view record) {
    const auto content = checked(record);
    if (!content) return std::nullopt;
    ByteReader in(*content);
    std::vector<std::string> accounts = get_list(in);
    if (!in.done()) return std::nullopt;
    return accounts;
}

std::optional<std::string_view> checked(std::string_view record) noexcept {
    if (record.size() < record_check_size) return std::nullopt;
    ByteReader in(record.substr(0, record_check_size));
    const std::string_view content = record.substr(record_check_size);
    if (in.u32() != crc32c(content)) return std::nullopt;
    return content;
}

std::string id_of_damaged(std::string_view record) {
    if (record.size() < record_check_size) return {};
    ByteReader in(record.substr(record_check_size));
    return get_id(in);
}

}  // namespace postern::relay::spool
