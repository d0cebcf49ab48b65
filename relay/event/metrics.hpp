#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "relay/event/event.hpp"

namespace postern::relay::event {

/// The Prometheus metrics of interfaces.md section 6: counters and histograms as a reader of the
/// stream, gauges asked of their owners when somebody looks. on_event takes no lock on the way of a
/// message but a histogram's own.
class Metrics final : public Reader {
  public:
    explicit Metrics(std::string version);
    ~Metrics() override;
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    void on_event(const Event& e) noexcept override;

    struct Sample {
        std::vector<std::pair<std::string, std::string>> labels;
        double value = 0;
    };
    enum class Kind : unsigned char { gauge, counter };
    /// `name` without its prefix. `read` is called by render(), on its thread. Registered before
    /// the first render() or at any time.
    void ask(Kind kind, std::string name, std::string help,
             std::function<std::vector<Sample>()> read);

    /// The text format 0.0.4.
    [[nodiscard]] std::string render() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::relay::event
