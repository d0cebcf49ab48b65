#pragma once

#include <memory>

#include "relay/spool/details.hpp"
#include "relay/spool/shared.hpp"
#include "relay/spool/spool.hpp"
#include "relay/spool/writer.hpp"

namespace postern::relay::spool {

/// The spool on segments.
class Engine final : public Spool {
  public:
    Engine(std::unique_ptr<Shared> shared, SegmentLog::Settings log, LogEnd end)
        : shared_(std::move(shared)), writer_(*shared_, std::move(log), std::move(end)) {}

    void commit(SpoolBatch batch, Callback done) override;
    boost::system::result<Reservation> reserve(std::uint64_t bytes) override;
    boost::system::result<LoadedEntry> load(const std::string& id) override;
    std::vector<std::string> take_due(WallTime now, std::size_t max) override;
    void put_back(const std::string& id, WallTime when) override;
    std::optional<WallTime> next_due() const override;
    [[nodiscard]] bool hold_back(const std::string& id) override;
    void let_go(const std::string& id) override;
    void set_reserve(std::uint64_t bytes) override { shared_->reserve.store(bytes); }
    std::vector<EntryInfo> list(const EntrySelector& which, std::size_t limit,
                                const std::string& after_id) const override;
    void visit(const EntrySelector& which,
               const std::function<bool(const EntryInfo&)>& see) const override;
    ChangeOutcome change(const EntrySelector& which, const EntryChange& what,
                         const std::function<void(const EntryInfo&)>& changed) override;
    void freeze(const std::string& account, bool frozen, Callback done) override;
    void record_frozen(Callback done) override;
    [[nodiscard]] std::vector<std::string> frozen_accounts() const override;
    Stats stats() const override;
    void stop() override { writer_.stop(); }

  private:
    [[nodiscard]] boost::system::error_code cannot_load(const Located& located,
                                                        boost::system::error_code error,
                                                        std::string_view what);
    void record_damage(const std::string& id, const std::string& why);
    struct Page;
    void retry_one(const EntryInfo& info, WallTime now, ChangeOutcome& out);
    /// Makes the changes of a page durable, and empties it.
    void record(Page& page, const std::shared_ptr<const EntryChange>& what, ChangeOutcome& out,
                const std::function<void(const EntryInfo&)>& changed);

    std::unique_ptr<Shared> shared_;
    Writer writer_;
};

}  // namespace postern::relay::spool
