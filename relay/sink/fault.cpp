#include "relay/sink/fault.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <fstream>
#include <iostream>
#include <utility>

#include <fmt/format.h>

#include "relay/sink/sink.hpp"

namespace postern::relay::sink {

namespace {

constexpr std::array<std::pair<std::string_view, Stage>, 9> stages{{
    {"connect", Stage::connect},
    {"ehlo", Stage::ehlo},
    {"starttls", Stage::starttls},
    {"auth", Stage::auth},
    {"mail", Stage::mail},
    {"rcpt", Stage::rcpt},
    {"data", Stage::data},
    {"body", Stage::body},
    {"dot", Stage::dot},
}};

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

/// "slow", "slow=2.5": the pause, or nothing when it is no number of seconds.
std::optional<std::chrono::milliseconds> parse_pause(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return std::chrono::milliseconds(1000);
    double seconds = 0;
    const auto [end, ec] =
        std::from_chars(text.data() + equals + 1, text.data() + text.size(), seconds);
    if (ec != std::errc() || end != text.data() + text.size() || seconds < 0 || seconds > 86400)
        return std::nullopt;
    return std::chrono::milliseconds(static_cast<long>(seconds * 1000));
}

bool parse_action(std::string_view text, Fault& fault) {
    if (text == "hang" || text == "drop" || text == "lose") {
        fault.action = text == "hang" ? Action::hang : text == "drop" ? Action::drop : Action::lose;
        return true;
    }
    if (text.starts_with("slow") || text.starts_with("drip")) {
        const auto pause = parse_pause(text);
        if (!pause || (text.size() > 4 && text[4] != '=')) return false;
        fault.action = text.starts_with("slow") ? Action::slow : Action::drip;
        fault.pause = *pause;
        return true;
    }
    const auto [end, ec] = std::from_chars(
        text.data(), text.data() + std::min<std::size_t>(text.size(), 3), fault.code);
    if (ec != std::errc() || end != text.data() + 3 || fault.code < 200 || fault.code > 599)
        return false;
    if (text.size() > 3 && text[3] != ' ') return false;
    fault.action = Action::reply;
    fault.reply = text.size() > 4 ? std::string(text)
                                  : fmt::format("{} {}.0.0 as told", fault.code, fault.code / 100);
    return true;
}

}  // namespace

bool Fault::concerns(std::string_view address) const {
    if (subject.empty()) return true;
    const std::string name = lower(address);
    return subject.front() == '@' ? name.ends_with(subject) : name == subject;
}

std::optional<Fault> parse_fault(std::string_view text, std::string& problem) {
    problem =
        "a fault is STAGE:ACTION[:RCPT], with a stage of connect ehlo starttls auth mail rcpt data "
        "body dot, and "
        "an action of a code (\"451\", \"550 5.1.1 no such user\"), hang, drop, lose, "
        "slow[=SECONDS], "
        "drip[=SECONDS]";
    Fault fault;
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto stage = std::find_if(stages.begin(), stages.end(), [&](const auto& entry) {
        return entry.first == text.substr(0, colon);
    });
    if (stage == stages.end()) return std::nullopt;
    fault.stage = stage->second;
    std::string_view action = text.substr(colon + 1);
    if (const auto last = action.rfind(':'); last != std::string_view::npos) {
        const std::string_view subject = action.substr(last + 1);
        if (subject.find('@') != std::string_view::npos &&
            subject.find(' ') == std::string_view::npos) {
            fault.subject = lower(subject);
            action = action.substr(0, last);
        }
    }
    if (!parse_action(action, fault)) return std::nullopt;
    if (fault.action == Action::lose && fault.stage != Stage::dot) {
        problem = "\"lose\" keeps the mail and drops its answer: only for stage dot";
        return std::nullopt;
    }
    problem.clear();
    return fault;
}

std::optional<std::string> check_fault(const std::string& text) {
    std::string problem;
    if (parse_fault(text, problem)) return std::nullopt;
    return problem;
}

FaultTable::FaultTable(std::span<const std::string> given, std::string file)
    : file_(std::move(file)) {
    std::string problem;
    for (const std::string& text : given) {
        if (auto fault = parse_fault(text, problem)) given_.push_back(std::move(*fault));
    }
}

void FaultTable::reload() {
    struct stat found{};
    Print print;
    if (::stat(file_.c_str(), &found) == 0) {
        print = {found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
    }
    if (print == print_) return;
    print_ = print;
    from_file_.clear();
    std::ifstream file(file_);
    std::string problem;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line.front() == '#') continue;
        if (auto fault = parse_fault(line, problem)) {
            from_file_.push_back(std::move(*fault));
        } else {
            std::cerr << "postern: " << file_ << ": " << line << ": " << problem << '\n';
        }
    }
}

std::optional<Fault> FaultTable::find(Stage stage, std::span<const std::string> addresses) {
    if (!file_.empty()) reload();
    for (const auto* list : {&from_file_, &given_}) {
        for (const Fault& fault : *list) {
            if (fault.stage != stage) continue;
            const bool meant =
                fault.subject.empty() ||
                std::any_of(addresses.begin(), addresses.end(),
                            [&](const std::string& address) { return fault.concerns(address); });
            if (meant) return fault;
        }
    }
    return std::nullopt;
}

}  // namespace postern::relay::sink
