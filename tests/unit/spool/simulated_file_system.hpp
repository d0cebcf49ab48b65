#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "relay/spool/file.hpp"

namespace postern::test {

using boost::system::error_code;
using boost::system::result;

/// A file system in memory that remembers what was synced and what was not, fails when told to, and
/// can be cut off at any call: then unsynced sectors are there, or not, or torn, and unsynced names
/// likewise, in any order.
class SimulatedFileSystem final : public relay::FileSystem {
  public:
    enum class Call : std::uint8_t {
        open,
        write,
        read,
        sync,
        preallocate,
        truncate,
        sync_directory,
        rename,
        unlink,
        list
    };
    struct Event {
        Call call;
        std::string path;
    };
    /// Called before each call is carried out, with the lock held; what it returns is the call's
    /// result.
    using Hook = std::function<error_code(const Event&)>;

    explicit SimulatedFileSystem(std::uint32_t seed = 1) : random_(seed) {}

    void set_hook(Hook hook) {
        const std::lock_guard lock(state_->mutex);
        state_->hook = std::move(hook);
    }
    void set_capacity(std::uint64_t octets) {
        const std::lock_guard lock(state_->mutex);
        state_->capacity = octets;
    }
    [[nodiscard]] std::vector<Event> events() const {
        const std::lock_guard lock(state_->mutex);
        return state_->events;
    }
    void record_events() {
        const std::lock_guard lock(state_->mutex);
        state_->recording = true;
    }

    /// What a machine would find that lost its power now. Only from within a hook, or while nothing
    /// runs.
    [[nodiscard]] std::unique_ptr<SimulatedFileSystem> crashed(std::mt19937& random) const {
        auto out = std::make_unique<SimulatedFileSystem>(random());
        std::map<const Inode*, std::shared_ptr<Inode>> copies;
        const auto style = static_cast<Style>(random() % 5);
        for (const auto& [path, directory] : state_->directories) {
            Names names = directory.durable;
            for (const NameChange& change : directory.pending) {
                if (!persists(style, random)) {
                    if (style == Style::prefix) break;
                    continue;
                }
                change.apply(names);
            }
            Directory& copy = out->state_->directories[path];
            for (const auto& [name, inode] : names) {
                auto& twin = copies[inode.get()];
                if (!twin) twin = inode->after_crash(style, random);
                ++twin->links;
                copy.durable.emplace(name, twin);
            }
            copy.now = copy.durable;
        }
        return out;
    }
    [[nodiscard]] std::unique_ptr<SimulatedFileSystem> crashed_now(std::mt19937& random) const {
        const std::lock_guard lock(state_->mutex);
        return crashed(random);
    }

    /// For tests that look into files, and damage them.
    [[nodiscard]] std::string content(const std::string& path) const {
        const std::lock_guard lock(state_->mutex);
        const auto inode = find(path);
        return inode ? inode->content : std::string{};
    }
    void put(const std::string& path, std::string bytes) {
        const std::lock_guard lock(state_->mutex);
        Directory& directory = state_->directories[parent(path)];
        auto inode = std::make_shared<Inode>();
        inode->content = std::move(bytes);
        inode->durable = inode->content;
        inode->links = 1;
        directory.now[leaf(path)] = inode;
        directory.durable[leaf(path)] = inode;
    }
    [[nodiscard]] std::vector<std::string> names(const std::string& path) const {
        const std::lock_guard lock(state_->mutex);
        std::vector<std::string> out;
        const auto it = state_->directories.find(path);
        if (it == state_->directories.end()) return out;
        for (const auto& [name, inode] : it->second.now) out.push_back(name);
        return out;
    }
    /// As `rm -rf`.
    void remove_directory(const std::string& path) {
        const std::lock_guard lock(state_->mutex);
        std::erase_if(state_->directories, [&](const auto& d) {
            if (d.first != path && !d.first.starts_with(path + "/")) return false;
            for (const auto& [name, inode] : d.second.now) --inode->links;
            return true;
        });
    }

    result<std::unique_ptr<relay::File>> open(const std::string& path, Mode mode) override {
        const std::lock_guard lock(state_->mutex);
        if (const auto error = enter(Call::open, path)) return error;
        const auto it = state_->directories.find(parent(path));
        if (it == state_->directories.end()) return code(ENOENT);
        auto inode = find(path);
        if (!inode) {
            if (mode != Mode::replace) return code(ENOENT);
            inode = std::make_shared<Inode>();
            it->second.change({NameChange::Kind::set, leaf(path), {}, inode});
        } else if (mode == Mode::replace && !inode->content.empty()) {
            inode->change({Change::Kind::truncate, 0, {}});
        }
        return std::unique_ptr<relay::File>(
            std::make_unique<OpenFile>(state_, inode, path, mode == Mode::direct));
    }

    error_code sync_directory(const std::string& path) override {
        const std::lock_guard lock(state_->mutex);
        if (const auto error = enter(Call::sync_directory, path)) return error;
        const auto it = state_->directories.find(path);
        if (it == state_->directories.end()) return code(ENOENT);
        it->second.durable = it->second.now;
        it->second.pending.clear();
        return {};
    }

    error_code rename(const std::string& from, const std::string& to) override {
        const std::lock_guard lock(state_->mutex);
        if (const auto error = enter(Call::rename, to)) return error;
        const auto inode = find(from);
        if (!inode || !state_->directories.contains(parent(to))) return code(ENOENT);
        if (const auto replaced = find(to)) --replaced->links;
        if (parent(from) == parent(to)) {
            state_->directories[parent(to)].change(
                {NameChange::Kind::rename, leaf(to), leaf(from), inode});
        } else {
            state_->directories[parent(to)].change({NameChange::Kind::set, leaf(to), {}, inode});
            state_->directories[parent(from)].change(
                {NameChange::Kind::remove, leaf(from), {}, nullptr});
        }
        inode->links = 1;
        return {};
    }

    error_code unlink(const std::string& path) override {
        const std::lock_guard lock(state_->mutex);
        if (const auto error = enter(Call::unlink, path)) return error;
        const auto inode = find(path);
        if (!inode) return code(ENOENT);
        --inode->links;
        state_->directories[parent(path)].change(
            {NameChange::Kind::remove, leaf(path), {}, nullptr});
        return {};
    }

    error_code make_directory(const std::string& path) override {
        const std::lock_guard lock(state_->mutex);
        state_->directories.try_emplace(path);
        return {};
    }

    result<std::vector<Name>> list(const std::string& path) override {
        const std::lock_guard lock(state_->mutex);
        if (const auto error = enter(Call::list, path)) return error;
        const auto it = state_->directories.find(path);
        if (it == state_->directories.end()) return code(ENOENT);
        std::vector<Name> out;
        for (const auto& [name, inode] : it->second.now) {
            out.push_back({name, inode->content.size()});
        }
        return out;
    }

    result<std::uint64_t> free_space(const std::string& path) override {
        const std::lock_guard lock(state_->mutex);
        static_cast<void>(path);
        const std::uint64_t used = state_->used();
        return state_->capacity > used ? state_->capacity - used : 0;
    }

  private:
    static constexpr std::size_t sector = 512;
    enum class Style : std::uint8_t { nothing, everything, prefix, mixed, torn };

    static error_code code(int value) { return {value, boost::system::system_category()}; }
    static std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }
    static std::string leaf(const std::string& path) { return path.substr(path.rfind('/') + 1); }
    static bool persists(Style style, std::mt19937& random) {
        if (style == Style::nothing) return false;
        if (style == Style::everything) return true;
        return random() % (style == Style::prefix ? 4 : 2) != 0;
    }

    struct Change {
        enum class Kind : std::uint8_t { write, truncate };
        Kind kind = Kind::write;
        std::uint64_t at = 0;
        std::string data;

        void apply(std::string& to) const {
            if (kind == Kind::truncate) {
                to.resize(static_cast<std::size_t>(at), '\0');
                return;
            }
            if (to.size() < at + data.size()) {
                to.resize(static_cast<std::size_t>(at) + data.size(), '\0');
            }
            std::ranges::copy(data, to.begin() + static_cast<std::ptrdiff_t>(at));
        }
        void apply_some(std::string& to, Style style, std::mt19937& random) const {
            if (kind == Kind::truncate) {
                if (random() % 2 == 0) apply(to);
                return;
            }
            for (std::size_t from = 0; from < data.size();) {
                const std::size_t to_boundary =
                    sector - static_cast<std::size_t>((at + from) % sector);
                std::size_t n = std::min(to_boundary, data.size() - from);
                const std::size_t step = n;
                if (style == Style::torn && random() % 4 == 0) n = random() % (n + 1);
                if (random() % 2 == 0)
                    Change{Kind::write, at + from, data.substr(from, n)}.apply(to);
                from += step;
            }
        }
    };

    struct Inode {
        std::string content;
        std::string durable;
        std::vector<Change> pending;
        int links = 0;

        void change(Change c) {
            c.apply(content);
            pending.push_back(std::move(c));
        }
        void sync() {
            for (const Change& c : pending) c.apply(durable);
            pending.clear();
        }
        /// As Linux: what could not be written is clean from now on, and no later sync tells of it.
        void failed_sync(std::mt19937& random) {
            for (const Change& c : pending) c.apply_some(durable, Style::mixed, random);
            pending.clear();
        }
        [[nodiscard]] std::shared_ptr<Inode> after_crash(Style style, std::mt19937& random) const {
            auto out = std::make_shared<Inode>();
            out->durable = durable;
            for (const Change& c : pending) {
                if (style == Style::nothing) break;
                if (style == Style::everything) {
                    c.apply(out->durable);
                } else if (style == Style::prefix) {
                    if (random() % 4 == 0) {
                        c.apply_some(out->durable, style, random);
                        break;
                    }
                    c.apply(out->durable);
                } else {
                    c.apply_some(out->durable, style, random);
                }
            }
            out->content = out->durable;
            return out;
        }
    };
    using Names = std::map<std::string, std::shared_ptr<Inode>>;

    struct NameChange {
        enum class Kind : std::uint8_t { set, remove, rename };
        Kind kind = Kind::set;
        std::string name;
        std::string from;
        std::shared_ptr<Inode> inode;

        void apply(Names& names) const {
            if (kind == Kind::rename) names.erase(from);
            if (kind == Kind::remove) {
                names.erase(name);
            } else {
                names[name] = inode;
            }
        }
    };
    struct Directory {
        Names now;
        Names durable;
        std::vector<NameChange> pending;
        void change(NameChange c) {
            if (c.kind == NameChange::Kind::set && !now.contains(c.name)) c.inode->links = 1;
            c.apply(now);
            pending.push_back(std::move(c));
        }
    };

    struct State {
        mutable std::mutex mutex;
        std::map<std::string, Directory> directories;
        Hook hook;
        std::vector<Event> events;
        bool recording = false;
        std::uint64_t capacity = 1ULL << 40U;
        std::mt19937 random{7};

        [[nodiscard]] std::uint64_t used() const {
            std::uint64_t n = 0;
            for (const auto& [path, directory] : directories) {
                for (const auto& [name, inode] : directory.now) n += inode->content.size();
            }
            return n;
        }
        error_code enter(Call call, const std::string& path) {
            error_code result;
            if (hook) result = hook({call, path});
            if (recording && !result) events.push_back({call, path});
            return result;
        }
        [[nodiscard]] bool fits(const Inode& inode, std::uint64_t size) const {
            return size <= inode.content.size() || used() + size - inode.content.size() <= capacity;
        }
    };

    class OpenFile final : public relay::File {
      public:
        OpenFile(std::shared_ptr<State> state, std::shared_ptr<Inode> inode, std::string path,
                 bool direct)
            : state_(std::move(state)),
              inode_(std::move(inode)),
              path_(std::move(path)),
              direct_(direct) {}

        error_code write(std::uint64_t offset, std::span<const std::string_view> pieces) override {
            std::string data;
            for (const std::string_view piece : pieces) data += piece;
            // The real one would write it otherwise, beside the page cache and through it in turns.
            if (direct_ &&
                (offset % relay::file_block != 0 || data.size() % relay::file_block != 0))
                return code(EINVAL);
            const std::lock_guard lock(state_->mutex);
            error_code error = state_->enter(Call::write, path_);
            if (!error && !state_->fits(*inode_, offset + data.size())) error = code(ENOSPC);
            if (error) data.resize(state_->random() % (data.size() + 1));
            if (!error || state_->fits(*inode_, offset + data.size())) {
                inode_->change({Change::Kind::write, offset, std::move(data)});
            }
            return error;
        }
        result<std::size_t> read(std::uint64_t offset, std::span<char> into) const override {
            const std::lock_guard lock(state_->mutex);
            if (const auto error = state_->enter(Call::read, path_)) return error;
            if (offset >= inode_->content.size()) return std::size_t{0};
            const std::size_t n = std::min<std::size_t>(
                into.size(), inode_->content.size() - static_cast<std::size_t>(offset));
            std::copy_n(inode_->content.begin() + static_cast<std::ptrdiff_t>(offset), n,
                        into.begin());
            return n;
        }
        error_code sync_data() override {
            const std::lock_guard lock(state_->mutex);
            if (const auto error = state_->enter(Call::sync, path_)) {
                inode_->failed_sync(state_->random);
                return error;
            }
            inode_->sync();
            return {};
        }
        error_code preallocate(std::uint64_t offset, std::uint64_t length) override {
            const std::lock_guard lock(state_->mutex);
            if (const auto error = state_->enter(Call::preallocate, path_)) return error;
            if (!state_->fits(*inode_, offset + length)) return code(ENOSPC);
            if (inode_->content.size() < offset + length) {
                inode_->change({Change::Kind::truncate, offset + length, {}});
            }
            return {};
        }
        error_code truncate(std::uint64_t size) override {
            const std::lock_guard lock(state_->mutex);
            if (const auto error = state_->enter(Call::truncate, path_)) return error;
            inode_->change({Change::Kind::truncate, size, {}});
            return {};
        }
        result<Info> info() const override {
            const std::lock_guard lock(state_->mutex);
            return Info{inode_->content.size(), static_cast<std::uint64_t>(inode_->links)};
        }

      private:
        std::shared_ptr<State> state_;
        std::shared_ptr<Inode> inode_;
        std::string path_;
        bool direct_;
    };

    error_code enter(Call call, const std::string& path) { return state_->enter(call, path); }
    [[nodiscard]] std::shared_ptr<Inode> find(const std::string& path) const {
        const auto it = state_->directories.find(parent(path));
        if (it == state_->directories.end()) return nullptr;
        const auto entry = it->second.now.find(leaf(path));
        return entry == it->second.now.end() ? nullptr : entry->second;
    }

    std::shared_ptr<State> state_ = std::make_shared<State>();
    std::mt19937 random_;
};

}  // namespace postern::test
