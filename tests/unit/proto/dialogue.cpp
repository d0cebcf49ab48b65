#include "tests/unit/proto/dialogue.hpp"

#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "tests/session_driver.hpp"

namespace postern::tests {

namespace {

std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
            continue;
        }
        ++i;
        switch (text.at(i)) {
            case 'r':
                out += '\r';
                break;
            case 'n':
                out += '\n';
                break;
            case 't':
                out += '\t';
                break;
            case '0':
                out += '\0';
                break;
            case 'x':
                out +=
                    static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
                i += 2;
                break;
            default:
                out += text[i];
        }
    }
    return out;
}

class Run {
  public:
    Run(const std::vector<DialogueLine>& dialogue, std::size_t cut)
        : dialogue_(dialogue), cut_(cut), driver_(settings(dialogue)) {}

    std::string run() {
        driver_.run();
        if (driver_.tls_wanted) driver_.start_tls();
        for (const DialogueLine& line : dialogue_) {
            if (line.kind == DialogueLine::Kind::client) {
                gathered_ += line.text;
                continue;
            }
            driver_.feed(gathered_, cut_);
            gathered_.clear();
            if (auto wrong = check(line); !wrong.empty()) {
                return "line " + std::to_string(line.number) + ": " + wrong;
            }
        }
        driver_.feed(gathered_, cut_);
        return driver_.said.empty() ? "" : "at the end: unexpected: " + driver_.said;
    }

  private:
    static proto::SessionSettings settings(const std::vector<DialogueLine>& dialogue) {
        proto::SessionSettings out = SessionDriver::defaults();
        for (const DialogueLine& line : dialogue) {
            if (line.kind != DialogueLine::Kind::directive) continue;
            std::istringstream words(line.text);
            std::string word;
            std::string key;
            words >> word >> key;
            if (word == "port") out.implicit_tls = key == "tls";
            if (word != "setting") continue;
            if (key == "max_recipients") words >> out.max_recipients;
            if (key == "max_errors") words >> out.max_errors;
            if (key == "normalize_newlines") words >> out.normalize_newlines;
        }
        return out;
    }

    std::string check(const DialogueLine& line) {
        switch (line.kind) {
            case DialogueLine::Kind::client:
                break;
            case DialogueLine::Kind::server: {
                const std::size_t end = driver_.said.find("\r\n");
                if (end == std::string::npos) return "nothing was said, wanted: " + line.text;
                const std::string said = driver_.said.substr(0, end);
                driver_.said.erase(0, end + 2);
                if (!matches(line.text, said)) return "said: " + said + "\nwanted: " + line.text;
                break;
            }
            case DialogueLine::Kind::closed:
                if (!driver_.said.empty()) return "said before closing: " + driver_.said;
                if (driver_.open) return "still open";
                break;
            case DialogueLine::Kind::directive:
                return carry_out(line.text);
        }
        return {};
    }

    std::string carry_out(const std::string& text) {
        std::istringstream words(text);
        std::string word;
        words >> word;
        if (word == "tls") {
            if (!driver_.tls_wanted) return "no handshake is wanted";
            driver_.start_tls();
        } else if (word == "whole") {
            cut_ = std::numeric_limits<std::size_t>::max();
        } else if (word == "answer") {
            std::string stage;
            std::string code;
            words >> stage >> code;
            std::optional<proto::Reply> reply;
            if (code != "accept") {
                reply.emplace();
                reply->code = std::stoi(code);
                words >> reply->enhanced >> std::ws;
                std::getline(words, reply->text);
            }
            driver_.answers[stage].push_back(std::move(reply));
        } else if (word == "offer") {
            std::string key;
            words >> key;
            if (key == "max_size") words >> offer_.max_size;
            if (key == "eight_bit_mime") words >> offer_.eight_bit_mime;
            if (key == "smtputf8") words >> offer_.smtputf8;
            driver_.session.offer(offer_);
        } else if (word == "eof") {
            driver_.session.eof();
        } else if (word == "timeout") {
            driver_.session.timed_out();
        } else if (word == "shutdown") {
            driver_.session.shut_down({.code = 421, .enhanced = "4.3.2", .text = "shutting down"});
        } else if (word != "port" && word != "setting" && word != "machine") {
            return "unknown directive " + word;
        }
        if (!driver_.tls_wanted) driver_.run();
        return {};
    }

    const std::vector<DialogueLine>& dialogue_;
    std::size_t cut_;
    SessionDriver driver_;
    proto::Session::Offer offer_;
    std::string gathered_;
};

}  // namespace

std::vector<DialogueLine> read_dialogue(const std::filesystem::path& file) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error("cannot read " + file.string());
    std::vector<DialogueLine> out;
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
        using enum DialogueLine::Kind;
        if (line.empty() || line.starts_with('#')) continue;
        if (line == "C:") {
            out.push_back({client, "\r\n", number});
        } else if (line.starts_with("C: ")) {
            out.push_back({client, line.substr(3) + "\r\n", number});
        } else if (line.starts_with("C< ")) {
            out.push_back({client, unescaped(line.substr(3)), number});
        } else if (line.starts_with("S: ")) {
            out.push_back({server, line.substr(3), number});
        } else if (line == "S!") {
            out.push_back({closed, {}, number});
        } else if (line.starts_with("@ ")) {
            out.push_back({directive, line.substr(2), number});
        } else {
            throw std::runtime_error(file.string() + ":" + std::to_string(number) +
                                     ": not understood");
        }
    }
    return out;
}

std::string run_dialogue(const std::vector<DialogueLine>& dialogue, std::size_t cut) {
    return Run(dialogue, cut).run();
}

bool matches(std::string_view pattern, std::string_view text) {
    const std::size_t star = pattern.find('*');
    if (star == std::string_view::npos) return pattern == text;
    if (!text.starts_with(pattern.substr(0, star))) return false;
    pattern.remove_prefix(star + 1);
    for (std::size_t from = star; from <= text.size(); ++from) {
        if (matches(pattern, text.substr(from))) return true;
    }
    return false;
}

}  // namespace postern::tests
