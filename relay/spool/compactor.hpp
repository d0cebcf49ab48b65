#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/spool/details.hpp"
#include "relay/spool/operation.hpp"
#include "relay/spool/shared.hpp"

namespace postern::relay::spool {

/// Copies what lives in half-dead segments to the current one and removes their files, one segment
/// after the other, in small steps. For the writer's thread alone.
class Compactor {
  public:
    explicit Compactor(Shared& shared) : shared_(shared) {}

    /// Does one step. What it returns is to be written as one group and applied before the next
    /// step; empty where nothing needed to be copied. `current`: the segment being written.
    [[nodiscard]] std::vector<std::unique_ptr<Prepared>> step(std::uint32_t current);
    /// Whether another step would find something to do.
    [[nodiscard]] bool has_work(std::uint32_t current);
    /// Does nothing for a time, and then begins anew: what the last step returned could not be
    /// written.
    void pause(std::chrono::seconds time);

  private:
    using Batch = std::vector<std::unique_ptr<Prepared>>;

    [[nodiscard]] SegmentPtr choose(std::uint32_t current) const;
    [[nodiscard]] SegmentPtr before_the_urgent(std::uint32_t current) const;
    [[nodiscard]] Batch copy_some();
    [[nodiscard]] Batch copy_left_over();
    void copy_frame(const ScannedFrame& frame, Batch& out);
    void copy_entry(const ScannedFrame& frame, std::size_t n, Batch& out);
    void copy_state(const ScannedRecord& record, Batch& out);
    void copy_end(const ScannedRecord& record, Batch& out);
    [[nodiscard]] std::optional<Located> look_up(const std::string& id);
    void add_state(const Located& located, Prepared& out);
    void body_is_lost(Located& located, const BodyPlace& body);
    void give_up_entry(const Located& located);
    void remove_victim();
    void forget_victim();

    Shared& shared_;
    SegmentPtr victim_;
    std::optional<Scanner> scanner_;
    bool scanned_ = false;
    bool unreadable_ = false;  ///< The disk refused to give something in this step.
    std::chrono::steady_clock::time_point retry_at_{};
};

}  // namespace postern::relay::spool
