// A month of a company's mail through two ways, by the clock of the test: what its standby got, by
// day. The table: test_upstream "[month-table]".

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "relay/event/stream.hpp"
#include "relay/upstream/choice.hpp"
#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using config::UpstreamRole;

namespace {

/// Mail by the hour, UTC, in thousandths of a day's: two peaks, and little at night.
constexpr std::array<int, 24> office_hours{4,  2,  2,   1,  2,  6,  20, 70, 110, 120, 105, 85,
                                           50, 75, 100, 95, 70, 40, 15, 9,  7,   5,   4,   3};
constexpr int days_of_month = 30;

struct MonthDay {
    int mails = 0;
    int warm = 0;
    double owed = 0;
    bool met = false;
    double highest = 0;   ///< The largest share of the day's mail so far that the standby ever had.
    double at_night = 0;  ///< Part of the warm mail that went between eight in the evening and six.
    std::size_t customers = 0;  ///< Whose mail it was.
};

/// Days, from a Monday on: much on Mondays, less on other weekdays, little at weekends, and a
/// holiday in the third week.
int mails_of(int day) {
    if (day % 7 >= 5) return 3'000;
    if (day == 16) return 3'000;
    return day % 7 == 0 ? 26'000 : 12'000;
}

std::vector<MonthDay> simulate() {
    event::NullStream events;
    const WallTime monday{std::chrono::sys_days(std::chrono::year(2026) / 3 / 2)};
    const SteadyTime boot{1h};
    const auto traffic = std::make_shared<Traffic>(monday);
    PathSet paths;
    for (const auto& [name, role] : {std::pair{"primary", UpstreamRole::primary},
                                     std::pair{"standby", UpstreamRole::standby}}) {
        PathSettings settings;
        settings.upstream.name = name;
        settings.upstream.role = role;
        settings.traffic = traffic;
        paths.paths.push_back(std::make_shared<Path>(std::move(settings), events));
    }
    const WarmShare share;  // As configured where nothing is said.
    std::mt19937 random(11);
    std::uniform_real_distribution<double> chance(0, 1);
    std::vector<MonthDay> month;
    for (int day = 0; day < days_of_month; ++day) {
        MonthDay& figures = month.emplace_back();
        std::map<std::string, int> customers;
        int at_night = 0;
        for (int hour = 0; hour < 24; ++hour) {
            const int mails = mails_of(day) * office_hours[static_cast<std::size_t>(hour)] / 1000;
            for (int i = 0; i < mails; ++i) {
                const auto since = std::chrono::hours(24 * day + hour) +
                                   std::chrono::milliseconds(3'600'000LL * i / mails);
                // The largest of them sends more than half of all.
                const std::string customer =
                    chance(random) < 0.6
                        ? "c0"
                        : fmt::format("c{}", static_cast<int>(chance(random) * 40));
                Ways ways = choose(paths, {.needs = {}, .warms_as = customer, .before = {}},
                                   {boot + since, monday + since}, [&] { return chance(random); });
                traffic->count(ways.paths.front()->name(), monday + since);
                ++figures.mails;
                if (!ways.warm) continue;
                ways.warm->delivered();
                ++figures.warm;
                ++customers[customer];
                if (hour >= 20 || hour < 6) ++at_night;
                figures.highest =
                    std::max(figures.highest, traffic->today("standby", monday + since).share());
            }
        }
        figures.owed = WarmSchedule::owed(share, static_cast<std::uint64_t>(figures.mails), 0);
        figures.met = WarmSchedule::met(share, static_cast<std::uint64_t>(figures.mails), 0,
                                        static_cast<std::uint64_t>(figures.warm));
        figures.at_night = static_cast<double>(at_night) / std::max(1, figures.warm);
        figures.customers = customers.size();
    }
    return month;
}

}  // namespace

TEST_CASE("over a month of weekdays, weekends and quiet nights a standby keeps to its share") {
    const std::vector<MonthDay> month = simulate();
    REQUIRE(month.size() == days_of_month);
    for (std::size_t day = 0; day < month.size(); ++day) {
        const MonthDay& seen = month[day];
        CAPTURE(day, seen.mails, seen.warm, seen.owed);
        // The larger of 1 % and 200, of every day.
        CHECK(std::abs(seen.owed - std::max(200.0, seen.mails * 0.01)) < 1e-6);
        CHECK(seen.met);
        CHECK(seen.warm >= seen.owed * 0.9);
        CHECK(seen.warm <= seen.owed * 1.02 + 1);
        // Never above a tenth, at no time of the day.
        CHECK(seen.highest <= 0.10);
        CHECK(seen.customers >= 20);
    }
}

TEST_CASE("a month of warm mail as a table", "[.][month-table]") {
    std::string table =
        "\nday  weekday    mails   owed   warm   share  highest  at night  customers\n";
    constexpr std::array<const char*, 7> names{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    int day = 0;
    for (const MonthDay& each : simulate()) {
        table +=
            fmt::format("{:>3}  {:<7} {:>8} {:>6.0f} {:>6} {:>6.2f}% {:>7.2f}% {:>8.1f}% {:>10}\n",
                        day + 1, names[static_cast<std::size_t>(day % 7)], each.mails, each.owed,
                        each.warm, 100.0 * each.warm / each.mails, 100 * each.highest,
                        100 * each.at_night, each.customers);
        ++day;
    }
    WARN(table);
}
