#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "auth/digest.hpp"
#include "auth/openssl_kept.hpp"
#include "proto/base64.hpp"
#include "relay/dkim/key_store.hpp"
#include "tests/catch.hpp"

namespace postern::test {

// A verifier as RFC 6376 6.1 has it, over the whole message and with nothing of what signs.

struct HeaderField {
    std::string name, value;  ///< The value with its folds and its line end.
};

inline std::string lower(std::string text) {
    for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    return text;
}

inline std::string without_space(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (std::string_view(" \t\r\n").find(c) == std::string_view::npos) out += c;
    }
    return out;
}

/// Runs of white space are one space, and there is none at the ends.
inline std::string squeezed(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool space = std::string_view(" \t\r\n").find(c) != std::string_view::npos;
        if (!space) {
            out += c;
        } else if (!out.empty() && out.back() != ' ') {
            out += ' ';
        }
    }
    while (out.ends_with(' ')) out.pop_back();
    return out;
}

inline std::vector<HeaderField> fields_of(std::string_view header) {
    std::vector<HeaderField> out;
    while (!header.empty()) {
        const std::size_t end = std::min(header.find("\r\n"), header.size() - 2) + 2;
        const std::string line(header.substr(0, end));
        header.remove_prefix(end);
        if (line[0] == ' ' || line[0] == '\t') {
            out.back().value += line;
        } else {
            const std::size_t colon = line.find(':');
            out.push_back({lower(without_space(line.substr(0, colon))), line.substr(colon + 1)});
        }
    }
    return out;
}

inline std::string relaxed_body(std::string_view body) {
    std::string out;
    while (!body.empty()) {
        const std::size_t end = std::min(body.find("\r\n"), body.size());
        std::string line;
        for (const char c : body.substr(0, end)) {
            const bool space = c == ' ' || c == '\t';
            if (!space || !line.ends_with(' ')) line += space ? ' ' : c;
        }
        if (line.ends_with(' ')) line.pop_back();
        out += line + "\r\n";
        body.remove_prefix(std::min(end + 2, body.size()));
    }
    while (out.ends_with("\r\n\r\n")) out.resize(out.size() - 2);
    return out == "\r\n" ? "" : out;
}

inline std::map<std::string, std::string> tags_of(std::string_view value) {
    std::map<std::string, std::string> out;
    const std::string text = without_space(value);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(';', at), text.size());
        const std::size_t equals = text.find('=', at);
        out[text.substr(at, equals - at)] = text.substr(equals + 1, end - equals - 1);
        at = end + 1;
    }
    return out;
}

inline bool verifies(const std::string& record, const std::string& algorithm,
                     const auth::Digest& digest, const std::string& signature) {
    const auto octets = proto::base64_decode(record.substr(record.find("p=") + 2));
    REQUIRE(octets);
    const auto* key = reinterpret_cast<const unsigned char*>(octets->data());
    const auto* said = reinterpret_cast<const unsigned char*>(signature.data());
    const auth::Kept<EVP_MD_CTX> context(EVP_MD_CTX_new());
    if (algorithm == "ed25519-sha256") {
        const auth::Kept<EVP_PKEY> of(
            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key, octets->size()));
        REQUIRE(of.get() != nullptr);
        REQUIRE(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, of.get()) == 1);
        return EVP_DigestVerify(context.get(), said, signature.size(), digest.data(),
                                digest.size()) == 1;
    }
    const auth::Kept<EVP_PKEY> of(d2i_PUBKEY(nullptr, &key, static_cast<long>(octets->size())));
    REQUIRE(of.get() != nullptr);
    const auth::Kept<EVP_PKEY_CTX> check(EVP_PKEY_CTX_new(of.get(), nullptr));
    REQUIRE(EVP_PKEY_verify_init(check.get()) == 1);
    REQUIRE(EVP_PKEY_CTX_set_signature_md(check.get(), EVP_sha256()) == 1);
    return EVP_PKEY_verify(check.get(), said, signature.size(), digest.data(), digest.size()) == 1;
}

/// "ALGORITHM DOMAIN ok" (or "bad body", "bad signature", "no key") of each DKIM-Signature, from
/// the top.
inline std::vector<std::string> verdicts(const std::string& message,
                                         const relay::dkim::KeyStore& store) {
    const std::size_t end = message.find("\r\n\r\n");
    const auto fields = fields_of(message.substr(0, end == std::string::npos ? end : end + 2));
    const std::string body = end == std::string::npos ? "" : message.substr(end + 4);
    std::vector<std::string> out;
    for (const HeaderField& signature : fields) {
        if (signature.name != "dkim-signature") continue;
        auto tags = tags_of(signature.value);
        std::string record;
        const auto keys = store.show(tags["d"]);
        for (const auto& one : keys ? *keys : std::vector<relay::dkim::KeyInfo>()) {
            if (one.key.selector == tags["s"]) record = one.key.value;
        }
        const std::string who = tags["a"] + " " + tags["d"];
        if (record.empty()) {
            out.push_back(who + " no key");
            continue;
        }
        if (tags["bh"] != proto::base64_encode(auth::view(auth::sha256(relaxed_body(body))))) {
            out.push_back(who + " bad body");
            continue;
        }
        std::string hashed;
        std::map<std::string, std::size_t> used;
        std::string names = tags["h"] + ":";
        for (std::size_t at; (at = names.find(':')) != std::string::npos; names.erase(0, at + 1)) {
            const std::string name = lower(names.substr(0, at));
            std::size_t skip = used[name]++;
            for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
                if (field->name != name || skip-- > 0) continue;
                hashed += name + ":" + squeezed(field->value) + "\r\n";
                break;
            }
        }
        const std::string bare = signature.value.substr(0, signature.value.rfind(" b=") + 3);
        hashed += "dkim-signature:" + squeezed(bare);
        const auto said = proto::base64_decode(tags["b"]);
        REQUIRE(said);
        const bool good = verifies(record, tags["a"], auth::sha256(hashed), *said);
        out.push_back(who + (good ? " ok" : " bad signature"));
    }
    return out;
}

}  // namespace postern::test
