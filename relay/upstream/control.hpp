#pragma once

#include <chrono>
#include <optional>

namespace postern::relay {

using SteadyTime = std::chrono::steady_clock::time_point;

/// What an operator has set of one upstream, each perhaps until a moment. Pure: time comes in as an
/// argument. Not thread-safe (PathMemory locks it).
class PathControl {
  public:
    using Until = std::optional<SteadyTime>;  ///< Unset: until it is undone.

    /// Again: the new moment replaces the old one.
    void pause(Until until) { pause_ = Set{until}; }
    void promote(Until until) { promotion_ = Set{until}; }
    /// False: there was nothing to undo.
    [[nodiscard]] bool resume(SteadyTime now) { return undo(pause_, now); }
    [[nodiscard]] bool demote(SteadyTime now) { return undo(promotion_, now); }

    [[nodiscard]] bool paused(SteadyTime now) const noexcept { return holds(pause_, now); }
    [[nodiscard]] bool promoted(SteadyTime now) const noexcept { return holds(promotion_, now); }
    /// When the first of what holds ends by itself.
    [[nodiscard]] Until ends(SteadyTime now) const noexcept;

    struct Ended {
        bool pause = false;
        bool promotion = false;
    };
    /// What has come to its end by itself, told once.
    [[nodiscard]] Ended expire(SteadyTime now);

  private:
    struct Set {
        Until until;
    };
    using Held = std::optional<Set>;
    [[nodiscard]] static bool holds(const Held& set, SteadyTime now) noexcept {
        return set && (!set->until || now < *set->until);
    }
    [[nodiscard]] static bool undo(Held& set, SteadyTime now);

    Held pause_;
    Held promotion_;
};

}  // namespace postern::relay
