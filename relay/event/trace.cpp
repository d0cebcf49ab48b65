#include "relay/event/trace.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "proto/ref.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/journal_lines.hpp"
#include "relay/event/journal_reader.hpp"
#include "relay/event/json.hpp"
#include "relay/event/token_map.hpp"

namespace postern::relay::event {

namespace {

using nlohmann::json;

std::string text_in(const json& event, const char* field) {
    const auto found = event.find(field);
    if (found == event.end() || !found->is_string()) return {};
    return found->get<std::string>();
}

std::optional<int> code_in(const json& event) {
    const auto found = event.find("code");
    if (found == event.end() || !found->is_number_integer()) return std::nullopt;
    const auto code = found->get<std::int64_t>();
    if (code < 0 || code > 999) return std::nullopt;
    return static_cast<int>(code);
}

bool flag_of(const json& event, const char* field) {
    const auto found = event.find(field);
    return found != event.end() && found->is_boolean() && found->get<bool>();
}

bool is_open(std::string_view state) {
    return state == "accepted" || state == "queued";
}

json null_if_empty(const std::string& text) {
    return text.empty() ? json(nullptr) : json(text);
}

std::string with_brackets(std::string_view id) {
    if (id.starts_with('<')) return std::string(id);
    return '<' + std::string(id) + '>';
}

/// Adds what a journal of these files has of the message.
void fold_journal(TraceFold& fold, std::vector<JournalFile> files, const std::string& ref) {
    if (const auto ms = proto::ref_time(ref); ms && *ms < std::uint64_t{253'402'300'799'000}) {
        // A message's own time is in its reference: older files hold nothing of it. One day of
        // grace for clocks.
        const std::chrono::system_clock::time_point made{
            std::chrono::milliseconds(static_cast<std::int64_t>(*ms))};
        const auto first = time_text(made - std::chrono::days(1)).substr(0, 10);
        std::erase_if(files, [&](const JournalFile& f) { return f.date < first; });
    }
    for (const auto& file : files) {
        [[maybe_unused]] const auto read = read_lines(file.path, ref, [&](std::string_view line) {
            if (const auto event = parse_journal_line(line)) fold.add(*event);
            return true;
        });
    }
}

}  // namespace

TraceFold::Rcpt& TraceFold::of(const std::string& rcpt) {
    const auto [at, is_new] = index_.try_emplace(rcpt, rcpts_.size());
    if (!is_new) return rcpts_[at->second];
    rcpts_.push_back({.rcpt = rcpt,
                      .state = "accepted",
                      .upstream = {},
                      .enhanced = {},
                      .text = {},
                      .t = {},
                      .code = {}});
    return rcpts_.back();
}

void TraceFold::settle_all(std::string_view state, const json& event) {
    for (auto& rcpt : rcpts_) {
        if (!is_open(rcpt.state)) continue;
        rcpt.state = state;
        rcpt.t = text_in(event, "t");
        if (const auto code = code_in(event)) rcpt.code = code;
        if (auto enhanced = text_in(event, "enhanced"); !enhanced.empty())
            rcpt.enhanced = std::move(enhanced);
        if (auto text = text_in(event, "text"); !text.empty()) rcpt.text = std::move(text);
    }
}

void TraceFold::add(const json& event) {
    if (text_in(event, "ref") != ref_) return;
    const auto kind = text_in(event, "event");
    // An entry of another id is a DSN that tells of this message: its fate is not the message's.
    const auto id = text_in(event, "id");
    if (kind == "dsn") {
        notices_.push_back({{"action", text_in(event, "action")},
                            {"rcpt", text_in(event, "rcpt")},
                            {"result", text_in(event, "result")},
                            {"t", text_in(event, "t")}});
        return;
    }
    if (!id.empty() && id != ref_) return;
    const auto rcpt = text_in(event, "rcpt");

    const auto say = [&](std::string_view state) {
        auto& r = of(rcpt);
        r.state = state;
        r.t = text_in(event, "t");
        if (auto upstream = text_in(event, "upstream"); !upstream.empty())
            r.upstream = std::move(upstream);
        r.code = code_in(event);
        r.enhanced = text_in(event, "enhanced");
        r.text = text_in(event, kind == "settled" ? "reason" : "text");
    };

    if (kind == "message") {
        head_ = event;
        has_message_ = true;
        const auto listed = event.find("rcpts");
        const bool accepted = text_in(event, "outcome") == "accepted";
        if (listed == event.end() || !listed->is_array()) return;
        for (const auto& one : *listed) {
            if (!one.is_string()) continue;
            auto& r = of(one.get<std::string>());
            r.t = text_in(event, "t");
        }
        if (!accepted) settle_all("refused", event);
    } else if (kind == "attempt") {
        if (!has_message_) head_ = event;
        if (refusals_.size() < most_refused) {
            refusals_.push_back({{"command", text_in(event, "command")},
                                 {"rcpt", null_if_empty(rcpt)},
                                 {"code", code_in(event) ? json(*code_in(event)) : json(nullptr)},
                                 {"enhanced", null_if_empty(text_in(event, "enhanced"))},
                                 {"text", text_in(event, "text")},
                                 {"t", text_in(event, "t")}});
        }
        if (rcpts_.size() >= most_refused && !index_.contains(rcpt)) {
            ++refused_more_;
        } else if (!rcpt.empty()) {
            say("refused");
        }
    } else if (kind == "answered") {
        queued_ = queued_ || flag_of(event, "queued");
        answered_ = event;
        const auto outcome = text_in(event, "outcome");
        if (outcome == "refused" || outcome == "throttled") settle_all("refused", event);
    } else if (kind == "queued") {
        queued_ = true;
        for (auto& r : rcpts_) {
            if (r.state == "accepted") r.state = "queued";
            if (r.text.empty()) r.text = text_in(event, "reason");
        }
    } else if (kind == "delivery" && !rcpt.empty()) {
        const auto result = text_in(event, "result");
        if (result == "delivered" || result == "refused") {
            say(result);
        } else {
            say(queued_ ? "queued" : "accepted");
        }
    } else if (kind == "settled") {
        const auto how = text_in(event, "how");
        if (how != "dropped" && how != "expired" && how != "refused") return;
        if (rcpt.empty()) {
            settle_all(how, event);
        } else {
            say(how);
        }
    } else if (kind == "bounce" && !rcpt.empty()) {
        say("bounced");
    }
}

std::optional<json> TraceFold::result() const {
    if (head_.is_null()) return std::nullopt;
    json out = head_;
    out["message_id"] = null_if_empty(text_in(head_, "message_id"));
    out["token"] = null_if_empty(text_in(head_, "token"));
    out["queued"] = queued_;
    // What the client heard in the end: policy's yes can be the upstream's no.
    const auto heard = [this](const char* field) {
        const auto found = answered_.find(field);
        return found == answered_.end() ? json(nullptr) : *found;
    };
    out["answered"] = {
        {"outcome", heard("outcome")}, {"code", heard("code")}, {"text", heard("text")}};
    if (!has_message_ && !refusals_.empty()) {
        // It never came to a message: what was heard is the last refusal.
        const json& last = refusals_.back();
        const bool later = last["code"].is_number() && last["code"] < 500;
        out["answered"] = {{"outcome", later ? "throttled" : "refused"},
                           {"code", last["code"]},
                           {"text", last["text"]}};
    }
    out["refusals"] = refusals_;
    out["notices"] = notices_;
    if (refused_more_ > 0) out["refused_more"] = refused_more_;
    out.erase("rcpt");
    auto& rcpts = out["rcpts"] = json::array();
    for (const auto& r : rcpts_) {
        rcpts.push_back({{"rcpt", r.rcpt},
                         {"state", queued_ && r.state == "accepted" ? "queued" : r.state},
                         {"upstream", null_if_empty(r.upstream)},
                         {"code", r.code ? json(*r.code) : json(nullptr)},
                         {"enhanced", null_if_empty(r.enhanced)},
                         {"text", null_if_empty(r.text)},
                         {"t", null_if_empty(r.t)}});
    }
    return out;
}

std::optional<json> trace(const std::string& folder, std::string_view ref_or_message_id) {
    auto files = journal_files(folder);
    if (ref_or_message_id.empty()) return std::nullopt;
    auto ref = proto::parse_ref(ref_or_message_id).value_or(std::string{});

    if (ref.empty()) {
        // A Message-ID: the latest message that bears it and was accepted, or else the latest:
        // whoever sends it again to be refused hides nothing. Nothing of a message comes before its
        // `message` event's file but what was refused of it, minutes earlier at most.
        const auto wanted = with_brackets(ref_or_message_id);
        std::string quoted;
        append_json_string(quoted, wanted);
        std::string refused;
        std::string latest_in_file;
        while (!files.empty() && ref.empty()) {
            [[maybe_unused]] const auto read =
                read_lines(files.back().path, quoted, [&](std::string_view line) {
                    const auto event = parse_journal_line(line);
                    if (!event || text_in(*event, "message_id") != wanted ||
                        text_in(*event, "event") != "message")
                        return true;
                    (text_in(*event, "outcome") == "accepted" ? ref : latest_in_file) =
                        text_in(*event, "ref");
                    return true;
                });
            if (refused.empty()) refused = std::exchange(latest_in_file, {});
            files.pop_back();
        }
        if (ref.empty()) ref = refused;
        if (ref.empty()) return std::nullopt;
        files = journal_files(folder);
    }
    TraceFold fold(ref);
    fold_journal(fold, std::move(files), ref);
    return fold.result();
}

std::optional<json> trace_token(const std::string& folder, const std::string& tokens,
                                std::string_view token) {
    const auto mapped = find_token(tokens, token);
    if (!mapped) return std::nullopt;
    const auto ref = text_in(*mapped, "ref");
    if (ref.empty()) return std::nullopt;  // Damaged; nothing would be everybody's.
    TraceFold fold(ref);
    // The journal's own line of the message says more, and takes this one's place.
    fold.add(*mapped);
    fold_journal(fold, journal_files(folder), ref);
    return fold.result();
}

}  // namespace postern::relay::event
