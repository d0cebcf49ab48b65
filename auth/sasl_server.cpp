#include "auth/sasl_server.hpp"

#include "auth/exchange.hpp"

namespace postern::auth {

class SaslServer::Impl {
  public:
    Impl(std::unique_ptr<SaslLibrary> started_library, const ElsewhereSettings& other,
         AccountStore& accounts, PasswordMemory& passwords, FakeVerifiers fake_verifiers)
        : library(std::move(started_library)),
          elsewhere(make_elsewhere(other, *library)),
          store(accounts),
          memory(passwords),
          fakes(std::move(fake_verifiers)) {}

    std::unique_ptr<SaslLibrary> library;
    std::unique_ptr<Elsewhere> elsewhere;
    AccountStore& store;
    PasswordMemory& memory;
    FakeVerifiers fakes;
};

started<std::unique_ptr<SaslServer>> SaslServer::start(SaslSettings settings, AccountStore& store,
                                                       PasswordMemory& memory,
                                                       FakeVerifiers fakes) {
    auto library = SaslLibrary::start(settings.plugins, sasl_store(settings.elsewhere));
    if (!library) return library.error();
    return std::unique_ptr<SaslServer>(new SaslServer(std::make_unique<Impl>(
        std::move(*library), settings.elsewhere, store, memory, std::move(fakes))));
}

SaslServer::SaslServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SaslServer::~SaslServer() = default;

std::unique_ptr<Exchange> SaslServer::begin(ExchangeContext context) {
    const Backend backend{.library = *impl_->library,
                          .store = impl_->store,
                          .memory = impl_->memory,
                          .fakes = impl_->fakes,
                          .elsewhere = impl_->elsewhere.get()};
    return std::unique_ptr<Exchange>(new Exchange(make_exchange(backend, std::move(context))));
}

PasswordBackend* SaslServer::passwords() noexcept {
    return impl_->elsewhere ? impl_->elsewhere->passwords.get() : nullptr;
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
bool Exchange::asks_elsewhere() const noexcept {
    return impl_->asks_elsewhere();
}
std::optional<BackendAnswer::Kind> Exchange::heard_elsewhere() const noexcept {
    return impl_->heard_elsewhere();
}

}  // namespace postern::auth
