#include "relay/dkim/signing_desk.hpp"

#include "relay/net/offload.hpp"

namespace postern::relay::dkim {

awaitable<std::optional<std::string>> SigningDesk::sign(Wanted wanted,
                                                        std::vector<std::string_view> pieces) {
    // Most mail of a relay without keys never leaves its thread.
    if (!signer_.may_sign(wanted)) co_return std::string();
    struct Place {
        std::atomic<std::size_t>& waiting;
        const std::size_t before = waiting.fetch_add(1);
        ~Place() { waiting.fetch_sub(1); }
    } const place{waiting_};
    if (place.before >= most_waiting) {
        signer_.count(Signer::Outcome::overload);
        co_return std::nullopt;
    }
    co_return co_await net::offload(pool_, [&] { return signer_.sign(wanted, pieces); });
}

}  // namespace postern::relay::dkim
