#include <filesystem>
#include <fstream>
#include <string>

#include "relay/sink/capture.hpp"
#include "relay/sink/dot_reader.hpp"
#include "relay/sink/fault.hpp"
#include "relay/sink/sink.hpp"
#include "tests/catch.hpp"

using namespace postern::relay::sink;

namespace {

struct Read {
    std::string mail;
    std::string rest;
    bool done = false;
};

Read read(const std::string& wire, std::size_t step) {
    DotReader reader;
    Read out;
    for (std::size_t at = 0; at < wire.size(); at += step) {
        const std::string part = wire.substr(at, step);
        const std::size_t used = reader.feed(part, &out.mail);
        out.rest += part.substr(used);
    }
    out.done = reader.done();
    CHECK(reader.size() == out.mail.size());
    return out;
}

class Folder {
  public:
    Folder() {
        std::string name =
            (std::filesystem::temp_directory_path() / "postern-sink-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
};

}  // namespace

TEST_CASE("the sink's reader ends a mail at CRLF.CRLF alone, however it is cut", "[sink]") {
    struct Row {
        std::string wire;
        std::string mail;
        std::string rest;
        bool done;
    };
    const std::vector<Row> rows{
        {"a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n", true},
        {".\r\nQUIT", "", "QUIT", true},
        {"..\r\n..a\r\n.b\r\n.\r\n", ".\r\n.a\r\nb\r\n", "", true},
        {"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "", true},
        {"a\n.\r\nb", "a\n.\r\nb", "", false},
        {"a\r\n.\nb", "a\r\n\nb", "", false},
        {"a\r.\r\n.\r\n", "a\r.\r\n", "", true},
        {"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "", true},
        {"a\r\n.\r\r\n.\r\nX", "a\r\n\r\r\n", "X", true},
        {"\r\n.\r\n", "\r\n", "", true},
        {"a", "a", "", false},
    };
    for (const Row& row : rows) {
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
            INFO(row.wire << " by " << step);
            const Read got = read(row.wire, step);
            CHECK(got.mail == row.mail);
            CHECK(got.rest == row.rest);
            CHECK(got.done == row.done);
        }
    }
}

TEST_CASE("faults are read from their texts", "[sink]") {
    std::string problem;
    const auto plain = parse_fault("rcpt:550", problem);
    REQUIRE(plain);
    CHECK(plain->stage == Stage::rcpt);
    CHECK(plain->reply == "550 5.0.0 as told");
    CHECK(plain->concerns("any@example.org"));

    const auto text = parse_fault("rcpt:450 4.2.1 busy: later:Bob@Example.org", problem);
    REQUIRE(text);
    CHECK(text->reply == "450 4.2.1 busy: later");
    CHECK(text->concerns("bob@example.ORG"));
    CHECK_FALSE(text->concerns("ann@example.org"));

    const auto domain = parse_fault("dot:hang:@example.org", problem);
    REQUIRE(domain);
    CHECK(domain->action == Action::hang);
    CHECK(domain->concerns("x@example.org"));
    CHECK_FALSE(domain->concerns("x@sub-example.org.example"));

    const auto slow = parse_fault("mail:slow=0.25", problem);
    REQUIRE(slow);
    CHECK(slow->pause == std::chrono::milliseconds(250));
    CHECK(parse_fault("dot:lose", problem));

    for (const char* bad : {"", "rcpt", "rcpt:", "rcpt:55", "rcpt:5500", "rcpt:650", "quit:drop",
                            "mail:lose", "mail:slow=x", "mail:slower", "RCPT:550", "rcpt:550x"}) {
        INFO(bad);
        CHECK(check_fault(bad));
    }
    CHECK_FALSE(check_fault("dot:451"));
}

TEST_CASE("faults in a file hold as soon as it is written, and before those given", "[sink]") {
    const Folder folder;
    const std::string file = folder.path / "faults";
    const std::vector<std::string> given{"dot:451", "rcpt:550:bad@example.org"};
    FaultTable table(given, file);
    const std::vector<std::string> good{"good@example.org"};
    const std::vector<std::string> both{"good@example.org", "bad@example.org"};
    CHECK(table.find(Stage::dot, good)->code == 451);
    CHECK_FALSE(table.find(Stage::rcpt, good));
    CHECK(table.find(Stage::rcpt, both)->code == 550);
    std::ofstream(file) << "# flapping\ndot:drop\n\n";
    CHECK(table.find(Stage::dot, good)->action == Action::drop);
    std::filesystem::remove(file);
    CHECK(table.find(Stage::dot, good)->code == 451);
}

TEST_CASE("captured mails are numbered on from what is there", "[sink]") {
    const Folder folder;
    CapturedMail mail;
    mail.mail_from = "a@example.com";
    mail.rcpts = {"b@example.org"};
    mail.rcpt_params = {{"NOTIFY=NEVER"}};
    mail.data = "Subject: x\r\n\r\nbody\r\n";
    {
        Capture capture(folder.path / "made");
        REQUIRE(capture.ready());
        CHECK(capture.write(mail) == 1U);
        CHECK(capture.write(mail) == 2U);
    }
    Capture again(folder.path / "made");
    CHECK(again.write(mail) == 3U);
    std::ifstream eml(folder.path / "made" / "3.eml", std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(eml)), {});
    CHECK(text == mail.data);
    std::ifstream json(folder.path / "made" / "3.json");
    text.assign((std::istreambuf_iterator<char>(json)), {});
    CHECK(text.find(R"("mail_from":"a@example.com")") != std::string::npos);
    CHECK(text.find(R"("rcpts":["b@example.org"])") != std::string::npos);
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path / "made"), {}) == 6);
}
