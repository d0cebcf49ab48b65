#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/dkim/key_cache.hpp"
#include "relay/dkim/key_index.hpp"
#include "relay/spool/file.hpp"

namespace postern::relay::dkim {

/// The form in which a domain is looked up; unset where mail can come from no such domain.
[[nodiscard]] std::optional<std::string> domain_form(std::string_view domain);

/// A key as lists show it.
struct KeyInfo {
    std::string domain;
    IndexedKey key;
};

/// The signing keys of all domains: STATE/dkim/DOMAIN has a file `keys` that lists them, and
/// SELECTOR.pem for each. Nothing is read before it is asked for. Thread-safe.
class KeyStore {
  public:
    using Wall = std::chrono::system_clock::time_point;
    /// Hears of a file that is damaged or cannot be read, each time it was tried to read it.
    using Damage = std::function<void(const std::string& file, const std::string& why)>;

    /// `files` outlives this. `folder`: STATE/dkim; made with the first key.
    KeyStore(FileSystem& files, std::string folder, Damage damage, KeyCache::Bounds bounds = {});

    // For signing. `domain` in its form.
    /// What memory knows of it; null: nothing. Never blocks.
    [[nodiscard]] DomainKeysPtr known(const std::string& domain, KeyCache::Time now);
    /// Reads it where memory knows nothing. Never null; without keys where the domain has none.
    /// Blocks.
    [[nodiscard]] DomainKeysPtr load(const std::string& domain, KeyCache::Time now);

    // For commands, which block. A change is on stable storage once it answers, and the next mail
    // sees it.
    /// A key an algorithm: active where the domain has none that signs, else new. Those it made.
    [[nodiscard]] result<std::vector<KeyInfo>> make(
        std::string_view domain, std::span<const proto::DkimAlgorithm> algorithms, Wall now);
    /// New keys sign from now on, those that did are retired, and those that were retired go. The
    /// keys that are there now.
    [[nodiscard]] result<std::vector<KeyInfo>> rotate(std::string_view domain);
    /// All keys of the domain, damaged ones too. How many files.
    [[nodiscard]] result<std::size_t> remove(std::string_view domain);
    [[nodiscard]] result<std::vector<KeyInfo>> show(std::string_view domain) const;

    struct Page {
        std::vector<KeyInfo> items;
        std::optional<std::string> next;
    };
    /// Of these domains (none: all), in their order, behind what `cursor` names. Domains whose list
    /// is damaged are told as damage and left out.
    [[nodiscard]] result<Page> list(const std::vector<std::string>& domains,
                                    const std::string& cursor, std::size_t limit) const;
    /// Names of all domains that have a folder, sorted.
    [[nodiscard]] result<std::vector<std::string>> domains() const;

  private:
    using Index = std::vector<IndexedKey>;

    struct Trouble {
        std::string file, why;
    };
    [[nodiscard]] DomainKeysPtr read_keys(const std::string& domain,
                                          std::vector<Trouble>& troubles) const;
    [[nodiscard]] std::string folder_of(const std::string& domain) const;
    [[nodiscard]] std::string key_file(const std::string& domain,
                                       const std::string& selector) const;
    [[nodiscard]] result<std::string> read(const std::string& path, std::size_t most) const;
    [[nodiscard]] result<Index> index_of(const std::string& domain) const;
    [[nodiscard]] result<ActiveKey> read_key(const std::string& domain,
                                             const IndexedKey& listed) const;
    [[nodiscard]] boost::system::error_code write(const std::string& path, std::string_view text);
    [[nodiscard]] boost::system::error_code write_index(const std::string& domain,
                                                        const Index& index);
    [[nodiscard]] result<IndexedKey> add_key(const std::string& domain,
                                             proto::DkimAlgorithm algorithm, const Index& beside,
                                             Wall now);

    FileSystem& files_;
    std::string folder_;
    Damage damage_;
    KeyCache cache_;
    std::mutex changing_;  ///< One command at a time.
};

}  // namespace postern::relay::dkim
