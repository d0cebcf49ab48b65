// What the login guard costs with many sources: octets of memory a source, nanoseconds a decision.
//
//   bench_guard [SOURCES] [ACCOUNTS]

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "policy/login_guard.hpp"

namespace {

using namespace postern::policy;
using Clock = std::chrono::steady_clock;

/// Resident octets of this process.
std::size_t resident() {
    std::size_t total = 0;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> total >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Half of them IPv4, half IPv6.
std::string source_of(std::uint64_t n) {
    const std::uint64_t mixed = n * 0x9e3779b97f4a7c15ULL;
    if (n % 2 == 0) {
        return fmt::format("{}.{}.{}.{}", 1 + (mixed >> 56U) % 223, mixed >> 48U & 0xffU,
                           mixed >> 40U & 0xffU, mixed >> 32U & 0xffU);
    }
    return fmt::format("2001:{:x}:{:x}:{:x}::/64", mixed >> 48U, mixed >> 32U & 0xffffU,
                       1 + (mixed >> 16U & 0xfffU));
}

std::string account_of(std::uint64_t n) {
    return fmt::format("user{}@customer{}.example", n, n % 977);
}

/// CPU of this thread: what others do on the machine meanwhile counts as little as it can.
double cpu_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Nanoseconds of CPU a call of `f(i)`: the mean of each of many rounds, sorted.
template <typename F>
std::vector<double> time_of(std::size_t rounds, std::size_t calls, F&& f) {
    std::vector<double> out;
    std::uint64_t i = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        const double began = cpu_ns();
        for (std::size_t call = 0; call < calls; ++call) f(i++);
        out.push_back((cpu_ns() - began) / static_cast<double>(calls));
    }
    std::ranges::sort(out);
    return out;
}

void show(const char* what, const std::vector<double>& ns) {
    fmt::print("{:<58} {:>6.0f} ns   (quickest round {:.0f}, slowest {:.0f})\n", what,
               ns[ns.size() / 2], ns.front(), ns.back());
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t sources = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
    const std::size_t accounts = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
    LoginGuard guard(LoginGuard::Settings{}, LoginGuard::Bounds{}, 0x5eed);
    auto now = Clock::now();
    ::malloc_trim(0);
    const std::size_t before = resident();

    // Each fails twice: who fails oftener is slowed, and comes seldom.
    for (std::uint64_t n = 0; n < sources; ++n) {
        const std::string source = source_of(n);
        for (std::uint64_t again = 0; again < 2; ++again) {
            auto attempt = guard.attempt(source, account_of((n + again) % accounts), {}, now);
            (void)attempt.failed(n * 2 + again, 0, now);
        }
        if (n % 100 == 0) now += std::chrono::milliseconds(1);
    }
    ::malloc_trim(0);
    const auto stats = guard.stats();
    const auto grown = static_cast<double>(resident() - before);
    fmt::print("{} sources, {} accounts: {:.1f} MiB resident, {:.1f} MiB by its own count\n",
               stats.sources, stats.accounts, grown / 1048576.0,
               static_cast<double>(stats.octets) / 1048576.0);
    fmt::print("{:.0f} octets a source, all else included\n\n",
               grown / static_cast<double>(stats.sources));

    // What is asked is drawn and made before: it is the guard that is measured.
    constexpr std::size_t drawn = 200'000;
    std::vector<std::string> some_sources;
    std::vector<std::string> some_accounts;
    std::vector<std::string> known_sources;
    for (std::uint64_t n = 0; n < drawn; ++n) {
        const std::uint64_t pick = (n * 2654435761ULL) % sources;
        some_sources.push_back(source_of(pick));
        some_accounts.push_back(account_of(pick % accounts));
        known_sources.push_back(source_of(sources + n));
        guard.load_known(known_sources.back(), some_accounts.back(), std::chrono::hours(5), now);
    }
    const auto at = [](const std::vector<std::string>& all, std::uint64_t i) -> const std::string& {
        return all[i % drawn];
    };
    constexpr std::size_t rounds = 200;
    constexpr std::size_t calls = 5'000;
    std::uint64_t let_in = 0;
    show("at connect, a source that failed", time_of(rounds, calls, [&](std::uint64_t i) {
             let_in += guard.on_connect(at(some_sources, i), now).refuse ? 0 : 1;
         }));
    show("at connect, a known source", time_of(rounds, calls, [&](std::uint64_t i) {
             let_in += guard.on_connect(at(known_sources, i), now).known ? 1 : 0;
         }));
    show("before the check, a known pair", time_of(rounds, calls, [&](std::uint64_t i) {
             auto attempt = guard.attempt(at(known_sources, i), at(some_accounts, i), {}, now);
             let_in += attempt.ask(now).kind == LoginGuard::Gate::Kind::go ? 1 : 0;
         }));
    show("before the check, a source that failed", time_of(rounds, calls, [&](std::uint64_t i) {
             auto attempt = guard.attempt(at(some_sources, i), at(some_accounts, i), {}, now);
             let_in += attempt.ask(now).kind == LoginGuard::Gate::Kind::go ? 1 : 0;
         }));
    show("after the check, right", time_of(rounds, calls, [&](std::uint64_t i) {
             auto attempt = guard.attempt(at(known_sources, i), at(some_accounts, i), {}, now);
             (void)attempt.succeeded(now);
         }));
    show("after the check, wrong", time_of(rounds, calls, [&](std::uint64_t i) {
             auto attempt = guard.attempt(at(some_sources, i), at(some_accounts, i), {}, now);
             (void)attempt.failed(i, 0, now);
         }));
    show("after the check, wrong, a new source that pushes one out",
         time_of(rounds, calls, [&](std::uint64_t i) {
             auto attempt = guard.attempt(at(known_sources, i), at(some_accounts, i + 1), {}, now);
             (void)attempt.failed(i, 0, now);
         }));
    const auto began = Clock::now();
    const std::size_t octets = guard.save(now).size();
    fmt::print("\nsnapshot: {:.1f} MiB, made in {:.0f} ms (off the network threads)\n",
               static_cast<double>(octets) / 1048576.0,
               std::chrono::duration<double, std::milli>(Clock::now() - began).count());
    return let_in == 0 ? 1 : 0;
}
