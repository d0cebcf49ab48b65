// Where reports on mail come in while we serve.

#include "relay/intake/read_call.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

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
                              .count = nullptr},
        bound_.intake);
    chores_->spawn(intake_->run());
}

}  // namespace postern::relay
