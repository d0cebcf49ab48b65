#include "auth/saslprep.hpp"

#include <algorithm>

#include <unicode/usprep.h>
#include <unicode/ustring.h>

#include "auth/digest.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t max_octets = 8192;

// The profile is constant data that ICU maps once; preparing with it writes nothing into it.
const UStringPrepProfile* profile() noexcept {
    static const UStringPrepProfile* const opened = [] {
        UErrorCode error = U_ZERO_ERROR;
        const UStringPrepProfile* const p = usprep_openByType(USPREP_RFC4013_SASLPREP, &error);
        return U_SUCCESS(error) ? p : nullptr;
    }();
    return opened;
}

/// UTF-16 that may hold a password.
class WipedText {
  public:
    explicit WipedText(std::size_t size) : text_(size, u'\0') {}
    ~WipedText() { wipe(text_.data(), text_.size() * sizeof(char16_t)); }
    WipedText(const WipedText&) = delete;
    WipedText& operator=(const WipedText&) = delete;
    [[nodiscard]] char16_t* data() noexcept { return text_.data(); }
    [[nodiscard]] std::int32_t capacity() const noexcept {
        return static_cast<std::int32_t>(text_.size());
    }

  private:
    std::u16string text_;
};

std::optional<std::string> prepare(std::string_view text, PrepUse use) {
    if (profile() == nullptr) return std::nullopt;
    UErrorCode error = U_ZERO_ERROR;
    WipedText wide(text.size() + 1);
    std::int32_t wide_length = 0;
    u_strFromUTF8(wide.data(), wide.capacity(), &wide_length, text.data(),
                  static_cast<std::int32_t>(text.size()), &error);
    if (U_FAILURE(error)) return std::nullopt;
    // NFKC makes at most 18 code units of one (U+FDFA).
    WipedText prepared(static_cast<std::size_t>(wide_length) * 18 + 1);
    const std::int32_t prepared_length = usprep_prepare(
        profile(), wide.data(), wide_length, prepared.data(), prepared.capacity(),
        use == PrepUse::query ? USPREP_ALLOW_UNASSIGNED : USPREP_DEFAULT, nullptr, &error);
    if (U_FAILURE(error)) return std::nullopt;
    std::string out(static_cast<std::size_t>(prepared_length) * 3, '\0');
    std::int32_t out_length = 0;
    u_strToUTF8(out.data(), static_cast<std::int32_t>(out.size()), &out_length, prepared.data(),
                prepared_length, &error);
    if (U_FAILURE(error)) {
        wipe(out.data(), out.size());
        return std::nullopt;
    }
    out.resize(static_cast<std::size_t>(out_length));
    return out;
}

}  // namespace

std::optional<std::string> saslprep(std::string_view text, PrepUse use) {
    if (text.size() > max_octets) return std::nullopt;
    const bool ascii =
        std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (!ascii) return prepare(text, use);
    // Of ASCII nothing is mapped, and the control characters (C.2.1) are prohibited.
    const bool printable = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c != 0x7F; });
    if (!printable) return std::nullopt;
    return std::string(text);
}

std::optional<std::string> normalised_login(std::string_view text) {
    const std::optional<std::string> prepared = saslprep(text, PrepUse::query);
    if (!prepared || prepared->empty()) return std::nullopt;
    return proto::normalised_address(*prepared);
}

bool valid_utf8(std::string_view text) noexcept {
    std::size_t i = 0;
    while (i < text.size()) {
        const auto lead = static_cast<unsigned char>(text[i]);
        if (lead < 0x80) {
            ++i;
            continue;
        }
        const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        if (lead < 0xC2 || lead > 0xF4 || text.size() - i < length) return false;
        const auto second = static_cast<unsigned char>(text[i + 1]);
        // No overlong forms, no surrogates, nothing past U+10FFFF (RFC 3629 4).
        const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (second < low || second > high) return false;
        for (std::size_t k = 2; k < length; ++k) {
            if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
        }
        i += length;
    }
    return true;
}

}  // namespace postern::auth
