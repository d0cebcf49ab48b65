// Any octets as a name server's answer. Property: it ends, what is taken is bounded, and hosts are
// such as can be asked for, or are told as such.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "relay/net/dns_answer.hpp"

using namespace postern::relay::net;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void check_host(std::string_view host) {
    if (host.empty() || host == ".") return;
    require(host.size() <= 253);
    require(std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view message(reinterpret_cast<const char*>(data), size);
    for (const Question question : {Question::mx, Question::srv}) {
        const auto found = parse_answer(message, question, "a.example");
        if (!found) continue;
        require(!found->exchangers.empty() || !found->services.empty());
        require(found->exchangers.size() + found->services.size() <= 64);
        require(found->ttl.count() >= 0);
        for (const MailExchanger& one : found->exchangers) check_host(one.host);
        for (const Service& one : found->services) check_host(one.host);
    }
    return 0;
}
