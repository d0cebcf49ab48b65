// The files of the key store: read with bounds, written whole or not at all.

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "proto/wipe.hpp"
#include "relay/dkim/key_store.hpp"

namespace postern::relay::dkim {

namespace {

constexpr std::size_t longest_pem = std::size_t{16} * 1024;

/// It must never have been another key's: resolvers remember records.
std::string fresh_selector(proto::DkimAlgorithm algorithm, const std::vector<IndexedKey>& beside,
                           KeyStore::Wall now) {
    const std::string base =
        fmt::format("{}{:%Y%m%d%H%M%S}", algorithm == proto::DkimAlgorithm::rsa ? 'r' : 'e',
                    fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
    std::string out = base;
    for (int n = 2; std::ranges::find(beside, out, &IndexedKey::selector) != beside.end(); ++n)
        out = fmt::format("{}-{}", base, n);
    return out;
}

}  // namespace

std::string KeyStore::folder_of(const std::string& domain) const {
    return folder_ + "/" + domain;
}

std::string KeyStore::key_file(const std::string& domain, const std::string& selector) const {
    return folder_of(domain) + "/" + selector + ".pem";
}

result<std::string> KeyStore::read(const std::string& path, std::size_t most) const {
    const auto file = files_.open(path, FileSystem::Mode::read);
    if (!file) return file.error();
    const auto info = (*file)->info();
    if (!info) return info.error();
    if (info->size > most) return KeyError::damaged;
    std::string text(info->size, '\0');
    const auto got = (*file)->read(0, std::span(text));
    if (!got) return got.error();
    text.resize(*got);
    return text;
}

result<KeyStore::Index> KeyStore::index_of(const std::string& domain) const {
    const auto text = read(folder_of(domain) + "/keys", longest_index);
    if (!text && text.error() == boost::system::errc::no_such_file_or_directory)
        return KeyError::no_keys;
    if (!text) return text.error();
    return read_index(*text);
}

result<ActiveKey> KeyStore::read_key(const std::string& domain, const IndexedKey& listed) const {
    auto text = read(key_file(domain, listed.selector), longest_pem);
    if (!text) return text.error();
    const proto::Secret pem(*text);
    proto::wipe(*text);
    auto key = SigningKey::read(pem.reveal(), listed.algorithm);
    if (!key) return key.error();
    // Signatures by another key than the published one would all be wrong.
    const auto record = key->record();
    if (!record) return record.error();
    if (*record != listed.value) return KeyError::damaged;
    return ActiveKey{.selector = listed.selector, .key = std::move(*key)};
}

boost::system::error_code KeyStore::write(const std::string& path, std::string_view text) {
    const auto file = files_.open(path, FileSystem::Mode::replace);
    if (!file) return file.error();
    const std::array<std::string_view, 1> pieces{text};
    if (const auto error = (*file)->write(0, pieces)) return error;
    return (*file)->sync_data();
}

boost::system::error_code KeyStore::write_index(const std::string& domain, const Index& index) {
    const std::string path = folder_of(domain) + "/keys";
    if (const auto error = write(path + ".new", index_text(index))) return error;
    if (const auto error = files_.rename(path + ".new", path)) return error;
    return files_.sync_directory(folder_of(domain));
}

result<IndexedKey> KeyStore::add_key(const std::string& domain, proto::DkimAlgorithm algorithm,
                                     const Index& beside, Wall now) {
    const auto key = SigningKey::make(algorithm);
    if (!key) return key.error();
    auto record = key->record();
    if (!record) return record.error();
    const auto pem = key->pem();
    if (!pem) return pem.error();
    IndexedKey out;
    out.selector = fresh_selector(algorithm, beside, now);
    out.algorithm = algorithm;
    out.created = std::chrono::floor<std::chrono::milliseconds>(now);
    out.value = std::move(*record);
    if (const auto error = write(key_file(domain, out.selector), pem->reveal())) return error;
    return out;
}

}  // namespace postern::relay::dkim
