#pragma once

#include <functional>
#include <string>

#include <boost/system/result.hpp>

#include "relay/spool/segment_log.hpp"

namespace postern::relay::spool {

/// Where things are below the spool's directory.
struct Layout {
    std::string root;
    [[nodiscard]] std::string bodies() const { return root + "/bodies"; }
    [[nodiscard]] std::string damaged() const { return root + "/damaged"; }
    [[nodiscard]] std::string body(std::string_view id) const {
        return bodies() + "/" + std::string(id);
    }
};

/// (id, where, why): something was damaged, and is set aside at `where` (or still where it was).
using DamageReport =
    std::function<void(const std::string& id, const std::string& where, const std::string& why)>;

/// Writes octets to a new file under damaged/; the path, or where they came from if that does not
/// work.
[[nodiscard]] std::string set_aside(FileSystem& fs, const Layout& layout, const std::string& name,
                                    std::span<const std::string_view> pieces);

/// Reads what is there into `ledger`, all entries scheduled. Removes unfinished files and bodies of
/// no entry. Error: the directory cannot be read; newer.
[[nodiscard]] boost::system::result<LogEnd> recover(FileSystem& fs, const Layout& layout,
                                                    Ledger& ledger, const DamageReport& damaged);

}  // namespace postern::relay::spool
