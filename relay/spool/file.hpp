#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace postern::relay {

/// Offsets and lengths of this many octets are whole blocks.
inline constexpr std::uint64_t file_block = 4096;

/// An open file. Calls block. One thread writes a file; any thread may read it meanwhile.
class File {
  public:
    virtual ~File() = default;

    /// Writes all pieces, one after the other, from `offset` on. After an error any part of them
    /// may be there.
    [[nodiscard]] virtual boost::system::error_code write(
        std::uint64_t offset, std::span<const std::string_view> pieces) = 0;
    /// Fills `into` from `offset` on; fewer octets only at the end of the file.
    [[nodiscard]] virtual boost::system::result<std::size_t> read(std::uint64_t offset,
                                                                  std::span<char> into) const = 0;
    /// fdatasync: what was written, and the size, is on stable storage once this says success.
    /// After an error nobody knows what is (the kernel forgets it): the file is not to be trusted
    /// again.
    [[nodiscard]] virtual boost::system::error_code sync_data() = 0;
    /// Allocates blocks for the range, growing the file. Their content is unwritten (reads as
    /// zero).
    [[nodiscard]] virtual boost::system::error_code preallocate(std::uint64_t offset,
                                                                std::uint64_t length) = 0;
    [[nodiscard]] virtual boost::system::error_code truncate(std::uint64_t size) = 0;
    /// Lets go of what only writing needs: nothing will be written any more.
    virtual void written() noexcept {}

    struct Info {
        std::uint64_t size = 0;   ///< Octets.
        std::uint64_t links = 0;  ///< Names it has; 0: unlinked.
    };
    [[nodiscard]] virtual boost::system::result<Info> info() const = 0;
};

/// Everything that the spool does to a disk goes through here, so that a test can lose, tear and
/// reorder what was not synced. Thread-safe. Errors are those of the system (errno, generic or
/// system category).
class FileSystem {
  public:
    virtual ~FileSystem() = default;

    enum class Mode : std::uint8_t {
        read,     ///< Must exist.
        write,    ///< Must exist; read and write.
        direct,   ///< Likewise; writes of whole blocks go past the page cache where that is
                  ///< possible.
        replace,  ///< Made, or emptied; read and write. Mode 0600.
    };
    [[nodiscard]] virtual boost::system::result<std::unique_ptr<File>> open(const std::string& path,
                                                                            Mode mode) = 0;

    /// Makes the names in a directory durable.
    [[nodiscard]] virtual boost::system::error_code sync_directory(const std::string& path) = 0;
    /// Replaces `to` where it exists.
    [[nodiscard]] virtual boost::system::error_code rename(const std::string& from,
                                                           const std::string& to) = 0;
    [[nodiscard]] virtual boost::system::error_code unlink(const std::string& path) = 0;
    /// Mode 0700. No error where it is a directory already.
    [[nodiscard]] virtual boost::system::error_code make_directory(const std::string& path) = 0;

    struct Name {
        std::string name;
        std::uint64_t size = 0;
    };
    /// The regular files of a directory, in no order.
    [[nodiscard]] virtual boost::system::result<std::vector<Name>> list(
        const std::string& path) = 0;

    /// Octets that this process may still write to the volume of `path`.
    [[nodiscard]] virtual boost::system::result<std::uint64_t> free_space(
        const std::string& path) = 0;
};

/// The real one.
[[nodiscard]] std::unique_ptr<FileSystem> posix_file_system();

}  // namespace postern::relay
