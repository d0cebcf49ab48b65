#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "relay/dkim/key_store.hpp"
#include "relay/event/event.hpp"
#include "tests/catch.hpp"

namespace postern::test {

using proto::DkimAlgorithm;

/// A folder of its own, gone at the end.
class Folder {
  public:
    Folder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "postern-dkim-XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

/// Keeps what was emitted; from any thread.
class Kept final : public relay::event::Stream {
  public:
    void emit(relay::event::Payload what) noexcept override {
        const std::lock_guard lock(mutex_);
        all_.push_back(std::move(what));
    }
    [[nodiscard]] std::vector<std::string> logged() const {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> out;
        for (const auto& one : all_) {
            if (const auto* log = std::get_if<relay::event::Log>(&one)) out.push_back(log->text);
        }
        return out;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<relay::event::Payload> all_;
};

/// A store over a folder of its own.
struct Bench {
    Folder folder;
    std::unique_ptr<relay::FileSystem> files = relay::posix_file_system();
    std::mutex damage_mutex;
    std::vector<std::string> damage;  ///< "FILE: WHY", the file within the folder.
    relay::dkim::KeyStore store;
    std::chrono::steady_clock::time_point steady{std::chrono::hours(1000)};
    std::chrono::system_clock::time_point wall{std::chrono::seconds(1'700'000'000)};

    explicit Bench(relay::dkim::KeyCache::Bounds bounds = {}) : store(open(bounds)) {}

    [[nodiscard]] std::string root() const { return folder.path() + "/dkim"; }
    [[nodiscard]] relay::dkim::KeyStore open(relay::dkim::KeyCache::Bounds bounds = {}) {
        return {*files, root(),
                [this](const std::string& file, const std::string& why) {
                    const std::lock_guard lock(damage_mutex);
                    damage.push_back(file.substr(root().size() + 1) + ": " + why);
                },
                bounds};
    }
    [[nodiscard]] std::vector<relay::dkim::KeyInfo> make(const std::string& domain,
                                                         std::vector<DkimAlgorithm> algorithms = {
                                                             DkimAlgorithm::ed25519}) {
        wall += std::chrono::seconds(1);
        auto made = store.make(domain, algorithms, wall);
        REQUIRE(made.has_value());
        return *made;
    }
    /// "SELECTOR state" of each key.
    [[nodiscard]] std::vector<std::string> states(const std::string& domain) const {
        std::vector<std::string> out;
        const auto keys = store.show(domain);
        if (!keys) return {keys.error().message()};
        for (const auto& one : *keys)
            out.push_back(one.key.selector + " " + std::string(relay::dkim::name(one.key.state)));
        return out;
    }
    [[nodiscard]] std::vector<std::string> signing(const std::string& domain) {
        std::vector<std::string> out;
        for (const auto& one : store.load(domain, steady)->active) out.push_back(one.selector);
        return out;
    }
    [[nodiscard]] std::string file(const std::string& name) const { return root() + "/" + name; }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(file(name), std::ios::binary) << text;
    }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::ifstream in(file(name), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
};

}  // namespace postern::test
