#include "harness.hpp"
#include "relay/spool/bytes.hpp"
#include "relay/spool/checksum.hpp"
#include "relay/spool/frame.hpp"
#include "relay/spool/schedule.hpp"
#include "relay/spool/segment_log.hpp"

using namespace postern::test;
using namespace postern::relay::spool;

TEST_CASE("CRC-32C by instruction and by table are those of RFC 3720", "[spool]") {
    CHECK(crc32c("") == 0);
    CHECK(crc32c("123456789") == 0xE3069283U);
    CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
    CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43U);
    std::string text;
    for (int i = 0; i < 300; ++i) {
        CHECK(crc32c(text) == crc32c_by_table(text));
        const std::size_t cut = text.size() / 3;
        CHECK(crc32c(std::string_view(text).substr(cut),
                     crc32c(std::string_view(text).substr(0, cut))) == crc32c(text));
        text.push_back(static_cast<char>(i * 7));
    }
}

TEST_CASE("a reader of bytes never reads past the end", "[spool]") {
    std::string bytes;
    put_u8(bytes, 7);
    put_u32(bytes, 0xDEADBEEFU);
    put_u64(bytes, 0x0123456789ABCDEFULL);
    put_text(bytes, "text");
    for (std::size_t n = 0; n <= bytes.size(); ++n) {
        ByteReader in(std::string_view(bytes).substr(0, n));
        const auto a = in.u8();
        const auto b = in.u32();
        const auto c = in.u64();
        const auto d = in.text();
        CHECK(in.done() == (n == bytes.size()));
        if (n < bytes.size()) continue;
        CHECK(a == 7);
        CHECK(b == 0xDEADBEEFU);
        CHECK(c == 0x0123456789ABCDEFULL);
        CHECK(d == "text");
    }
    std::string huge;
    put_u32(huge, 0xFFFFFFFFU);
    ByteReader in(huge);
    CHECK(in.count(4) == 0);
    CHECK_FALSE(in.ok());
}

TEST_CASE("records are read back as written, and not at all when an octet is wrong", "[spool]") {
    NewEntry entry = make_entry("01A", 10, 3);
    entry.envelope.mail_from.reset();
    entry.dsn = true;
    std::string e;
    encode_entry(entry, {BodyPlace::Kind::file, 1234, 99}, e);
    std::string s;
    encode_state({"01A", {0, 2}, EntryState::in_doubt, at(5s), 3, "up", "reply", "why", true}, s);
    std::string end;
    encode_end({"01A", 12, "dropped"}, end);
    std::string opening;
    encode_opening({4, 3, 5000, {"a", "b"}}, opening);
    std::string frozen;
    encode_frozen({"x"}, frozen);

    const auto decoded = decode_entry(e);
    REQUIRE(decoded.has_value());
    CHECK(decoded->entry.dsn);
    CHECK_FALSE(decoded->entry.envelope.mail_from.has_value());
    CHECK(decoded->body.size == 1234);
    CHECK(decoded->body.check == 99);
    const auto state = decode_state(s);
    REQUIRE(state.has_value());
    CHECK(state->settled == std::vector<std::uint32_t>{0, 2});
    CHECK(state->state == EntryState::in_doubt);
    CHECK(state->next_attempt == at(5s));
    CHECK(state->delay_notified);
    CHECK(decode_end(end)->segment == 12);
    CHECK(decode_opening(opening)->sealed_size == 5000);
    CHECK(decode_frozen(frozen)->size() == 1);
    CHECK_FALSE(decode_entry(s).has_value());

    for (std::string* bytes : {&e, &s, &end, &opening, &frozen}) {
        for (std::size_t i = 0; i < bytes->size(); ++i) {
            std::string bad = *bytes;
            bad[i] = static_cast<char>(bad[i] ^ 4);
            CHECK_FALSE(decode_entry(bad).has_value());
            CHECK_FALSE(decode_state(bad).has_value());
            CHECK_FALSE(decode_end(bad).has_value());
            CHECK_FALSE(decode_opening(bad).has_value());
            CHECK_FALSE(decode_frozen(bad).has_value());
            CHECK_FALSE(decode_entry(bad.substr(0, i)).has_value());
        }
    }
}

TEST_CASE("times far away stay what they are, to the microsecond", "[spool]") {
    for (const auto t : {at(0s) + 1us, WallTime{}, WallTime{} - 5s})
        CHECK(from_disk(to_disk(t)) == t);
    CHECK(from_disk(INT64_MAX) > at(0s));
    CHECK(from_disk(INT64_MIN) < WallTime{});
    CHECK(from_disk(to_disk(WallTime::max())) <= WallTime::max());
}

TEST_CASE("ids that could leave the folder are none", "[spool]") {
    CHECK(valid_id("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    for (const char* id :
         {"", "..", "a/b", "a.b", "a b", "a\nb", "0123456789012345678901234567890123456789"}) {
        CHECK_FALSE(valid_id(id));
    }
}

TEST_CASE("segments have numbers in their names", "[spool]") {
    CHECK(segment_path("/s", 7) == "/s/0000000007.seg");
    CHECK(segment_number("0000000007.seg") == 7U);
    for (const char* name : {"7.seg", "0000000000.seg", "00000000x7.seg", "0000000007.seg.new",
                             "9999999999.seg", "spare", ""}) {
        CHECK_FALSE(segment_number(name).has_value());
    }
}

TEST_CASE("the schedule gives each account its turn whatever is removed meanwhile", "[spool]") {
    Index index;
    Schedule schedule(index);
    std::mt19937 random(3);
    std::vector<Handle> all;
    for (int i = 0; i < 400; ++i) {
        const Handle h = index.add("id" + std::to_string(i));
        index[h].account = 1 + random() % 7;
        index[h].customer = random() % 3;
        index[h].bytes = random() % 200'000;
        index[h].next = static_cast<std::int64_t>(random() % 1000);
        index[h].base = EntryState::deferred;
        if (random() % 2 == 0) {
            schedule.wait(h);
        } else {
            schedule.make_due(h);
        }
        all.push_back(h);
    }
    for (int i = 0; i < 100; ++i) schedule.remove(all[random() % all.size()]);
    std::int64_t now = 0;
    int taken = 0;
    int waiting = 0;
    for (const Handle h : all) waiting += index[h].slot != Slot::none ? 1 : 0;
    while (schedule.next()) {
        now = std::max(now, *schedule.next());
        while (const auto h = schedule.take(now)) {
            CHECK(index[*h].slot == Slot::active);
            schedule.remove(*h);
            ++taken;
        }
    }
    CHECK(taken == waiting);
}
