#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "policy/place.hpp"

namespace postern::relay::geo {

/// What is wrong with a file, as a sentence without its name.
struct Fault {
    std::string file, text;
};
/// Lets boost::system::result<T, Fault>::value() throw; nothing in postern calls it unchecked.
[[noreturn]] void throw_exception_from_error(const Fault& fault,
                                             const boost::source_location& where);

/// Files in MaxMind's format that tell of addresses, read whole into memory: a lookup touches no
/// disk, and what happens to the files later touches nothing here. Immutable; used by all threads.
class Database {
  public:
    /// Reads files as configured, each a database of networks (ASN) or of countries. Blocks.
    [[nodiscard]] static boost::system::result<std::shared_ptr<const Database>, Fault> open(
        const std::vector<std::string>& files);
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    ~Database();

    /// Of an IP literal, or of an IPv6 source ("2001:db8:0:1::/64"); what no file knows stays
    /// unset. Costs a microsecond or two and waits for nothing.
    [[nodiscard]] policy::Place find(std::string_view address) const;

  private:
    Database();
    struct File;
    std::vector<std::unique_ptr<File>> files_;
};
using DatabasePtr = std::shared_ptr<const Database>;

}  // namespace postern::relay::geo
