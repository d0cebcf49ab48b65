#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace postern::tests {

/// One line of a dialogue file (tests/dialogues/README.md).
struct DialogueLine {
    enum class Kind { client, server, closed, directive };
    Kind kind;
    std::string text;  ///< Octets to send; a pattern; a directive's words.
    int number = 0;    ///< In its file.
};

[[nodiscard]] std::vector<DialogueLine> read_dialogue(const std::filesystem::path& file);

/// Runs a dialogue on a machine of its own, the client's octets cut in pieces of `cut`. Empty where
/// all went as written, else what did not.
[[nodiscard]] std::string run_dialogue(const std::vector<DialogueLine>& dialogue, std::size_t cut);

/// `*` in `pattern` stands for any octets.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text);

}  // namespace postern::tests
