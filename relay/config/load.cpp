#include "relay/config/load.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "relay/config/environment.hpp"
#include "relay/config/finish.hpp"
#include "relay/config/reader.hpp"

namespace postern::relay::config {
namespace {

constexpr std::size_t largest_file = 1U << 20U;

std::optional<std::string> read_whole_file(const std::string& path, std::string& error) {
    std::error_code folder;
    if (std::filesystem::is_directory(path, folder)) {
        error = "is a folder, not a file";
        return std::nullopt;
    }
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    std::string text(largest_file + 1, '\0');
    if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in && !in.eof()) {
        error = errno != 0 ? std::generic_category().message(errno) : "cannot be read";
        return std::nullopt;
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > largest_file) {
        error = "larger than 1MiB";
        return std::nullopt;
    }
    return text;
}

std::string folder_of(const std::string& file, const Surroundings& around) {
    const auto slash = file.rfind('/');
    if (file.starts_with('/')) return file.substr(0, slash == 0 ? 1 : slash);
    if (slash == std::string::npos) return around.working_directory;
    return around.working_directory + "/" + file.substr(0, slash);
}

/// Faults of the file in the order of its lines, then those of the environment; at most
/// `most_faults`.
void in_order(std::vector<Fault>& faults) {
    constexpr std::size_t most_faults = 100;
    using Place = std::tuple<bool, unsigned long, std::size_t>;
    std::vector<Place> places;
    for (std::size_t i = 0; i < faults.size(); ++i) {
        const std::string& where = faults[i].where;
        const auto colon = where.rfind(':');
        const unsigned long line =
            colon == std::string::npos ? 0 : std::strtoul(where.c_str() + colon + 1, nullptr, 10);
        places.emplace_back(where.starts_with("environment "), line, i);
    }
    std::ranges::sort(places);
    if (places.size() > most_faults) places.resize(most_faults);
    std::vector<Fault> sorted;
    for (const auto& [environment, line, index] : places)
        sorted.push_back(std::move(faults[index]));
    faults = std::move(sorted);
}

Loaded build(Node root, const std::string& file, Reading& reading) {
    apply_environment(root, reading);
    auto config = std::make_shared<Config>();
    SectionReader<Config>(reading, root, "", *config).read();
    finish(*config, root, reading);
    Loaded loaded;
    in_order(reading.faults);
    loaded.faults = std::move(reading.faults);
    loaded.notices = reading.notices;
    if (loaded.faults.empty()) {
        config->file = file;
        config->notices = std::move(reading.notices);
        loaded.config = std::move(config);
    }
    return loaded;
}

}  // namespace

std::string Fault::message() const {
    return key.empty() ? fmt::format("{}: {}", where, text)
                       : fmt::format("{}: {}: {}", where, key, text);
}

Surroundings Surroundings::of_process() {
    Surroundings around;
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
        const std::string_view text(*variable);
        const auto equals = text.find('=');
        if (equals != std::string_view::npos)
            around.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    std::array<char, 256> name{};
    if (gethostname(name.data(), name.size() - 1) == 0) around.hostname = name.data();
    std::error_code error;
    around.working_directory = std::filesystem::current_path(error).string();
    around.read_file = read_whole_file;
    return around;
}

std::string choose_file(std::string_view option, const Surroundings& around) {
    if (!option.empty()) return std::string(option);
    const auto named = std::ranges::find(around.environment, "POSTERN_CONFIG",
                                         &std::pair<std::string, std::string>::first);
    if (named != around.environment.end() && !named->second.empty()) return named->second;
    return "/etc/postern/postern.toml";
}

Loaded load(const std::string& file, bool named, const Surroundings& around, Need need) {
    std::string error;
    const auto text = around.read_file(file, error);
    if (text) return load_text(*text, file, around, need);
    if (!named && (need == Need::nothing || upstream_in_environment(around))) {
        Loaded loaded = load_text("", "", around, need);
        loaded.notices.push_back(
            fmt::format("{}: {}: the environment and defaults hold", file, error));
        return loaded;
    }
    return {nullptr,
            {{file, "",
              fmt::format("{}; name the configuration with -c FILE or POSTERN_CONFIG", error)}},
            {}};
}

Loaded load_text(std::string_view text, const std::string& file, const Surroundings& around,
                 Need need) {
    auto parsed = parse_toml(text, file.empty() ? "configuration" : file);
    if (auto* fault = std::get_if<Fault>(&parsed)) return {nullptr, {std::move(*fault)}, {}};
    Reading reading{
        around, file.empty() ? around.working_directory : folder_of(file, around), need, {}, {}};
    return build(std::get<Node>(std::move(parsed)), file, reading);
}

}  // namespace postern::relay::config
