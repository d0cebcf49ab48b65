#include "relay/dkim/error.hpp"

namespace postern::relay::dkim {

namespace {

class KeyCategory final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.dkim"; }
    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<KeyError>(value)) {
            case KeyError::invalid_domain:
                return "is no domain";
            case KeyError::no_keys:
                return "has no keys";
            case KeyError::no_algorithm:
                return "no algorithm is configured";
            case KeyError::new_waits:
                return "new keys wait already";
            case KeyError::nothing_new:
                return "there are no new keys";
            case KeyError::damaged:
                return "is damaged";
            case KeyError::newer:
                return "was made by a newer postern";
            case KeyError::openssl:
                return "OpenSSL failed";
        }
        return "unknown error";
    }
};

}  // namespace

const boost::system::error_category& key_category() noexcept {
    static const KeyCategory category;
    return category;
}

boost::system::error_code make_error_code(KeyError e) noexcept {
    return {static_cast<int>(e), key_category()};
}

}  // namespace postern::relay::dkim
