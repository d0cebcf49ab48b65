#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "relay/event/event.hpp"

namespace postern::relay::event {

/// Appends `text` as a JSON string with its quotes. Control characters are escaped (DEL too);
/// octets that are no UTF-8 become U+FFFD, so that a line is always valid and safe on a terminal.
void append_json_string(std::string& out, std::string_view text);

/// RFC 3339 UTC with milliseconds, "2026-03-02T09:15:00.120Z".
void append_time(std::string& out, std::chrono::system_clock::time_point t);
[[nodiscard]] std::string time_text(std::chrono::system_clock::time_point t);

/// Writes one flat JSON object (nested where asked) onto a string. Empty strings are left out by
/// field(), written by text().
class JsonObject {
  public:
    explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }

    void key(std::string_view name) {
        if (!first_) out_ += ',';
        first_ = false;
        out_ += '"';
        out_ += name;  // ours, always plain
        out_ += "\":";
    }
    void field(std::string_view name, std::string_view text) {
        if (!text.empty()) this->text(name, text);
    }
    void text(std::string_view name, std::string_view text) {
        key(name);
        append_json_string(out_, text);
    }
    void flag(std::string_view name, bool value) {
        key(name);
        out_ += value ? "true" : "false";
    }
    template <typename Integer>
        requires std::is_integral_v<Integer>
    void number(std::string_view name, Integer value) {
        key(name);
        char buffer[24];
        const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
        out_.append(buffer, end);
    }
    void real(std::string_view name, double value);
    void time(std::string_view name, std::chrono::system_clock::time_point t) {
        key(name);
        append_time(out_, t);
    }
    template <typename Range>
    void texts(std::string_view name, const Range& values) {
        key(name);
        out_ += '[';
        bool first = true;
        for (const auto& v : values) {
            if (!first) out_ += ',';
            first = false;
            append_json_string(out_, v);
        }
        out_ += ']';
    }
    void end() { out_ += '}'; }

  private:
    std::string& out_;
    bool first_ = true;
};

/// The word that stands in "event"; of events that are counted only, the one that events_total
/// counts.
[[nodiscard]] std::string_view event_name(const Payload& what) noexcept;
/// False: counted only.
[[nodiscard]] bool is_written(const Payload& what) noexcept;
/// The names of all events that are written.
[[nodiscard]] std::vector<std::string_view> written_names();
/// How loud it is in the log: lookups debug, alerts warning or error, all else info.
[[nodiscard]] Level level_of(const Payload& what) noexcept;
[[nodiscard]] std::string_view name(Level level) noexcept;

/// Appends the event as one line with its '\n' (events.md; interfaces.md section 7).
void append_line(std::string& out, const Event& e);

}  // namespace postern::relay::event
