#include "relay/config/reload.hpp"

#include <fmt/format.h>

#include <set>

#include "relay/config/schema.hpp"

namespace postern::relay::config {
namespace {

bool same(const proto::Secret& a, const proto::Secret& b) {
    return a.reveal() == b.reveal();
}
template <typename T>
bool same(const T& a, const T& b) {
    return a == b;
}

/// The visitor of `describe` that compares two values of a section.
template <typename S>
class Comparison {
  public:
    Comparison(const S& a, const S& b, std::string prefix, std::vector<Difference>& out)
        : a_(a), b_(b), prefix_(std::move(prefix)), out_(out) {
        describe(*this, Section<S>{});
    }

    template <typename T, typename F>
    void key(std::string_view name, T S::* member, const F&, Reload reload) {
        if (!same(a_.*member, b_.*member)) out_.push_back({path(name), reload});
    }
    template <typename T>
    void secret(std::string_view name, T S::* member, std::string S::*, Reload reload) {
        if (!same(a_.*member, b_.*member)) out_.push_back({path(name), reload});
    }
    template <typename T>
    void table(std::string_view name, T S::* member) {
        Comparison<T>(a_.*member, b_.*member, path(name), out_);
    }
    template <typename T>
    void tables(std::string_view name, std::vector<T> S::* member, Reload reload) {
        const auto& before = a_.*member;
        const auto& after = b_.*member;
        if (before.size() != after.size()) {
            out_.push_back({path(name), reload});
            return;
        }
        for (std::size_t i = 0; i < before.size(); ++i) {
            Comparison<T>(before[i], after[i], fmt::format("{}.{}", path(name), i), out_);
        }
    }
    template <typename T>
    void map(std::string_view name, std::map<std::string, T, std::less<>> S::* member,
             Reload reload) {
        std::set<std::string> names;
        for (const auto& [key, value] : a_.*member) names.insert(key);
        for (const auto& [key, value] : b_.*member) names.insert(key);
        for (const std::string& one : names) {
            const auto before = (a_.*member).find(one);
            const auto after = (b_.*member).find(one);
            const std::string full = fmt::format("{}.{}", path(name), one);
            if (before == (a_.*member).end() || after == (b_.*member).end()) {
                out_.push_back({full, reload});
            } else {
                Comparison<T>(before->second, after->second, full, out_);
            }
        }
    }
    void later(std::string_view) {}
    void later_sections() {}

  private:
    [[nodiscard]] std::string path(std::string_view name) const {
        return prefix_.empty() ? std::string(name) : fmt::format("{}.{}", prefix_, name);
    }
    const S& a_;
    const S& b_;
    std::string prefix_;
    std::vector<Difference>& out_;
};

}  // namespace

std::vector<Difference> differences(const Config& running, const Config& wanted) {
    std::vector<Difference> out;
    const Comparison<Config> compared(running, wanted, "", out);
    return out;
}

std::vector<std::string> needing_restart(const std::vector<Difference>& all) {
    std::vector<std::string> out;
    for (const Difference& one : all) {
        if (one.reload == Reload::restart) out.push_back(one.key);
    }
    return out;
}

}  // namespace postern::relay::config
