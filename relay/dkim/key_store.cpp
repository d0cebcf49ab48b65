#include "relay/dkim/key_store.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "proto/address.hpp"
#include "relay/config/names.hpp"

namespace postern::relay::dkim {

namespace {

using boost::system::error_code;

bool is_missing(const error_code& error) noexcept {
    return error == boost::system::errc::no_such_file_or_directory;
}

std::vector<KeyInfo> with_domain(const std::string& domain, std::vector<IndexedKey> keys) {
    std::vector<KeyInfo> out;
    for (IndexedKey& key : keys) out.push_back({.domain = domain, .key = std::move(key)});
    return out;
}

bool any_in(const std::vector<IndexedKey>& keys, KeyState state) {
    return std::ranges::find(keys, state, &IndexedKey::state) != keys.end();
}

}  // namespace

std::optional<std::string> domain_form(std::string_view domain) {
    std::string out = proto::normalised_domain(domain);
    // No path can be made of what is left.
    if (!config::is_host_name(out)) return std::nullopt;
    return out;
}

KeyStore::KeyStore(FileSystem& files, std::string folder, Damage damage, KeyCache::Bounds bounds)
    : files_(files), folder_(std::move(folder)), damage_(std::move(damage)), cache_(bounds) {}

DomainKeysPtr KeyStore::known(const std::string& domain, KeyCache::Time now) {
    return cache_.find(domain, now);
}

DomainKeysPtr KeyStore::load(const std::string& domain, KeyCache::Time now) {
    if (auto known = cache_.find(domain, now)) return known;
    // A key may go while it is read, because of a command: then there is another list by now.
    constexpr int most_tries = 4;
    for (int tries = 1;; ++tries) {
        const std::uint64_t generation = cache_.generation();
        std::vector<Trouble> troubles;
        auto keys = read_keys(domain, troubles);
        if (!keys->whole() && tries < most_tries && cache_.generation() != generation) continue;
        for (const Trouble& one : troubles) damage_(one.file, one.why);
        cache_.put(keys, generation, now);
        return keys;
    }
}

DomainKeysPtr KeyStore::read_keys(const std::string& domain, std::vector<Trouble>& troubles) const {
    auto keys = std::make_shared<DomainKeys>();
    keys->domain = domain;
    const auto index = index_of(domain);
    if (!index && index.error() != KeyError::no_keys) {
        keys->unreadable = true;
        troubles.push_back({folder_of(domain) + "/keys", index.error().message()});
    }
    for (const IndexedKey& listed : index ? *index : Index()) {
        if (listed.state != KeyState::active) continue;
        auto key = read_key(domain, listed);
        if (key) {
            keys->active.push_back(std::move(*key));
        } else {
            keys->unusable.push_back(listed.algorithm);
            troubles.push_back({key_file(domain, listed.selector), key.error().message()});
        }
    }
    return keys;
}

result<std::vector<KeyInfo>> KeyStore::make(std::string_view domain,
                                            std::span<const proto::DkimAlgorithm> algorithms,
                                            Wall now) {
    const auto form = domain_form(domain);
    if (!form) return KeyError::invalid_domain;
    const std::set<proto::DkimAlgorithm> wanted(algorithms.begin(), algorithms.end());
    if (wanted.empty()) return KeyError::no_algorithm;
    const std::lock_guard lock(changing_);
    auto index = index_of(*form);
    if (!index && index.error() != KeyError::no_keys) return index.error();
    Index keys = index ? std::move(*index) : Index();
    if (any_in(keys, KeyState::fresh)) return KeyError::new_waits;
    // Room for what one command makes; a rotation takes the oldest away.
    if (keys.size() + wanted.size() > most_keys) return KeyError::new_waits;
    const KeyState state = any_in(keys, KeyState::active) ? KeyState::fresh : KeyState::active;
    for (const std::string& made : {folder_, folder_of(*form)}) {
        if (const auto error = files_.make_directory(made)) return error;
        const auto parent = std::filesystem::path(made).parent_path().string();
        if (const auto error = files_.sync_directory(parent)) return error;
    }
    Index added;
    for (const proto::DkimAlgorithm algorithm : wanted) {
        auto one = add_key(*form, algorithm, keys, now);
        if (!one) return one.error();
        one->state = state;
        keys.push_back(*one);
        added.push_back(std::move(*one));
    }
    // The keys are there before the list that names them.
    if (const auto error = files_.sync_directory(folder_of(*form))) return error;
    const auto error = write_index(*form, keys);
    cache_.forget(*form);
    if (error) return error;
    return with_domain(*form, std::move(added));
}

result<std::vector<KeyInfo>> KeyStore::rotate(std::string_view domain) {
    const auto form = domain_form(domain);
    if (!form) return KeyError::invalid_domain;
    const std::lock_guard lock(changing_);
    const auto before = index_of(*form);
    if (!before) return before.error();
    if (!any_in(*before, KeyState::fresh)) return KeyError::nothing_new;
    Index keys;
    for (IndexedKey key : *before) {
        if (key.state == KeyState::retired) continue;
        key.state = key.state == KeyState::fresh ? KeyState::active : KeyState::retired;
        keys.push_back(std::move(key));
    }
    const auto error = write_index(*form, keys);
    cache_.forget(*form);
    if (error) return error;
    // What is left of them after a failure here is a file that nothing names.
    for (const IndexedKey& key : *before) {
        if (key.state == KeyState::retired) (void)files_.unlink(key_file(*form, key.selector));
    }
    return with_domain(*form, std::move(keys));
}

result<std::size_t> KeyStore::remove(std::string_view domain) {
    const auto form = domain_form(domain);
    if (!form) return KeyError::invalid_domain;
    const std::lock_guard lock(changing_);
    const std::string folder = folder_of(*form);
    const auto names = files_.list(folder);
    if (!names) return is_missing(names.error()) ? error_code(KeyError::no_keys) : names.error();
    const auto index = index_of(*form);
    // The list first: keys without it are none.
    const auto error = files_.unlink(folder + "/keys");
    cache_.forget(*form);
    if (error && !is_missing(error)) return error;
    if (const auto synced = files_.sync_directory(folder)) return synced;
    for (const FileSystem::Name& file : *names) {
        if (file.name == "keys") continue;
        if (const auto gone = files_.unlink(folder + "/" + file.name); gone && !is_missing(gone))
            return gone;
    }
    // Not where somebody else keeps something there.
    (void)::rmdir(folder.c_str());
    (void)files_.sync_directory(folder_);
    if (names->empty()) return KeyError::no_keys;
    return index ? index->size() : names->size();
}

result<std::vector<KeyInfo>> KeyStore::show(std::string_view domain) const {
    const auto form = domain_form(domain);
    if (!form) return KeyError::invalid_domain;
    auto index = index_of(*form);
    if (!index) return index.error();
    return with_domain(*form, std::move(*index));
}

result<std::vector<std::string>> KeyStore::domains() const {
    std::vector<std::string> out;
    std::error_code error;
    for (auto at = std::filesystem::directory_iterator(folder_, error);
         !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
        std::string name = at->path().filename().string();
        std::error_code gone;
        if (at->is_directory(gone) && domain_form(name) == name) out.push_back(std::move(name));
    }
    if (error == std::errc::no_such_file_or_directory) return std::vector<std::string>();
    if (error) return error_code(error.value(), boost::system::system_category());
    std::ranges::sort(out);
    return out;
}

result<KeyStore::Page> KeyStore::list(const std::vector<std::string>& wanted,
                                      const std::string& cursor, std::size_t limit) const {
    std::vector<std::string> names;
    if (wanted.empty()) {
        auto all = domains();
        if (!all) return all.error();
        names = std::move(*all);
    } else {
        std::set<std::string> once;
        for (const std::string& one : wanted) {
            auto form = domain_form(one);
            if (!form) return KeyError::invalid_domain;
            once.insert(std::move(*form));
        }
        names.assign(once.begin(), once.end());
    }
    // DOMAIN/SELECTOR of the last one seen.
    const std::string seen_domain = cursor.substr(0, cursor.find('/'));
    const std::string seen_selector =
        cursor.substr(std::min(cursor.size(), seen_domain.size() + 1));
    Page page;
    for (const std::string& domain : names) {
        if (domain < seen_domain) continue;
        const auto index = index_of(domain);
        if (!index) {
            if (index.error() != KeyError::no_keys)
                damage_(folder_of(domain) + "/keys", index.error().message());
            continue;
        }
        auto from = index->begin();
        if (domain == seen_domain) {
            const auto seen = std::ranges::find(*index, seen_selector, &IndexedKey::selector);
            if (seen != index->end()) from = seen + 1;
        }
        for (; from != index->end(); ++from) {
            if (page.items.size() == limit) {
                const KeyInfo& last = page.items.back();
                page.next = last.domain + "/" + last.key.selector;
                return page;
            }
            page.items.push_back({.domain = domain, .key = *from});
        }
    }
    return page;
}

}  // namespace postern::relay::dkim
