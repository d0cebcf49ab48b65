#include "auth/exchange_cyrus.hpp"

#include "auth/digest.hpp"

namespace postern::auth {

CyrusExchange::~CyrusExchange() {
    CyrusExchange::drop();
}

bool CyrusExchange::open_connection() {
    connection_ = SaslConnection::make(backend_.library, *this);
    return connection_ != nullptr;
}

const Credential* CyrusExchange::meant() const noexcept {
    if (!account_) return nullptr;
    const Credential* const found =
        find_credential(*account_, name_.label ? *name_.label : std::string_view());
    return found != nullptr && found->verifier ? found : nullptr;
}

Verifier CyrusExchange::fake_verifier() const {
    Verifier fake =
        backend_.fakes.of(name_.normalised.empty() ? name_.typed : name_.normalised,
                          *backend_.store.iteration_shares(), backend_.store.iterations());
    // A label that is not there shows no other salt than one that is, and a bare name tries all
    // credentials with the salt that they share.
    if (const Verifier* const shared = account_ ? shared_verifier(*account_) : nullptr) {
        fake.salt = shared->salt;
        fake.iterations = shared->iterations;
    }
    return fake;
}

Verifier CyrusExchange::verifier_to_check() const {
    // Made for those who exist, too: SCRAM's first step is short enough for the difference to show.
    Verifier fake = fake_verifier();
    if (const Credential* const credential = meant()) return *credential->verifier;
    return fake;
}

bool CyrusExchange::password_is_right(std::string_view) noexcept {
    return false;
}

void CyrusExchange::drop() noexcept {
    connection_.reset();
    wipe(verifier_text_.data(), verifier_text_.size());
    verifier_text_.clear();
}

}  // namespace postern::auth
