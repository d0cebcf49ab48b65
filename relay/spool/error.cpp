#include "relay/spool/spool.hpp"

namespace postern::relay {
namespace {

class Category final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "spool"; }
    std::string message(int value) const override {
        switch (static_cast<SpoolError>(value)) {
            case SpoolError::full:
                return "no space for another message";
            case SpoolError::write:
                return "cannot write to the spool";
            case SpoolError::sync:
                return "a sync of the spool failed";
            case SpoolError::damaged:
                return "damaged, or not in the spool's format";
            case SpoolError::not_found:
                return "no such entry";
            case SpoolError::busy:
                return "too much is waiting for the spool's writer";
            case SpoolError::newer:
                return "written by a later version of postern, which this one cannot read";
            case SpoolError::exists:
                return "an entry with this id is queued already";
        }
        return "unknown spool error";
    }
};

}  // namespace

const boost::system::error_category& spool_category() noexcept {
    static const Category category;
    return category;
}

boost::system::error_code make_error_code(SpoolError e) noexcept {
    return {static_cast<int>(e), spool_category()};
}

std::string_view name(EntryState s) noexcept {
    switch (s) {
        case EntryState::ready:
            return "ready";
        case EntryState::active:
            return "active";
        case EntryState::deferred:
            return "deferred";
        case EntryState::in_doubt:
            return "in_doubt";
        case EntryState::held:
            return "held";
        case EntryState::frozen:
            return "frozen";
        case EntryState::damaged:
            return "damaged";
    }
    return "unknown";
}

}  // namespace postern::relay
