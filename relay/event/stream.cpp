#include "relay/event/stream.hpp"

#include <exception>
#include <utility>

#include "relay/event/json.hpp"

namespace postern::relay::event {

FanOut::FanOut(std::uint64_t first_seq, std::vector<Reader*> readers, Keeper* keeper, Clock clock)
    : seq_(first_seq), readers_(std::move(readers)), keeper_(keeper), clock_(clock) {}

void FanOut::emit(Payload what) noexcept {
    // Only memory can fail here, and an event lost to that must not end the process that lost it.
    try {
        const auto wall = clock_.wall();
        if (auto* alert = std::get_if<AlertRaised>(&what)) {
            if (!alerts_.admit(*alert, wall)) return;
        }
        Event e{.t = wall,
                .mono = clock_.steady(),
                .seq = seq_.fetch_add(1, std::memory_order_relaxed),
                .what = std::move(what)};
        for (auto* reader : readers_) reader->on_event(e);
        if (keeper_ != nullptr && is_written(e.what))
            keeper_->keep(std::make_unique<Event>(std::move(e)));
    } catch (const std::exception&) {
        lost_.fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace postern::relay::event
