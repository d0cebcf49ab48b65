#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "relay/descriptor.hpp"

namespace postern::relay::backup {

/// Why a backup cannot be made.
struct Failure {
    std::string text;
    bool refused = false;  ///< By what was asked for.
};
/// Lets boost::system::result<T, Failure>::value() throw; nothing in postern calls it unchecked.
[[noreturn]] void throw_exception_from_error(const Failure& failure,
                                             const boost::source_location& where);
template <class T>
using done = boost::system::result<T, Failure>;

/// "WHAT: what errno says"
[[nodiscard]] Failure failure_of_errno(const std::string& what);

struct File {
    std::string path;  ///< Within the backup.
    std::uint64_t bytes = 0;
    std::string sha256;  ///< Hex
};

/// The folder that a backup is written into. Whatever was made there goes again with this object,
/// unless keep() was reached.
class Target {
  public:
    /// Makes the folder, or takes an empty one.
    [[nodiscard]] static done<Target> open(const std::string& path);
    Target(Target&& other) noexcept = default;
    Target& operator=(Target&&) = delete;
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target();

    [[nodiscard]] done<void> make_folder(const std::string& name);
    /// The first `size` octets of `from` as a file that is synced. `stopping` is asked between
    /// pieces.
    [[nodiscard]] done<void> copy(int from, std::uint64_t size, const std::string& name,
                                  const std::function<bool()>& stopping);
    /// An empty file for somebody else to write by its path; finish() it then.
    [[nodiscard]] done<std::string> make_file(const std::string& name);
    [[nodiscard]] done<void> finish(const std::string& name, const std::function<bool()>& stopping);
    /// A small file, whole or not at all, and the last one.
    [[nodiscard]] done<void> seal(const std::string& name, std::string_view text);
    void keep() noexcept { made_.clear(); }

    [[nodiscard]] const std::vector<File>& files() const noexcept { return files_; }

  private:
    Target(std::string path, Descriptor folder)
        : path_(std::move(path)), folder_(std::move(folder)) {}
    [[nodiscard]] std::string whole(const std::string& name) const { return path_ + "/" + name; }

    struct Made {
        std::string path;
        bool folder = false;
    };
    std::string path_;
    Descriptor folder_;
    std::vector<Made> made_;  ///< In that order.
    std::vector<std::string> folders_;
    std::vector<File> files_;
};

}  // namespace postern::relay::backup
