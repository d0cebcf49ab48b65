#include "relay/upstream/warm_schedule.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/catch.hpp"

using postern::relay::WarmSchedule;
using postern::relay::WarmShare;

namespace {

/// One day's mail: so many, between two hours, of so many customers, of which the first sends a
/// share of its own.
struct Plan {
    int mails = 0;
    double from = 0;
    double to = 24;
    int customers = 1;
    double first_customers = 0;
};

/// A standby over days, each mail asked for in its turn.
class Simulation {
  public:
    explicit Simulation(WarmShare share) : share_(share) {}

    void run(const Plan& plan) {
        schedule_.new_day();
        std::array<int, 24> hours{};
        by_customer.clear();
        sent = 0;
        by_noon = 0;
        highest = 0;
        for (int i = 0; i < plan.mails; ++i) {
            const double hour = plan.from + (plan.to - plan.from) * i / plan.mails;
            const std::string customer = customer_of(plan);
            const WarmSchedule::Day day{.elapsed = hour / 24,
                                        .usual = usual(hour),
                                        .began = 0,
                                        .mail = static_cast<std::uint64_t>(i),
                                        .yesterday = yesterday_,
                                        .by_standby = sent};
            ++hours[static_cast<std::size_t>(hour)];
            if (!schedule_.due(share_, day, customer)) continue;
            schedule_.sending(customer);
            schedule_.sent(customer, true);
            ++sent;
            ++by_customer[customer];
            if (hour < 12) ++by_noon;
            highest = std::max(highest, static_cast<double>(sent) / (i + 1));
        }
        met = WarmSchedule::met(share_, static_cast<std::uint64_t>(plan.mails), 0, sent);
        yesterdays_hours_ = hours;
        yesterday_ = static_cast<std::uint64_t>(plan.mails);
    }

    // Of the last day.
    std::uint64_t sent = 0;
    std::uint64_t by_noon = 0;
    double highest = 0;  ///< The largest share of the mail so far that the standby ever had.
    bool met = false;
    std::map<std::string, int> by_customer;

  private:
    [[nodiscard]] std::string customer_of(const Plan& plan) {
        if (chance_(random_) < plan.first_customers) return "c0";
        return "c" + std::to_string(static_cast<int>(chance_(random_) * plan.customers));
    }
    [[nodiscard]] double usual(double hour) const {
        if (yesterday_ == 0) return 0;
        double come = 0;
        for (int i = 0; i < 24; ++i) {
            const double part = std::clamp(hour - i, 0.0, 1.0);
            come += part * yesterdays_hours_[static_cast<std::size_t>(i)];
        }
        return come / static_cast<double>(yesterday_);
    }

    WarmShare share_;
    WarmSchedule schedule_;
    std::array<int, 24> yesterdays_hours_{};
    std::uint64_t yesterday_ = 0;
    std::mt19937 random_{7};
    std::uniform_real_distribution<double> chance_{0, 1};
};

constexpr Plan weekday{
    .mails = 30'000, .from = 7, .to = 19, .customers = 40, .first_customers = 0.8};
constexpr Plan weekend{
    .mails = 3'000, .from = 8, .to = 18, .customers = 40, .first_customers = 0.8};

}  // namespace

TEST_CASE("over a month a standby has its share on each day, spread, and never more than its cap") {
    Simulation standby(WarmShare{});
    for (int day = 0; day < 30; ++day) {
        CAPTURE(day);
        const bool rest = day % 7 >= 5;
        standby.run(rest ? weekend : weekday);
        CHECK(standby.met);
        CHECK(standby.highest <= 0.10);
        const double wanted = rest ? 200 : 300;
        CHECK(static_cast<double>(standby.sent) >= wanted * 0.9);
        CHECK(static_cast<double>(standby.sent) <= wanted * 1.01);
        if (day == 0) continue;
        const double before_noon =
            static_cast<double>(standby.by_noon) / static_cast<double>(standby.sent);
        CHECK(before_noon > 0.3);
        CHECK(before_noon < 0.7);
    }
}

TEST_CASE("the warm mail is that of many customers, whoever sends the most") {
    Simulation standby(WarmShare{});
    standby.run(weekday);
    standby.run(weekday);
    CHECK(standby.by_customer.size() >= 35);
    // The first sends more than four fifths of all.
    CHECK(standby.by_customer["c0"] < static_cast<int>(standby.sent) * 3 / 4);
    CHECK(standby.met);
}

TEST_CASE("who sends alone warms alone") {
    Simulation standby(WarmShare{});
    const Plan alone{.mails = 30'000, .from = 0, .to = 24, .customers = 1};
    standby.run(alone);
    CHECK(standby.met);
    CHECK(standby.by_customer["c0"] == static_cast<int>(standby.sent));
}

TEST_CASE("little mail is capped, however many a day are wanted") {
    Simulation standby(WarmShare{});
    standby.run({.mails = 100, .from = 0, .to = 24, .customers = 5});
    CHECK(standby.sent <= 10);
    CHECK(standby.sent >= 8);
    CHECK(standby.highest <= 0.10);
    CHECK(standby.met);
    standby.run({.mails = 9});
    CHECK(standby.sent == 0);
    CHECK(standby.met);
}

TEST_CASE("either figure alone warms, and none of them does not") {
    Simulation by_share({.share = 0.02, .per_day = 0, .cap = 0.10});
    by_share.run(weekday);
    CHECK(by_share.sent >= 540);
    CHECK(by_share.sent <= 601);
    Simulation by_number({.share = 0, .per_day = 100, .cap = 0.10});
    by_number.run(weekday);
    by_number.run(weekday);
    CHECK(by_number.sent >= 90);
    CHECK(by_number.sent <= 101);
    Simulation off({.share = 0, .per_day = 0, .cap = 0.10});
    off.run(weekday);
    CHECK(off.sent == 0);
    CHECK(off.met);
    Simulation never({.share = 0.5, .per_day = 100, .cap = 0});
    never.run(weekday);
    CHECK(never.sent == 0);
    CHECK(never.met);
}

TEST_CASE("what is under way counts, and what did not come there does not") {
    const WarmShare share{.share = 0.5, .per_day = 0, .cap = 0.5};
    WarmSchedule schedule;
    WarmSchedule::Day day{.elapsed = 0.5, .usual = 0.5, .began = 0, .mail = 3, .yesterday = 0};
    CHECK(schedule.due(share, day, "a"));
    schedule.sending("a");
    CHECK(schedule.due(share, day, "b"));  // one of five
    schedule.sending("b");
    day.mail = 1;
    CHECK_FALSE(schedule.due(share, day, "c"));  // two of four are half of them already
    schedule.sent("a", false);
    schedule.sent("b", false);
    day.mail = 3;
    CHECK(schedule.due(share, day, "a"));
    // One that began yesterday takes nothing from today.
    schedule.sending("a");
    schedule.new_day();
    schedule.sent("a", false);
    CHECK(schedule.due(share, day, "a"));
}

TEST_CASE("a day that began late owes its part") {
    const WarmShare share;
    CHECK(WarmSchedule::owed(share, 10'000, 0) == 200);
    CHECK(WarmSchedule::owed(share, 10'000, 0.75) == 100);  // by its share
    CHECK(WarmSchedule::owed(share, 4'000, 0.75) == 50);
    CHECK(WarmSchedule::owed(share, 1'000, 0) == 100);  // by its cap
    CHECK(WarmSchedule::owed(share, 0, 0) == 0);
    CHECK(WarmSchedule::met(share, 10'000, 0, 180));
    CHECK_FALSE(WarmSchedule::met(share, 10'000, 0, 179));
    CHECK(WarmSchedule::met(share, 0, 0, 0));
    // Counting from the middle of the day nothing of the morning is caught up.
    WarmSchedule schedule;
    WarmSchedule::Day noon{.elapsed = 0.5, .usual = 0, .began = 0.5, .mail = 50, .yesterday = 0};
    CHECK_FALSE(schedule.due(share, noon, "a"));
    noon.elapsed = 0.51;
    CHECK(schedule.due(share, noon, "a"));
}
