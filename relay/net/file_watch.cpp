#include "relay/net/file_watch.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

namespace postern::relay::net {

namespace {

using Print = std::array<long long, 5>;

/// How often what could not be used is tried again.
constexpr std::chrono::minutes patience{1};

std::vector<Print> look(const std::vector<std::string>& paths) {
    std::vector<Print> prints;
    prints.reserve(paths.size());
    for (const std::string& path : paths) {
        struct stat found{};
        if (::stat(path.c_str(), &found) != 0) {
            prints.push_back(Print{});
            continue;
        }
        prints.push_back({static_cast<long long>(found.st_ino),
                          static_cast<long long>(found.st_dev), found.st_size, found.st_mtim.tv_sec,
                          found.st_mtim.tv_nsec});
    }
    return prints;
}

}  // namespace

struct FileWatch::State : std::enable_shared_from_this<State> {
    State(const asio::any_io_executor& executor, std::function<bool()> told,
          std::chrono::milliseconds every)
        : timer(executor), changed(std::move(told)), interval(every) {}

    void wait() {
        timer.expires_after(interval);
        timer.async_wait([weak = weak_from_this()](error_code ec) {
            if (ec) return;
            if (const auto self = weak.lock()) self->check();
        });
    }

    void check() {
        auto seen = look(paths);
        const bool settled = seen == last;
        last = std::move(seen);
        wait();
        if (!settled || (last == told && !again)) return;
        const auto now = std::chrono::steady_clock::now();
        if (last == told && now < next_try) return;
        told = last;
        again = !changed();
        next_try = now + std::max<std::chrono::steady_clock::duration>(patience, interval);
    }

    asio::steady_timer timer;
    std::function<bool()> changed;
    bool again = false;  ///< The last change could not be used.
    std::chrono::steady_clock::time_point next_try;
    std::chrono::milliseconds interval;
    std::vector<std::string> paths;
    std::vector<Print> last;  ///< As seen one interval ago.
    std::vector<Print> told;  ///< As the owner knows it.
};

FileWatch::FileWatch(const asio::any_io_executor& executor, std::function<bool()> changed,
                     std::chrono::milliseconds interval)
    : state_(std::make_shared<State>(executor, std::move(changed), interval)) {}

FileWatch::~FileWatch() {
    stop();
}

void FileWatch::set(std::vector<std::string> paths) {
    state_->paths = std::move(paths);
    state_->told = state_->last = look(state_->paths);
    state_->again = false;
    state_->wait();
}

void FileWatch::stop() noexcept {
    state_->timer.cancel();
}

}  // namespace postern::relay::net
