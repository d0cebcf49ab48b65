#pragma once

#include <string>
#include <vector>

namespace postern::relay::event {

struct ProcessFigure {
    std::string name, help;
    bool counter = false;
    double value = 0;
};
/// The process_* figures that Prometheus' own libraries tell: from /proc/self; what cannot be read
/// is left out.
[[nodiscard]] std::vector<ProcessFigure> process_figures();

}  // namespace postern::relay::event
