#include "relay/net/thread_buffers.hpp"

#include <cstring>

namespace postern::relay::net {

boost::asio::execution_context::id ThreadBuffers::id;

ThreadBuffers::ThreadBuffers(boost::asio::execution_context& context)
    : service(context),
      landing_(new char[landing_size]),
      outgoing_(new char[outgoing_size]),
      record_(new char[record_size]) {}

char* ThreadBuffers::claim(Tenant* tenant) noexcept {
    if (tenant_ != nullptr && tenant_ != tenant) tenant_->move_out();
    tenant_ = tenant;
    ++epoch_;
    return landing_.get();
}

void ThreadBuffers::leave(const Tenant* tenant) noexcept {
    if (tenant_ == tenant) tenant_ = nullptr;
}

bool ThreadBuffers::append_outgoing(std::string_view octets) noexcept {
    if (octets.size() > outgoing_size - used_) return false;
    std::memcpy(outgoing_.get() + used_, octets.data(), octets.size());
    used_ += octets.size();
    return true;
}

}  // namespace postern::relay::net
