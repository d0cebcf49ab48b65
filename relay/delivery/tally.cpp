#include "relay/delivery/tally.hpp"

#include <algorithm>

#include "proto/classify.hpp"

namespace postern::relay {

Tally::Tally(std::size_t recipients, const std::vector<std::uint32_t>* which) : lines_(recipients) {
    if (which != nullptr) {
        for (const std::uint32_t index : *which) {
            if (index < recipients) members_.push_back(index);
        }
        return;
    }
    members_.reserve(recipients);
    for (std::size_t i = 0; i < recipients; ++i) members_.push_back(i);
}

void Tally::apply(const std::vector<proto::ClientSession::RecipientResult>& results,
                  const std::string& path, bool dsn_offered, proto::PathReplies more) {
    // 4xx to MAIL (or 421 up to DATA) before any recipient was accepted leaves the way to the next
    // path free.
    for (const auto& result : results) {
        if (result.index >= lines_.size()) continue;
        Line& line = lines_[result.index];
        line.reply = result.reply;
        line.stage = result.stage;
        line.path = path;
        if (result.reply.code < 400) {
            line.fate = Fate::delivered;
            line.dsn_offered = dsn_offered;
        } else if (proto::is_path_trouble(result.reply, more)) {
            line.fate = Fate::open;
        } else if (result.reply.code >= 500) {
            line.fate = proto::judges(result.stage, result.reply, more) == proto::Judges::message
                            ? Fate::refused
                            : Fate::open;
        } else if (result.stage == proto::UpstreamStage::mail ||
                   (result.reply.code == 421 && result.stage != proto::UpstreamStage::dot)) {
            line.fate = Fate::open;
        } else {
            line.fate = Fate::deferred;
        }
    }
}

void Tally::reopen() {
    for (const std::size_t i : with(Fate::deferred)) lines_[i].fate = Fate::open;
}

void Tally::lost(const std::string& path) {
    for (const std::size_t i : open()) {
        lines_[i].fate = Fate::in_doubt;
        lines_[i].path = path;
    }
}

std::vector<std::size_t> Tally::with(Fate fate) const {
    std::vector<std::size_t> out;
    for (const std::size_t i : members_) {
        if (lines_[i].fate == fate) out.push_back(i);
    }
    return out;
}

bool Tally::any(Fate fate) const {
    return std::ranges::any_of(members_, [&](std::size_t i) { return lines_[i].fate == fate; });
}

bool Tally::all_refused() const {
    return !members_.empty() && std::ranges::all_of(members_, [&](std::size_t i) {
        return lines_[i].fate == Fate::refused;
    });
}

const proto::Reply* Tally::first_refusal() const {
    for (const std::size_t i : members_) {
        if (lines_[i].fate == Fate::refused) return &lines_[i].reply;
    }
    return nullptr;
}

const proto::Reply* Tally::first_delivery() const {
    for (const std::size_t i : members_) {
        if (lines_[i].fate == Fate::delivered) return &lines_[i].reply;
    }
    return nullptr;
}

}  // namespace postern::relay
