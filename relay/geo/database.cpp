#include "relay/geo/database.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

#include "relay/descriptor.hpp"

namespace postern::relay::geo {

namespace {

template <class T>
using made = boost::system::result<T, Fault>;

/// The largest of MaxMind's own has a fifth of it.
constexpr std::uint64_t largest_file = 512ULL << 20U;
constexpr std::size_t step = std::size_t{1} << 20U;

std::string why(int error) {
    return std::generic_category().message(error);
}

/// A copy of the file in memory, as a descriptor. A file that is mapped itself would fault on the
/// disk in the middle of a login, and end the process where somebody shortens it in place.
made<Descriptor> copy_of(const std::string& path) {
    const auto fault = [&](std::string text) { return Fault{path, std::move(text)}; };
    const Descriptor from(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (from.get() < 0) return fault(fmt::format("cannot be read: {}", why(errno)));
    struct stat about{};
    if (::fstat(from.get(), &about) != 0)
        return fault(fmt::format("cannot be read: {}", why(errno)));
    if (!S_ISREG(about.st_mode)) return fault("is no file");
    if (static_cast<std::uint64_t>(about.st_size) > largest_file) {
        return fault(
            fmt::format("has {} MiB, and no database of networks or countries has more than {}",
                        about.st_size >> 20, largest_file >> 20U));
    }
    Descriptor to(::memfd_create("geoip", MFD_CLOEXEC));
    if (to.get() < 0) return fault(fmt::format("cannot be kept in memory: {}", why(errno)));
    std::vector<char> piece(
        std::min<std::size_t>(step, static_cast<std::size_t>(about.st_size) + 1));
    std::uint64_t copied = 0;
    for (;;) {
        const ssize_t got = ::read(from.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fault(fmt::format("cannot be read: {}", why(errno)));
        if (got == 0) return to;
        copied += static_cast<std::uint64_t>(got);
        if (copied > largest_file) return fault("grows while it is read");
        for (ssize_t written = 0; written < got;) {
            const ssize_t now =
                ::write(to.get(), piece.data() + written, static_cast<std::size_t>(got - written));
            if (now < 0 && errno == EINTR) continue;
            if (now < 0) return fault(fmt::format("cannot be kept in memory: {}", why(errno)));
            written += now;
        }
    }
}

bool says(std::string_view type, std::string_view word) {
    const auto same = [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    };
    return !std::ranges::search(type, word, same).empty();
}

/// An address as the library takes it.
struct Address {
    sockaddr_storage storage{};
    bool valid = false;

    explicit Address(std::string_view text) {
        const std::string host(text.substr(0, std::min(text.find('/'), text.size())));
        auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
        if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            valid = true;
        } else if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            valid = true;
        }
    }
};

}  // namespace

void throw_exception_from_error(const Fault& fault, const boost::source_location& /*where*/) {
    throw std::runtime_error(fault.file + ": " + fault.text);
}

struct Database::File {
    MMDB_s data{};
    bool networks = false;
    bool countries = false;

    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (data.file_content != nullptr) MMDB_close(&data);
    }

    [[nodiscard]] static made<std::unique_ptr<File>> open(const std::string& path) {
        auto copy = copy_of(path);
        if (!copy) return copy.error();
        auto file = std::make_unique<File>();
        const std::string place = fmt::format("/proc/self/fd/{}", copy->get());
        // The mapping outlives the descriptor.
        const int code = MMDB_open(place.c_str(), MMDB_MODE_MMAP, &file->data);
        if (code != MMDB_SUCCESS) {
            file->data.file_content = nullptr;  // The library has cleaned up.
            return Fault{path, code == MMDB_FILE_OPEN_ERROR
                                   ? std::string("cannot be opened: is /proc there?")
                                   : fmt::format("is no database in MaxMind's format: {}",
                                                 MMDB_strerror(code))};
        }
        const char* const named = file->data.metadata.database_type;
        const std::string_view type = named == nullptr ? "" : named;
        const bool all = says(type, "enterprise");
        file->networks = all || says(type, "asn") || says(type, "isp");
        file->countries = all || says(type, "country") || says(type, "city");
        if (!file->networks && !file->countries) {
            return Fault{path, fmt::format("is a database of type \"{}\", which tells of neither "
                                           "networks (ASN) nor countries",
                                           type.substr(0, 64))};
        }
        return file;
    }

    void tell(const Address& address, policy::Place& place) const {
        int error = MMDB_SUCCESS;
        MMDB_lookup_result_s found = MMDB_lookup_sockaddr(
            &data, reinterpret_cast<const sockaddr*>(&address.storage), &error);
        if (error != MMDB_SUCCESS || !found.found_entry) return;
        MMDB_entry_data_s value{};
        const auto get = [&](const char* const* path, std::uint32_t type) {
            return MMDB_aget_value(&found.entry, &value, path) == MMDB_SUCCESS && value.has_data &&
                   value.type == type;
        };
        constexpr std::array<const char*, 2> asn{"autonomous_system_number", nullptr};
        if (networks && place.asn == 0 && get(asn.data(), MMDB_DATA_TYPE_UINT32))
            place.asn = value.uint32;
        constexpr std::array<const char*, 3> country{"country", "iso_code", nullptr};
        if (countries && place.country.empty() && get(country.data(), MMDB_DATA_TYPE_UTF8_STRING) &&
            value.data_size == 2) {
            const std::string_view code(value.utf8_string, 2);
            if (std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; }))
                place.country = code;
        }
    }
};

Database::Database() = default;
Database::~Database() = default;

boost::system::result<DatabasePtr, Fault> Database::open(const std::vector<std::string>& files) {
    std::shared_ptr<Database> out(new Database);
    for (const std::string& path : files) {
        auto file = File::open(path);
        if (!file) return file.error();
        out->files_.push_back(std::move(*file));
    }
    return DatabasePtr(std::move(out));
}

policy::Place Database::find(std::string_view text) const {
    policy::Place place;
    const Address address(text);
    if (!address.valid) return place;
    for (const auto& file : files_) file->tell(address, place);
    return place;
}

}  // namespace postern::relay::geo
