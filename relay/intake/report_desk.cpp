#include "relay/intake/report_desk.hpp"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "proto/address.hpp"
#include "proto/report.hpp"
#include "relay/delivery/notices.hpp"
#include "relay/delivery/return_path.hpp"
#include "relay/intake/forward.hpp"

namespace postern::relay::intake {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t most_received = 100;

std::string_view action_of(WordKind kind) {
    switch (kind) {
        case WordKind::bounce:
            return "failed";
        case WordKind::deferral:
            return "delayed";
        case WordKind::delivery:
            return "delivered";
        case WordKind::complaint:
        case WordKind::other:
            break;
    }
    return "other";
}

std::string receiver_domain(const std::string& rcpt) {
    const auto at = rcpt.rfind('@');
    return at == std::string::npos
               ? std::string()
               : proto::normalised_domain(std::string_view(rcpt).substr(at + 1));
}

}  // namespace

ReportDesk::ReportDesk(Settings settings, Ports ports)
    : settings_(std::move(settings)),
      ports_(std::move(ports)),
      index_(settings_.index),
      thread_([this] { run(); }) {}

ReportDesk::~ReportDesk() {
    stop();
}

void ReportDesk::take(Mail mail, Done done) {
    const std::size_t octets = mail.octets.size();
    put({.what = std::move(mail), .done = std::move(done), .octets = octets});
}

void ReportDesk::take(std::vector<Word> words, Done done) {
    std::size_t octets = 0;
    for (const Word& word : words) octets += sizeof(Word) + word.rcpt.size() + word.text.size();
    put({.what = std::move(words), .done = std::move(done), .octets = octets});
}

void ReportDesk::put(Job job) {
    {
        const std::scoped_lock lock(mutex_);
        // One mail may be larger than all that may wait.
        const bool fits = jobs_.empty() || octets_ + job.octets <= settings_.max_octets;
        if (!stopping_ && fits && jobs_.size() < settings_.max_jobs) {
            octets_ += job.octets;
            jobs_.push_back(std::move(job));
            wake_.notify_one();
            return;
        }
    }
    tell(WordKind::other, Taken::overloaded);
    job.done(Taken::overloaded);
}

std::size_t ReportDesk::waiting() const {
    const std::scoped_lock lock(mutex_);
    return jobs_.size();
}

void ReportDesk::stop() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
        wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
}

/// What is done while nothing came. True: look again; false: wait.
bool ReportDesk::idle(std::unique_lock<std::mutex>& lock) {
    const auto next = complaints_.next();
    const bool due = next && *next <= clock::now();
    if (!due && indexed_) return false;
    lock.unlock();
    if (due) {
        for (const auto& batch : complaints_.due(clock::now())) send_complaints(batch);
    } else {
        indexed_ = !index_.read_more();
    }
    lock.lock();
    return true;
}

void ReportDesk::run() {
    ::pthread_setname_np(::pthread_self(), "intake");
    const auto guarded = [this](auto&& work) {
        try {
            work();
        } catch (const std::exception& e) {
            ports_.events.log(event::Level::error, "intake",
                              fmt::format("ended with an exception: {}", e.what()));
        }
    };
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        if (jobs_.empty()) {
            bool again = false;
            guarded([&] { again = idle(lock); });
            if (!lock.owns_lock()) lock.lock();
            if (again || stopping_ || !jobs_.empty()) continue;
            const auto next = complaints_.next();
            if (next) {
                wake_.wait_until(lock, *next);
            } else {
                wake_.wait(lock);
            }
            continue;
        }
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        octets_ -= job.octets;
        lock.unlock();
        handle(std::move(job));
        lock.lock();
    }
    std::deque<Job> left;
    left.swap(jobs_);
    lock.unlock();
    for (const Job& job : left) job.done(Taken::overloaded);
    guarded([this] {
        for (const auto& batch : complaints_.rest()) send_complaints(batch);
    });
}

void ReportDesk::handle(Job job) {
    Taken taken = Taken::overloaded;
    emitted_ = false;
    try {
        const auto* mail = std::get_if<Mail>(&job.what);
        taken = mail != nullptr ? handle_mail(*mail)
                                : handle_words(std::get<std::vector<Word>>(job.what));
        if (emitted_ && ports_.flush) ports_.flush();
    } catch (const std::exception& e) {  // no memory, or a bug: it may come again
        ports_.events.log(event::Level::error, "intake",
                          fmt::format("a report ended with an exception: {}", e.what()));
        taken = Taken::overloaded;
    }
    if (taken == Taken::overloaded) tell(WordKind::other, taken);
    job.done(taken);
}

void ReportDesk::tell(WordKind kind, Taken taken) {
    ports_.events.emit(event::IntakeTaken{.kind = name(kind), .result = name(taken)});
}

std::optional<event::MappedMessage> ReportDesk::find(const std::string& token) {
    if (token.empty()) return std::nullopt;
    auto found = index_.by_token(token, clock::now());
    if (found || !ports_.flush) return found;
    // It may have gone out this instant.
    ports_.flush();
    return index_.by_token(token, clock::now());
}

Taken ReportDesk::handle_mail(const Mail& mail) {
    const proto::Report report = proto::read_report(mail.octets);
    const std::vector<Saying> sayings = sayings_of(report);
    const config::ConfigPtr config = ports_.config();
    std::vector<std::string> tokens;
    for (const std::string& rcpt : mail.rcpts) {
        auto token = token_of_return_path(rcpt, config->message.bounce_domain);
        if (token.empty() || tokens.size() == settings_.max_return_paths) continue;
        if (std::ranges::find(tokens, token) == tokens.end()) tokens.push_back(std::move(token));
    }
    Taken worst = Taken::counted;
    for (const std::string& token : tokens)
        worst = worse(worst, handle_return(mail, token, sayings));
    if (!tokens.empty()) return worst;
    if (sayings.empty()) {
        tell(WordKind::other, Taken::unreadable);
        return Taken::unreadable;
    }
    for (const Saying& saying : sayings) {
        std::string rcpt;
        const Taken taken = judge(report.token, report.message_id, saying, rcpt);
        tell(saying.kind, taken);
        worst = worse(worst, taken);
    }
    return worst;
}

Taken ReportDesk::handle_return(const Mail& mail, const std::string& token,
                                const std::vector<Saying>& sayings) {
    const auto message = find(token);
    if (!message) {
        tell(sayings.empty() ? WordKind::other : sayings.front().kind, Taken::unknown);
        return Taken::unknown;
    }
    Taken worst = Taken::counted;
    Forward forward{
        .message = *message,
        .action = std::string(action_of(sayings.empty() ? WordKind::other : sayings.front().kind)),
        .rcpt = {}};
    for (const Saying& saying : sayings) {
        std::string rcpt;
        const Taken taken = count(saying, *message, rcpt);
        tell(saying.kind, taken);
        worst = worse(worst, taken);
        if (forward.rcpt.empty()) forward.rcpt = rcpt;
    }
    if (sayings.empty()) {
        worst = Taken::passed;
        tell(WordKind::other, worst);
    }
    // Whoever writes to it by hand is nobody's notification; complaints have their own way.
    if (!mail.mail_from.empty() && sayings.empty()) return worst;
    if (std::ranges::any_of(sayings, [](const Saying& said) { return said.via == Via::arf; }))
        return worst;
    const auto went = send_on(mail, forward);
    return went ? worse(worst, *went) : worst;
}

Taken ReportDesk::handle_words(const std::vector<Word>& words) {
    Taken worst = Taken::counted;
    for (const Word& word : words) {
        const Saying saying = saying_of(word);
        std::string rcpt;
        const bool silent = word.kind == WordKind::other;
        const Taken taken =
            silent ? Taken::passed : judge(word.token, word.message_id, saying, rcpt);
        tell(word.kind, taken);
        worst = worse(worst, taken);
    }
    return worst;
}

Taken ReportDesk::judge(const std::string& token, const std::string& message_id,
                        const Saying& saying, std::string& rcpt) {
    if (const auto message = find(token)) return count(saying, *message, rcpt);
    if (message_id.empty()) return Taken::unknown;
    auto candidates = index_.by_message_id(message_id, clock::now());
    if (candidates.empty() && ports_.flush) {
        ports_.flush();
        candidates = index_.by_message_id(message_id, clock::now());
    }
    for (const event::MappedMessage& message : candidates) {
        if (const Taken taken = count(saying, message, rcpt); taken != Taken::unknown) return taken;
    }
    const bool ours =
        candidates.empty() && is_own_message_id(message_id, ports_.config()->server.hostname);
    return ours ? Taken::passed : Taken::unknown;
}

Taken ReportDesk::count(const Saying& saying, const event::MappedMessage& message,
                        std::string& rcpt) {
    Finding finding = attribute(saying, message);
    rcpt = finding.rcpt;
    if (finding.taken != Taken::counted) return finding.taken;
    if (was_told(message, saying.kind, rcpt) || !once_.add(message.token, saying.kind, rcpt))
        return Taken::duplicate;
    const std::string upstream = upstream_of(message, rcpt);
    emitted_ = true;
    if (saying.kind == WordKind::complaint) {
        ports_.events.emit(event::Complaint{.ref = message.ref,
                                            .token = message.token,
                                            .rcpt = rcpt,
                                            .kind = saying.detail,
                                            .via = std::string(name(saying.via)),
                                            .account = message.account,
                                            .customer = message.customer,
                                            .upstream = upstream,
                                            .domain = receiver_domain(rcpt)});
        const auto batch = complaints_.add({.ref = message.ref,
                                            .account = message.account,
                                            .customer = message.customer,
                                            .rcpt = rcpt,
                                            .message_id = message.message_id,
                                            .sent = message.sent,
                                            .kind = saying.detail},
                                           clock::now());
        if (batch) send_complaints(*batch);
        return Taken::counted;
    }
    ports_.events.emit(event::Bounce{.ref = message.ref,
                                     .token = message.token,
                                     .rcpt = rcpt,
                                     .enhanced = saying.enhanced,
                                     .text = saying.text,
                                     .account = message.account,
                                     .customer = message.customer,
                                     .upstream = upstream,
                                     .domain = receiver_domain(rcpt),
                                     .via = std::string(name(saying.via))});
    if (ports_.book != nullptr) {
        ports_.book->bounced({.customer = message.customer, .account = message.account}, rcpt,
                             saying.enhanced, message.ref, std::chrono::system_clock::now());
    }
    return Taken::counted;
}

std::string ReportDesk::upstream_of(const event::MappedMessage& message, const std::string& rcpt) {
    std::string found;
    if (ports_.delivered_by) found = ports_.delivered_by(message.ref);
    const auto now = clock::now();
    const bool may_search =
        !searched_journal_ || now - *searched_journal_ >= settings_.journal_every;
    if (found.empty() && ports_.delivered_by_journal && may_search) {
        searched_journal_ = now;
        found = ports_.delivered_by_journal(message.ref, rcpt);
    }
    // A label comes of a closed set: the upstreams that are configured.
    const auto& upstreams = ports_.config()->upstream;
    const bool known =
        std::ranges::find(upstreams, found, &config::Upstream::name) != upstreams.end();
    return known ? found : std::string();
}

std::optional<Taken> ReportDesk::send_on(const Mail& mail, const Forward& forward) {
    const event::MappedMessage& message = forward.message;
    const config::ConfigPtr config = ports_.config();
    const auto sender = proto::parse_mailbox(message.mail_from, true);
    if (message.mail_from.empty() || !sender) return std::nullopt;
    // It would come back here.
    if (!token_of_return_path(message.mail_from, config->message.bounce_domain).empty())
        return std::nullopt;
    const auto leave = [&](std::string_view why) {
        ports_.events.log(
            event::Level::warning, "intake",
            fmt::format("mail to the return path of {} is not sent on: {}", message.ref, why));
        return std::nullopt;
    };
    if (received_fields(mail.octets) > most_received) return leave("it goes round in a loop");
    if (!forwarded_.take(message.token, message.rcpts.size()))
        return leave("as many as it may have went already");
    const std::string id = ports_.make_ref();
    const auto stored =
        store(make_forward_entry(message, *sender, mail.octets, config->server.hostname, id,
                                 std::chrono::system_clock::now()));
    if (!stored) {
        ports_.events.log(event::Level::error, "intake",
                          fmt::format("mail to the return path of {} cannot be stored: {}",
                                      message.ref, stored.error().message()));
        return Taken::overloaded;
    }
    emitted_ = true;
    ports_.events.emit(event::Dsn{.ref = message.ref,
                                  .id = id,
                                  .action = forward.action,
                                  .rcpt = forward.rcpt,
                                  .result = "forwarded"});
    return std::nullopt;
}

void ReportDesk::send_complaints(const ComplaintNotices::Batch& batch) {
    const config::ConfigPtr config = ports_.config();
    std::string contact;
    if (!batch.customer.empty() && ports_.abuse_contact)
        contact = ports_.abuse_contact(batch.customer);
    if (contact.empty()) contact = config->server.abuse_contact;
    const auto to = proto::parse_mailbox(contact, true);
    const auto fail = [&](std::string_view why) {
        ports_.events.log(event::Level::error, "intake",
                          fmt::format("the abuse contact of {} is not told of a complaint: {}",
                                      batch.owner, why));
    };
    if (!to) return fail("it is no mail address");
    const std::string id = ports_.make_ref();
    NewEntry entry = make_complaint_mail(*config, *to, batch, id, std::chrono::system_clock::now());
    if (ports_.sign) put_on_top(entry, ports_.sign(id, entry.pieces));
    if (const auto stored = store(std::move(entry)); !stored) return fail(stored.error().message());
}

boost::system::result<void> ReportDesk::store(NewEntry entry) {
    std::promise<boost::system::result<void>> said;
    auto answer = said.get_future();
    SpoolBatch batch;
    batch.add.push_back(std::move(entry));
    ports_.spool.commit(std::move(batch),
                        [&said](boost::system::result<void> word) { said.set_value(word); });
    return answer.get();
}

}  // namespace postern::relay::intake
