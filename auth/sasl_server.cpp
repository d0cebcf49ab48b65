#include "auth/sasl_server.hpp"

#include "auth/exchange.hpp"

namespace postern::auth {

class SaslServer::Impl {
  public:
    Impl(std::unique_ptr<SaslLibrary> started_library, AccountStore& accounts,
         PasswordMemory& passwords, FakeVerifiers fake_verifiers)
        : library(std::move(started_library)),
          store(accounts),
          memory(passwords),
          fakes(std::move(fake_verifiers)) {}

    std::unique_ptr<SaslLibrary> library;
    AccountStore& store;
    PasswordMemory& memory;
    FakeVerifiers fakes;
};

started<std::unique_ptr<SaslServer>> SaslServer::start(SaslSettings settings, AccountStore& store,
                                                       PasswordMemory& memory,
                                                       FakeVerifiers fakes) {
    auto library = SaslLibrary::start(settings.plugins);
    if (!library) return library.error();
    return std::unique_ptr<SaslServer>(new SaslServer(
        std::make_unique<Impl>(std::move(*library), store, memory, std::move(fakes))));
}

SaslServer::SaslServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SaslServer::~SaslServer() = default;

std::unique_ptr<Exchange> SaslServer::begin(ExchangeContext context) {
    const Backend backend{*impl_->library, impl_->store, impl_->memory, impl_->fakes};
    return std::unique_ptr<Exchange>(new Exchange(make_exchange(backend, std::move(context))));
}

Exchange::Exchange(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Exchange::~Exchange() = default;

std::optional<StepResult> Exchange::try_quick(const std::optional<proto::Secret>& response) {
    return impl_->try_quick(response);
}
StepResult Exchange::step(const std::optional<proto::Secret>& response) {
    return impl_->step(response);
}
std::string_view Exchange::typed_name() const noexcept {
    return impl_->typed_name();
}
std::string_view Exchange::normalised_name() const noexcept {
    return impl_->normalised_name();
}
std::optional<std::string> Exchange::name_in(const std::optional<proto::Secret>& response) const {
    return impl_->name_in(response);
}
bool Exchange::lacks_key(const std::optional<proto::Secret>& response) const {
    return impl_->lacks_key(response);
}

}  // namespace postern::auth
