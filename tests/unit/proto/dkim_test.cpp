#include "proto/dkim.hpp"

#include <algorithm>
#include <string>

#include "proto/base64.hpp"
#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

std::string joined(const std::vector<std::string_view>& names) {
    std::string out;
    for (const std::string_view one : names) {
        if (!out.empty()) out += ':';
        out += one;
    }
    return out;
}

/// What is named at the least: once, though none of them is there.
const std::string others =
    "Reply-To:Subject:Date:Message-ID:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding";

std::size_t longest_line(std::string_view text) {
    std::size_t longest = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find("\r\n"), text.size());
        longest = std::max(longest, end);
        text.remove_prefix(std::min(end + 2, text.size()));
    }
    return longest;
}

}  // namespace

TEST_CASE("which fields are covered, in which order, and their relaxed form") {
    struct Row {
        std::string section, names, canonical;
    };
    const auto row = GENERATE(
        Row{"From: ann@example.net\r\n", "From:From:" + others, "from:ann@example.net\r\n"},
        // RFC 6376 3.4.5: name and colon apart, folded, white space at both ends.
        Row{"From: a@b\r\nSubject:\t X \r\nTo \t: Y\t\r\n\tZ  \r\n",
            "From:From:Reply-To:Subject:Subject:Date:Message-ID:To:To:Cc:MIME-Version:Content-Type:"
            "Content-Transfer-Encoding",
            "from:a@b\r\nsubject:X\r\nto:Y Z\r\n"},
        // Of several the last one first; what is not there is sealed all the same.
        Row{"To: one\r\nFrom: a@b\r\nTO: two\r\n",
            "From:From:Reply-To:Subject:Date:Message-ID:To:To:To:Cc:MIME-Version:Content-Type:"
            "Content-Transfer-Encoding",
            "from:a@b\r\nto:two\r\nto:one\r\n"},
        // Not sealed: what mailing lists add. Not covered: what the way adds.
        Row{"Received: x\r\nList-Id: <l>\r\nFrom: a@b\r\nX-Other: y\r\nFeedback-ID: f\r\n",
            "From:From:" + others + ":List-Id:Feedback-ID",
            "from:a@b\r\nlist-id:<l>\r\nfeedback-id:f\r\n"},
        // Lines that are no field are passed over with what continues them.
        Row{"no field\r\n To: x\r\nFrom: a@b\r\n\t\r\n", "From:From:" + others, "from:a@b\r\n"},
        Row{"From: a@b\r\nCc:\r\n",
            "From:From:Reply-To:Subject:Date:Message-ID:To:Cc:Cc:MIME-Version:Content-Type:"
            "Content-Transfer-Encoding",
            "from:a@b\r\ncc:\r\n"},
        Row{"From: a@b", "From:From:" + others, "from:a@b\r\n"});
    CAPTURE(row.section);
    const auto fields = signed_fields(row.section);
    REQUIRE(fields);
    CHECK(joined(fields->names) == row.names);
    CHECK(fields->canonical == row.canonical);
}

TEST_CASE("without one From, or with fields beyond counting, nothing is signed") {
    CHECK_FALSE(signed_fields(""));
    CHECK_FALSE(signed_fields("To: a@b\r\n"));
    CHECK_FALSE(signed_fields("From: a@b\r\nFrom: a@b\r\n"));
    std::string many = "From: a@b\r\n";
    for (std::size_t n = 1; n < signed_fields_limit; ++n) many += "To: c@d\r\n";
    CHECK(signed_fields(many));
    many += "To: c@d\r\n";
    CHECK_FALSE(signed_fields(many));
}

TEST_CASE("the field: its tags, its folds, and what is hashed of it") {
    const auto fields = signed_fields("From: a@b\r\nSubject: x\r\n");
    REQUIRE(fields);
    const std::string hash(32, '\x01');
    const std::string field = unsigned_dkim_field({.algorithm = DkimAlgorithm::ed25519,
                                                   .domain = "example.net",
                                                   .selector = "sel",
                                                   .unix_seconds = 1'700'000'000,
                                                   .body_hash = hash,
                                                   .names = fields->names});
    CHECK(field ==
          "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
          " d=example.net; s=sel; t=1700000000;\r\n"
          " h=From:From:Reply-To:Subject:Subject:Date:Message-ID:To:Cc:MIME-Version:\r\n"
          "  Content-Type:Content-Transfer-Encoding;\r\n"
          " bh=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=;\r\n"
          " b=");
    CHECK(dkim_hash_input(*fields, field) ==
          "from:a@b\r\nsubject:x\r\n"
          "dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.net; s=sel; "
          "t=1700000000; h=From:From:Reply-To:Subject:Subject:Date:Message-ID:To:Cc:MIME-Version: "
          "Content-Type:Content-Transfer-Encoding; "
          "bh=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=; b=");
    const std::string signature(256, '\x02');
    std::string whole = dkim_field(field, signature);
    CHECK(whole.ends_with("\r\n"));
    CHECK(longest_line(whole) <= 78);
    // Behind b= stands the signature and nothing but folds.
    REQUIRE(whole.starts_with(field));
    std::string text;
    for (const char c : whole.substr(field.size())) {
        if (c != '\r' && c != '\n' && c != ' ') text += c;
    }
    CHECK(base64_decode(text) == signature);
    // Every line but the first continues the field.
    for (std::size_t at = whole.find("\r\n"); at + 2 < whole.size();
         at = whole.find("\r\n", at + 2))
        CHECK(whole[at + 2] == ' ');
}

TEST_CASE("records, whole and as the strings of a zone") {
    CHECK(dkim_record_name("sel", "example.net") == "sel._domainkey.example.net");
    CHECK(dkim_record(DkimAlgorithm::ed25519, std::string(32, '\0')) ==
          "v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    CHECK(dkim_record(DkimAlgorithm::rsa, "abc") == "v=DKIM1; k=rsa; p=YWJj");
    CHECK(txt_strings("") == "\"\"");
    CHECK(txt_strings("a \"b\\") == "\"a \\\"b\\\\\"");
    CHECK(txt_strings(std::string(255, 'x')) == "\"" + std::string(255, 'x') + "\"");
    CHECK(txt_strings(std::string(256, 'x')) == "\"" + std::string(255, 'x') + "\" \"x\"");
}

TEST_CASE("algorithms by name") {
    for (const DkimAlgorithm one : {DkimAlgorithm::rsa, DkimAlgorithm::ed25519})
        CHECK(parse_dkim_algorithm(name(one)) == one);
    for (const char* const none : {"", "RSA", "dsa", "ed25519 "})
        CHECK_FALSE(parse_dkim_algorithm(none));
}
