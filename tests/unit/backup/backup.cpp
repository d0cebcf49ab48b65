#include "relay/backup/backup.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>

#include "auth/digest.hpp"
#include "tests/catch.hpp"

using namespace postern;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, std::string_view text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
}

std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A state with something of everything.
struct World {
    fs::path folder;
    fs::path state;
    std::unique_ptr<auth::AccountStore> store;
    std::function<bool()> stopping;

    World() {
        std::string name = (fs::temp_directory_path() / "postern-backup-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder = name;
        state = folder / "state";
        write(state / "keys" / "fake_salt.key", std::string(32, 'k'));
        write(state / "events" / "2026-03-01.1.jsonl", "{\"a\":1}\n{\"b\":2}\n");
        write(state / "events" / "2026-03-02.1.jsonl", "{\"c\":3}\n{\"d\":");
        write(state / "dkim" / "example.net" / "a.key", "key");
        write(state / "spool" / "0000000001.seg", "mail");
        write(state / "lock", "{}");
        write(state / "guard.snap", "snap");
        fs::create_symlink("/etc/hostname", state / "keys" / "link");
        auth::StoreSettings settings;
        settings.path = state / "accounts.db";
        auto opened = auth::AccountStore::open(std::move(settings));
        REQUIRE(opened.has_value());
        store = std::move(*opened);
        auth::NewAccount ann;
        ann.name = "ann@example.net";
        REQUIRE(store->add(ann, auth::Time{}).has_value());
    }
    ~World() {
        store.reset();
        fs::remove_all(folder);
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    [[nodiscard]] relay::backup::Outcome make(const fs::path& to) const {
        relay::backup::Maker maker({.state = state.string(),
                                    .accounts = *store,
                                    .flush = {},
                                    .stopping = stopping,
                                    .version = "1.2.3",
                                    .commit = "abc"});
        return maker.make(to.string());
    }
};

/// Files of a folder by their path in it.
std::map<std::string, std::string> tree(const fs::path& folder) {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file())
            out.emplace(fs::relative(entry.path(), folder).string(), read(entry.path()));
    }
    return out;
}

}  // namespace

TEST_CASE("a backup holds what has to be kept, whole lines of it, with checksums") {
    const World w;
    const fs::path to = w.folder / "copy";
    const auto made = w.make(to);
    REQUIRE(made.error == "");
    CHECK(made.ok);
    auto files = tree(to);
    CHECK(made.files + 1 == files.size());
    CHECK(files["keys/fake_salt.key"] == std::string(32, 'k'));
    CHECK(files["dkim/example.net/a.key"] == "key");
    CHECK(files["events/2026-03-01.1.jsonl"] == "{\"a\":1}\n{\"b\":2}\n");
    CHECK(files["events/2026-03-02.1.jsonl"] == "{\"c\":3}\n");
    for (const char* const left_out :
         {"lock", "guard.snap", "spool/0000000001.seg", "keys/link", "accounts.db-wal"})
        CHECK_FALSE(files.contains(left_out));
    for (const auto& entry : fs::recursive_directory_iterator(to)) {
        struct stat about{};
        REQUIRE(::stat(entry.path().c_str(), &about) == 0);
        CHECK((about.st_mode & 0777U) == (entry.is_directory() ? 0700U : 0600U));
    }

    const auto manifest = nlohmann::json::parse(files["MANIFEST"]);
    CHECK(manifest["version"] == "1.2.3");
    CHECK(manifest["schema"].get<int>() >= 4);
    std::uint64_t bytes = 0;
    for (const auto& file : manifest["files"]) {
        const std::string& content = files.at(file["path"].get<std::string>());
        CHECK(file["bytes"] == content.size());
        CHECK(file["sha256"] == auth::hex(auth::view(auth::sha256(content))));
        bytes += content.size();
    }
    CHECK(manifest["files"].size() == made.files);
    CHECK(bytes == made.bytes);

    auth::StoreSettings settings;
    settings.path = to / "accounts.db";
    auto restored = auth::AccountStore::open(std::move(settings));
    REQUIRE(restored.has_value());
    CHECK((*restored)->find("ann@example.net").has_value());
}

TEST_CASE("a place that does not fit is refused, and what was there stays") {
    const World w;
    write(w.folder / "full" / "x", "x");
    write(w.folder / "file", "x");
    fs::create_directory(w.folder / "empty");
    fs::create_directory_symlink(w.folder / "empty", w.folder / "link");
    const struct {
        fs::path to;
        std::string_view says;
    } table[] = {{w.folder / "full", "is not empty"},
                 {w.folder / "file", "Not a directory"},
                 {w.folder / "link", ""},
                 {w.folder / "none" / "deeper", "No such file"},
                 {w.state, "is within"},
                 {w.state / "events" / "copy", "is within"}};
    for (const auto& [to, says] : table) {
        INFO(to.string());
        const auto made = w.make(to);
        CHECK_FALSE(made.ok);
        CHECK(made.refused);
        CHECK(made.error.contains(says));
        CHECK_FALSE(fs::exists(to / "MANIFEST"));
    }
    CHECK(read(w.folder / "full" / "x") == "x");
    CHECK(w.make(w.folder / "empty").ok);
}

TEST_CASE("one that is broken off leaves nothing behind") {
    World w;
    for (int after = 0; after < 12; ++after) {
        int asked = 0;
        w.stopping = [&] { return asked++ >= after; };
        const fs::path to = w.folder / "copy";
        const auto made = w.make(to);
        if (made.ok) {
            CHECK(after > 2);
            break;
        }
        CHECK(made.refused);
        CHECK(made.error.contains("shutting down"));
        CHECK_FALSE(fs::exists(to));
        // A folder that was there stays, and stays empty.
        fs::create_directory(to);
        asked = 0;
        CHECK_FALSE(w.make(to).ok);
        CHECK(fs::is_empty(to));
        fs::remove(to);
    }
}

TEST_CASE("one backup at a time") {
    World w;
    relay::backup::Maker* self = nullptr;
    relay::backup::Outcome second;
    relay::backup::Maker maker({.state = w.state.string(),
                                .accounts = *w.store,
                                .flush = [&] { second = self->make((w.folder / "b").string()); },
                                .stopping = {},
                                .version = "1",
                                .commit = "a"});
    self = &maker;
    CHECK(maker.make((w.folder / "a").string()).ok);
    CHECK_FALSE(second.ok);
    CHECK(second.refused);
    CHECK_FALSE(fs::exists(w.folder / "b"));
}
