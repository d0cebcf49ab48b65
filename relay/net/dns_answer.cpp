#include "relay/net/dns_answer.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace postern::relay::net {

std::string_view name(Question question) noexcept {
    switch (question) {
        case Question::address:
            return "address";
        case Question::mx:
            return "mx";
        case Question::srv:
            break;
    }
    return "srv";
}

namespace {

constexpr std::uint16_t class_in = 1;
constexpr std::uint16_t type_cname = 5;
constexpr std::uint16_t type_mx = 15;
constexpr std::uint16_t type_srv = 33;
constexpr std::size_t header_octets = 12;
constexpr std::size_t longest_name = 255;  // RFC 1035 2.3.4
constexpr std::size_t most_records = 64;
constexpr std::size_t most_aliases = 16;

char lowered(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool of_a_host(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// Reads a message from front to back; what does not fit makes it bad, and all later reads empty.
class MessageReader {
  public:
    MessageReader(std::string_view message, std::size_t at) : message_(message), at_(at) {
        if (at_ > message_.size()) fail();
    }

    [[nodiscard]] bool bad() const noexcept { return bad_; }
    [[nodiscard]] std::size_t at() const noexcept { return at_; }

    std::uint16_t u16() {
        const std::uint32_t high = octet();
        return static_cast<std::uint16_t>(high << 8U | octet());
    }
    std::uint32_t u32() {
        const std::uint32_t high = u16();
        return high << 16U | u16();
    }
    void skip(std::size_t count) {
        if (bad_ || count > message_.size() - at_) return fail();
        at_ += count;
    }
    /// A name, its pointers followed (RFC 1035 4.1.4): each must lead further to the front than
    /// where it was met, so that they end.
    std::string host() {
        std::string out;
        bool usable = true;
        std::size_t octets = 1;
        std::size_t at = at_;
        std::size_t piece = at_;  // Where what is being read began.
        std::optional<std::size_t> behind;
        for (;;) {
            if (bad_ || at >= message_.size()) return failed_host();
            const auto size = static_cast<unsigned char>(message_[at]);
            if (size >= 0xc0) {
                if (at + 1 >= message_.size()) return failed_host();
                const std::size_t to = static_cast<std::size_t>(size & 0x3fU) << 8U |
                                       static_cast<unsigned char>(message_[at + 1]);
                if (!behind) behind = at + 2;
                if (to >= piece || to < header_octets) return failed_host();
                at = piece = to;
                continue;
            }
            if (size >= 0x40) return failed_host();
            ++at;
            if (size == 0) break;
            octets += std::size_t{size} + 1;
            if (octets > longest_name || size > message_.size() - at) return failed_host();
            if (!out.empty()) out += '.';
            for (const char c : message_.substr(at, size)) {
                out += lowered(c);
                usable = usable && of_a_host(lowered(c));
            }
            at += size;
        }
        at_ = behind.value_or(at);
        if (octets == 1) return ".";
        return usable ? out : std::string();
    }

  private:
    std::uint32_t octet() {
        if (bad_ || at_ >= message_.size()) {
            fail();
            return 0;
        }
        return static_cast<unsigned char>(message_[at_++]);
    }
    void fail() {
        bad_ = true;
        at_ = message_.size();
    }
    std::string failed_host() {
        fail();
        return {};
    }

    std::string_view message_;
    std::size_t at_;
    bool bad_ = false;
};

template <typename What>
struct Owned {
    std::string owner;
    std::chrono::seconds ttl;
    What what;
};

struct Found {
    std::vector<Owned<std::string>> aliases;
    std::vector<Owned<MailExchanger>> exchangers;
    std::vector<Owned<Service>> services;

    [[nodiscard]] bool full() const {
        return exchangers.size() + services.size() >= most_records || aliases.size() > most_aliases;
    }
};

/// One record; those that nobody asked for are passed over.
bool read_record(MessageReader& reader, Question question, Found& found) {
    std::string owner = reader.host();
    const std::uint16_t type = reader.u16();
    const std::uint16_t in = reader.u16();
    const std::uint32_t life = reader.u32();
    const std::size_t size = reader.u16();
    const std::size_t end = reader.at() + size;
    // A number with its first bit set is 0 (RFC 2181 8).
    const std::chrono::seconds ttl(life > 0x7fffffffU ? 0U : life);
    const auto whole = [&] { return !reader.bad() && reader.at() == end; };
    if (reader.bad()) return false;
    if (in == class_in && type == type_cname) {
        std::string to = reader.host();
        if (whole()) found.aliases.push_back({std::move(owner), ttl, std::move(to)});
        return whole();
    }
    if (in == class_in && type == type_mx && question == Question::mx) {
        MailExchanger one;
        one.preference = reader.u16();
        one.host = reader.host();
        if (whole()) found.exchangers.push_back({std::move(owner), ttl, std::move(one)});
        return whole();
    }
    if (in == class_in && type == type_srv && question == Question::srv) {
        Service one;
        one.priority = reader.u16();
        one.weight = reader.u16();
        one.port = reader.u16();
        one.host = reader.host();
        if (whole()) found.services.push_back({std::move(owner), ttl, std::move(one)});
        return whole();
    }
    reader.skip(size);
    return !reader.bad();
}

}  // namespace

boost::system::result<DnsAnswer> parse_answer(std::string_view message, Question question,
                                              std::string_view name) {
    MessageReader header(message, 0);
    header.skip(4);
    const std::size_t questions = header.u16();
    const std::size_t answers = header.u16();
    header.skip(4);
    MessageReader reader(message, header.at());
    for (std::size_t i = 0; i < questions && !reader.bad(); ++i) {
        (void)reader.host();
        reader.skip(4);
    }
    if (header.bad() || reader.bad()) return Error::dns_failed;
    Found found;
    for (std::size_t i = 0; i < answers && !found.full(); ++i) {
        if (!read_record(reader, question, found)) return Error::dns_failed;
    }
    DnsAnswer out{.exchangers = {}, .services = {}, .ttl = std::chrono::seconds::max()};
    std::string owner(name);
    std::ranges::transform(owner, owner.begin(), lowered);
    for (std::size_t hops = 0;; ++hops) {
        const auto alias = std::ranges::find(found.aliases, owner, &Owned<std::string>::owner);
        if (alias == found.aliases.end()) break;
        if (hops == most_aliases) return Error::dns_failed;
        owner = alias->what;
        out.ttl = std::min(out.ttl, alias->ttl);
    }
    const auto take = [&](const auto& from, auto& into) {
        for (const auto& one : from) {
            if (one.owner != owner) continue;
            into.push_back(one.what);
            out.ttl = std::min(out.ttl, one.ttl);
        }
    };
    take(found.exchangers, out.exchangers);
    take(found.services, out.services);
    if (out.exchangers.empty() && out.services.empty()) return Error::no_record;
    return out;
}

}  // namespace postern::relay::net
