#include "relay/event/recorder.hpp"

#include <algorithm>
#include <utility>

#include "relay/event/json.hpp"
#include "relay/event/token_map.hpp"

namespace postern::relay::event {

namespace {

/// Events gather so long before the thread is at it again: a busy relay wakes it a few dozen times
/// a second and not once a message.
constexpr std::chrono::milliseconds gather{25};
constexpr std::chrono::hours expire_every{1};
constexpr std::size_t buffer_kept = 1U << 20U;

std::size_t octets_of(const Event& e) {
    if (const auto* message = std::get_if<Message>(&e.what)) {
        std::size_t n = message->message_id.size() + message->header_from.size() +
                        message->header_sender.size() + message->shape.size() +
                        message->ehlo.size() + message->text.size();
        for (const auto& rcpt : message->rcpts) n += rcpt.size() + sizeof(std::string);
        return n;
    }
    if (const auto* log = std::get_if<Log>(&e.what)) return log->text.size();
    if (const auto* delivery = std::get_if<Delivery>(&e.what))
        return delivery->text.size() + delivery->rcpt.size();
    return 256;
}

bool is_cheap(const Payload& what) {
    if (const auto* login = std::get_if<Login>(&what)) return login->result == "error";
    return std::holds_alternative<Recipient>(what) || std::holds_alternative<Connect>(what) ||
           std::holds_alternative<Disconnect>(what) || std::holds_alternative<Attempt>(what);
}

/// Hands lines of one level that stand side by side to the log in one piece: one wake-up a batch.
struct LogRun {
    LineWriter* log;
    const std::string& lines;
    Level level = Level::info;
    std::size_t start = 0, count = 0, end = 0;

    /// The line from `at` to the end of `lines`.
    void add(Level line_level, std::size_t at) {
        if (log == nullptr || line_level < log->level()) return;
        if (count != 0 && (line_level != level || at != end)) submit();
        if (count == 0) start = at;
        level = line_level;
        end = lines.size();
        ++count;
    }
    void submit() {
        if (count != 0)
            log->submit(level, std::string_view(lines).substr(start, end - start), count);
        count = 0;
    }
};

}  // namespace

Recorder::Recorder(std::optional<Journal> journal, LineWriter* log, Settings settings,
                   std::optional<Journal> tokens)
    : settings_(settings),
      journal_(std::move(journal)),
      tokens_(std::move(tokens)),
      log_(log),
      thread_([this] { run(); }) {}

Recorder::~Recorder() {
    stop();
}

void Recorder::keep(std::unique_ptr<Event> e) noexcept {
    try {
        const auto octets = octets_of(*e) + sizeof(Event);
        const std::scoped_lock lock(mutex_);
        // What a client can cause by the thousand leaves room for what was promised and who logged
        // in.
        const auto most = is_cheap(e->what) ? settings_.max_events / 2 : settings_.max_events;
        if (stopping_ || queue_.size() >= most || octets_ + octets > settings_.max_octets) {
            dropped_.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        queue_.push_back(std::move(e));
        octets_ += octets;
        ++kept_;
        if (waiting_) {
            waiting_ = false;
            wake_.notify_one();
        } else if (queue_.size() == settings_.max_events / 2) {
            hurry_ = true;
            wake_.notify_one();
        }
    } catch (const std::exception&) {  // no memory
        dropped_.fetch_add(1, std::memory_order_relaxed);
    }
}

bool Recorder::flush(std::chrono::milliseconds patience) noexcept {
    std::unique_lock lock(mutex_);
    const auto wanted = kept_;
    hurry_ = true;
    wake_.notify_one();
    return written_.wait_for(lock, patience, [&] { return done_ >= wanted; });
}

void Recorder::stop() noexcept {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void Recorder::set_retention(std::chrono::seconds retention) noexcept {
    journal_orders_.retention_s.store(retention.count(), std::memory_order_relaxed);
}

void Recorder::set_token_retention(std::chrono::seconds retention) noexcept {
    token_orders_.retention_s.store(retention.count(), std::memory_order_relaxed);
}

void Recorder::set_keep_free(std::uint64_t octets) noexcept {
    journal_orders_.keep_free.store(octets, std::memory_order_relaxed);
}

void Recorder::set_tokens_keep_free(std::uint64_t octets) noexcept {
    token_orders_.keep_free.store(octets, std::memory_order_relaxed);
}

void Recorder::Orders::carry_out(Journal& journal) noexcept {
    if (const auto kept = retention_s.exchange(-1, std::memory_order_relaxed); kept >= 0)
        journal.set_retention(std::chrono::seconds(kept));
    if (const auto free = keep_free.exchange(no_change, std::memory_order_relaxed);
        free != no_change)
        journal.set_keep_free(free);
}

void Recorder::run() noexcept {
    ::pthread_setname_np(::pthread_self(), "events");
    std::vector<std::unique_ptr<Event>> batch;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            waiting_ = queue_.empty();
            wake_.wait(lock, [this] { return !queue_.empty() || stopping_ || hurry_; });
            waiting_ = false;
            wake_.wait_for(lock, gather, [this] { return stopping_ || hurry_; });
            hurry_ = false;
            batch.swap(queue_);
            octets_ = 0;
            if (batch.empty() && stopping_) return;
        }
        const auto count = batch.size();
        write(batch);
        batch.clear();
        {
            const std::scoped_lock lock(mutex_);
            done_ += count;
        }
        written_.notify_all();
    }
}

void Recorder::write(std::vector<std::unique_ptr<Event>>& batch) noexcept {
    if (batch.empty()) return;
    try {
        // Several threads emit: within a batch their order is mended. Across batches `seq` tells.
        std::ranges::sort(batch, {}, [](const auto& e) { return e->seq; });
        const auto now = batch.back()->t;
        lines_.clear();
        std::size_t unwritten = 0;
        LogRun run{.log = log_, .lines = lines_};
        for (const auto& e : batch) {
            const auto start = lines_.size();
            append_line(lines_, *e);
            const auto level = level_of(e->what);
            run.add(level, start);
            // Debug lines are for who watches now; the journal is for who asks later.
            if (std::holds_alternative<Log>(e->what) && level == Level::debug) {
                run.submit();
                lines_.resize(start);
            } else {
                ++unwritten;
            }
        }
        run.submit();
        if (tokens_) write_tokens(batch);
        if (journal_) {
            journal_orders_.carry_out(*journal_);
            if (const auto written = journal_->append(lines_, now); !written) {
                dropped_.fetch_add(unwritten, std::memory_order_relaxed);
            }
        }
        if (now - expired_at_ >= expire_every || now < expired_at_) {
            expired_at_ = now;
            if (journal_) journal_->expire(now);
            if (tokens_) tokens_->expire(now);
        }
        if (lines_.capacity() > buffer_kept) std::string().swap(lines_);
    } catch (const std::exception&) {
        dropped_.fetch_add(batch.size(), std::memory_order_relaxed);
    }
}

void Recorder::write_tokens(const std::vector<std::unique_ptr<Event>>& batch) {
    token_lines_.clear();
    for (const auto& e : batch) append_token_line(token_lines_, *e);
    token_orders_.carry_out(*tokens_);
    if (token_lines_.empty()) return;
    if (const auto written = tokens_->append(token_lines_, batch.back()->t); !written) {
        const auto lost = std::ranges::count(token_lines_, '\n');
        tokens_dropped_.fetch_add(static_cast<std::uint64_t>(lost), std::memory_order_relaxed);
    }
    if (token_lines_.capacity() > buffer_kept) std::string().swap(token_lines_);
}

}  // namespace postern::relay::event
