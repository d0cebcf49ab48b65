#include "relay/admin/host_header.hpp"

#include <algorithm>

#include "relay/config/names.hpp"

namespace postern::relay::admin {

bool is_our_host(std::string_view header, std::string_view hostname) {
    const auto place = config::parse_host_port(header);
    if (!place) return false;
    return place->literal || place->host == "localhost" ||
           place->host == config::lower_case(hostname);
}

}  // namespace postern::relay::admin
