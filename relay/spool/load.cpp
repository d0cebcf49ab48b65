#include <fmt/format.h>

#include "relay/spool/engine.hpp"
#include "relay/spool/recovery.hpp"

namespace postern::relay::spool {

using boost::system::error_code;
using boost::system::result;

result<LoadedEntry> Engine::load(const std::string& id) {
    Located located;
    {
        const std::lock_guard lock(shared_->mutex);
        const Handle h = shared_->ledger.index.find(id);
        if (h == no_handle) return SpoolError::not_found;
        located = locate(shared_->ledger, h);
    }
    auto details = read_details(located);
    if (!details) return cannot_load(located, details.error(), "envelope of an entry");
    const auto octets = read_body(shared_->fs, shared_->layout, located, details->record.body);
    if (!octets) return cannot_load(located, octets.error(), "body of an entry");

    LoadedEntry out;
    out.entry = std::move(details->record.entry);
    out.entry.state = located.entry.base;
    out.entry.next_attempt = from_disk(located.entry.next);
    out.entry.attempts = located.entry.attempts;
    out.entry.upstream = located.upstream;
    if (details->state) {
        out.entry.last_reply = details->state->last_reply;
        out.delay_notified = details->state->delay_notified;
    }
    out.held = located.entry.held;
    out.rerouted = located.entry.rerouted;
    out.entry.keep = *octets;
    if (!(*octets)->empty()) out.entry.pieces.emplace_back(**octets);
    std::size_t next_settled = 0;
    for (std::uint32_t i = 0; i < out.entry.envelope.recipients.size(); ++i) {
        if (next_settled < located.settled.size() && located.settled[next_settled] == i) {
            ++next_settled;
        } else {
            out.open.push_back(i);
        }
    }
    return out;
}

/// Takes the entry out of delivery, and sets aside what can be read of its body. That it is damaged
/// is recorded; that the disk does not give it now is not, for it may after a restart.
error_code Engine::cannot_load(const Located& located, error_code error, std::string_view what) {
    const std::string id(located.entry.id.view());
    {
        const std::lock_guard lock(shared_->mutex);
        Ledger& ledger = shared_->ledger;
        const Handle h = ledger.index.find(id);
        if (h == no_handle) return SpoolError::not_found;
        if (ledger.index[h].base == EntryState::damaged) return SpoolError::damaged;
        ledger.schedule.remove(h);
        ledger.index[h].base = EntryState::damaged;
    }
    const std::string why = fmt::format("{}: {}", what, error.message());
    std::string octets;
    const IndexEntry& e = located.entry;
    const auto size = static_cast<std::size_t>(e.bytes);
    if (e.body == BodyPlace::Kind::in_segment && located.segment) {
        const std::uint64_t from =
            std::uint64_t{e.record.offset} + e.record.length + record_check_size;
        octets = read_what_can_be(*located.segment->file, from, size);
    } else if (const auto file =
                   shared_->fs.open(shared_->layout.body(id), FileSystem::Mode::read)) {
        octets = read_what_can_be(**file, 0, size);
    }
    const std::string_view piece = octets;
    const std::string where = set_aside(shared_->fs, shared_->layout, id + ".eml", {&piece, 1});
    if (shared_->observer.damaged) shared_->observer.damaged(id, where, why);
    if (error == SpoolError::damaged) record_damage(id, why);
    return SpoolError::damaged;
}

void Engine::record_damage(const std::string& id, const std::string& why) {
    Operation operation;
    {
        const std::lock_guard lock(shared_->mutex);
        const Handle h = shared_->ledger.index.find(id);
        if (h == no_handle) return;
        StateRecord state = state_of(shared_->ledger, h);
        state.reason = why;
        operation.states.push_back(std::move(state));
    }
    writer_.enqueue(std::move(operation));
}

}  // namespace postern::relay::spool
