#include "relay/intake/listeners.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "relay/intake/access.hpp"
#include "relay/intake/hall.hpp"
#include "relay/net/listener.hpp"
#include "relay/net/task_group.hpp"

namespace postern::relay::intake {
namespace {

constexpr std::size_t refusals_at_once = 64;  // then who is not wanted is closed without a word

proto::Reply too_many() {
    return {.code = 421,
            .enhanced = "4.7.0",
            .text = "too many connections, try again later",
            .close_after = true};
}

proto::Reply foreign() {
    return {.code = 554,
            .enhanced = "5.7.1",
            .text = "your address may not bring reports here",
            .close_after = true};
}

}  // namespace

std::string_view name(config::IntakeSpeech speech) noexcept {
    switch (speech) {
        case config::IntakeSpeech::lmtp:
            return "lmtp";
        case config::IntakeSpeech::smtp:
            return "smtp";
        case config::IntakeSpeech::http:
        case config::IntakeSpeech::https:
            break;
    }
    return "http";
}

void Hall::turned_away(std::string_view kind, std::string_view result, std::string_view address) {
    constexpr std::chrono::seconds every{10};
    count(kind, result);
    const auto now = std::chrono::steady_clock::now();
    if (told_ != std::chrono::steady_clock::time_point() && now - told_ < every) {
        ++untold_;
        return;
    }
    const std::string more =
        untold_ == 0 ? std::string() : fmt::format("; {} more since the last one", untold_);
    ports.events.log(event::Level::warning, "intake",
                     fmt::format("{} from {} turned away: {}{}", kind, address, result, more));
    told_ = now;
    untold_ = 0;
}

/// Whoever serves a connection keeps it: at the end of the process frames go in any order.
struct Listeners::State : std::enable_shared_from_this<Listeners::State> {
    State(asio::io_context& on, ListenerPorts ports, ListenerLimits limits)
        : context(on),
          hall(std::move(ports), limits),
          tasks(on.get_executor(), [this](std::string_view what) {
              hall.ports.events.log(
                  event::Level::error, "internal",
                  fmt::format("an intake's connection ended with an exception: {}", what));
          }) {}

    asio::io_context& context;
    Hall hall;
    net::TaskGroup tasks;
    net::Worker worker;
    std::vector<std::unique_ptr<net::Listener>> listeners;
    std::size_t refusals = 0;
    bool running = false;

    void accept(net::Accepted accepted);
    [[nodiscard]] bool has_room(config::IntakeSpeech speech, const std::string& address) const;
    [[nodiscard]] awaitable<void> listen(std::size_t index);
    [[nodiscard]] awaitable<void> serve(std::list<Guest>::iterator guest, net::SessionToken token);
    [[nodiscard]] awaitable<void> refuse(net::Stream stream, config::IntakeSpeech speech,
                                         proto::Reply reply);
};

bool Listeners::State::has_room(config::IntakeSpeech speech, const std::string& address) const {
    const auto is_mail = [](config::IntakeSpeech one) { return one <= config::IntakeSpeech::smtp; };
    std::size_t alike = 0;
    std::size_t of_address = 0;
    for (const Guest& guest : hall.guests) {
        if (is_mail(guest.speech) != is_mail(speech)) continue;
        ++alike;
        if (guest.address == address) ++of_address;
    }
    if (is_mail(speech)) return alike < hall.limits.mail_connections;
    return alike < hall.limits.http_connections &&
           (config::is_private(address) || of_address < hall.limits.http_of_address);
}

void Listeners::State::accept(net::Accepted accepted) {
    const config::ConfigPtr config = hall.ports.config();
    const config::IntakeSpeech speech = config->intake.listen.at(accepted.listener).speech;
    const bool mail = speech <= config::IntakeSpeech::smtp;
    std::string address = accepted.peer.address().to_string();
    if (hall.stopping) return;  // Closed as it goes out of scope.
    net::Stream stream(std::move(accepted.socket));
    const bool wanted = !mail || may_bring_mail(config->intake, address);
    if (!wanted || !has_room(speech, address)) {
        hall.turned_away(name(speech), wanted ? "full" : "foreign", address);
        if (mail && refusals < refusals_at_once)
            tasks.spawn(refuse(std::move(stream), speech, wanted ? too_many() : foreign()));
        return;
    }
    const auto guest = hall.guests.insert(
        hall.guests.end(),
        Guest{.stream = std::move(stream), .address = std::move(address), .speech = speech});
    tasks.spawn(serve(guest, std::move(accepted.token)));
}

awaitable<void> Listeners::State::refuse(net::Stream stream, config::IntakeSpeech speech,
                                         proto::Reply reply) {
    const std::shared_ptr<State> alive = shared_from_this();
    struct Counted {
        std::size_t& count;
        explicit Counted(std::size_t& of) : count(of) { ++count; }
        ~Counted() { --count; }
        Counted(const Counted&) = delete;
        Counted& operator=(const Counted&) = delete;
    } const counted(refusals);
    Guest guest{.stream = std::move(stream), .address = "", .speech = speech};
    proto::IntakeSession session{{}};
    session.refuse(reply);
    co_await serve_mail(hall, guest, std::move(session));
}

awaitable<void> Listeners::State::serve(std::list<Guest>::iterator guest, net::SessionToken token) {
    const std::shared_ptr<State> alive = shared_from_this();
    struct Out {
        std::list<Guest>& all;
        std::list<Guest>::iterator one;
        ~Out() { all.erase(one); }
    } const out{hall.guests, guest};
    const net::SessionToken counted = std::move(token);
    if (guest->speech > config::IntakeSpeech::smtp) {
        co_await serve_http(hall, *guest);
        co_return;
    }
    proto::IntakeSettings settings;
    settings.hostname = hall.ports.config()->server.hostname;
    settings.lmtp = guest->speech == config::IntakeSpeech::lmtp;
    co_await serve_mail(hall, *guest, proto::IntakeSession(std::move(settings)));
}

awaitable<void> Listeners::State::listen(std::size_t index) {
    const std::shared_ptr<State> alive = shared_from_this();
    co_await listeners.at(index)->run();
}

Listeners::Listeners(asio::io_context& context, ListenerPorts ports,
                     const std::vector<int>& sockets, ListenerLimits limits)
    : state_(std::make_shared<State>(context, std::move(ports), limits)) {
    State& state = *state_;
    state.worker.context = &context;
    state.worker.sessions = std::make_shared<std::atomic<std::size_t>>(0);
    state.worker.serve = [&state](net::Accepted accepted) { state.accept(std::move(accepted)); };
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        net::ListenOptions options;
        options.index = i;
        state.listeners.push_back(std::make_unique<net::Listener>(
            context, sockets[i], std::span<const net::Worker>(&state.worker, 1), options));
    }
}

Listeners::~Listeners() = default;

awaitable<void> Listeners::run() {
    const std::shared_ptr<State> state = state_;
    state->running = true;
    for (std::size_t i = 0; i < state->listeners.size(); ++i) state->tasks.spawn(state->listen(i));
    co_await state->tasks.join();
    state->running = false;
}

void Listeners::stop() {
    State& state = *state_;
    state.hall.stopping = true;
    for (const auto& listener : state.listeners) listener->stop();
    for (Guest& guest : state.hall.guests) {
        if (guest.waiting) guest.stream.interrupt();
    }
}

void Listeners::abort() {
    for (Guest& guest : state_->hall.guests) guest.stream.close();
}

bool Listeners::quiet() const {
    return state_->tasks.count() == 0;
}

}  // namespace postern::relay::intake
