#pragma once

#include <string_view>

namespace postern::auth::test {

// All of the password "pencil", made by other programs (crypt of Python 3.11, hashlib).
inline constexpr std::string_view sha512_crypt =
    "$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/"
    "XlgKD9E9aEbzqGZipjiFxGo/4wWXDA6jV6/vZO.kKdDSfUJb0";
inline constexpr std::string_view sha512_crypt_rounds =
    "$6$rounds=1000$saltsalt$bbY.T.ZpN43KapLdmlSbP6MmxBlkMSbhrh.Y1rmY0fYaRO/"
    "t.4sKqUiU.Z8byKf8Oa1yagMn/0fncuHSYrb9h.";
inline constexpr std::string_view sha256_crypt =
    "$5$saltsalt$hl9BvcGsj7AkON13nbqeQHDgRpHyFxt7WDzLoS.OCQ/";
inline constexpr std::string_view bcrypt_a =
    "$2a$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2";
inline constexpr std::string_view bcrypt_b =
    "$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2";
inline constexpr std::string_view bcrypt_y =
    "$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2";
inline constexpr std::string_view dovecot_scram =
    "{SCRAM-SHA-256}4096,MDEyMzQ1Njc4OWFiY2RlZg==,nQpbZ77WudtqufPwikHXGRt6g2QJ4zns8bZLw273DRM=,"
    "jn2amWP1q1h+jgjy0YTO14S6/F02SV7taipOeB7ef20=";
inline constexpr std::string_view rfc5803_scram =
    "SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$nQpbZ77WudtqufPwikHXGRt6g2QJ4zns8bZLw273DRM=:"
    "jn2amWP1q1h+jgjy0YTO14S6/F02SV7taipOeB7ef20=";

// "p\u00e4ss", "pa\u0308ss" (two forms of the same) and a face with an x.
inline constexpr std::string_view composed =
    "$5$rounds=1000$saltsalt$MS/oSd4eM1NydzLd7gpR9zwBX2lcGZgp1JWrjhgszf/";
inline constexpr std::string_view decomposed =
    "$5$rounds=1000$saltsalt$11LK8CFHxtucoqY52Xiv1WRB4w2AfHDdGBtyIMJEWz9";
inline constexpr std::string_view face =
    "$5$rounds=1000$saltsalt$g76K7Sqifk/lKOQgNPf4VTMDOy9RNu9Arh3dizh3WvD";

}  // namespace postern::auth::test
