// Where reports on mail come in while we serve.

#include <fmt/format.h>

#include "relay/intake/read_call.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

Server::Started Server::bind_intake() {
    for (const config::IntakeListen& listen : config_->intake.listen) {
        const auto fd = net::open_listening_socket(listen.place());
        if (!fd) {
            return fmt::format("intake.listen: cannot listen on {}: {}", listen.place(),
                               fd.error().message());
        }
        bound_.intake.push_back(*fd);
    }
    return {};
}

void Server::start_intake() {
    if (!desk_ || bound_.intake.empty()) return;
    intake_ = std::make_unique<intake::Listeners>(
        house_,
        intake::ListenerPorts{.desk = *desk_,
                              .events = *events_,
                              .config = [this] { return current_.get()->config; },
                              .tls = [this] { return current_.get()->tls; },
                              .read_call = intake::read_call,
                              .pool = offload_,
                              .count =
                                  [this](std::string_view kind, std::string_view result) {
                                      events_->emit(
                                          event::IntakeTaken{.kind = kind, .result = result});
                                  }},
        bound_.intake);
    chores_->spawn(intake_->run());
}

}  // namespace postern::relay
