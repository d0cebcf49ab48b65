#include "relay/dkim/key_index.hpp"

#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::dkim;
using proto::DkimAlgorithm;

namespace {

IndexedKey indexed(const std::string& selector, KeyState state) {
    return {.selector = selector,
            .algorithm = DkimAlgorithm::rsa,
            .state = state,
            .created = std::chrono::system_clock::time_point(std::chrono::milliseconds(1234567)),
            .value = "v=DKIM1; k=rsa; p=YWJj"};
}

}  // namespace

TEST_CASE("the list of a domain's keys is written and read again") {
    const std::vector<IndexedKey> keys{indexed("r1", KeyState::retired),
                                       indexed("r2", KeyState::active),
                                       indexed("r3-2", KeyState::fresh)};
    CHECK(index_text({keys[1]}) ==
          "postern-dkim 1\nr2 rsa active 1234567 v=DKIM1; k=rsa; p=YWJj\nend 1\n");
    for (const auto& some : {std::vector<IndexedKey>(), keys}) {
        const auto again = read_index(index_text(some));
        REQUIRE(again.has_value());
        CHECK(*again == some);
    }
}

TEST_CASE("a list that was cut off anywhere is damaged, not shorter") {
    const std::string text =
        index_text({indexed("r1", KeyState::active), indexed("r2", KeyState::fresh)});
    for (std::size_t n = 0; n < text.size(); ++n) {
        CAPTURE(n);
        CHECK(read_index(text.substr(0, n)).error() == KeyError::damaged);
    }
}

TEST_CASE("lists that are none of ours are refused by name") {
    struct Row {
        std::string text;
        KeyError error;
    };
    const std::string good = "r1 rsa active 1 v";
    const auto row = GENERATE_COPY(
        Row{"postern-dkim 2\nend 0\n", KeyError::newer},
        Row{"postern-dkim x\nend 0\n", KeyError::damaged},
        Row{"something else\nend 0\n", KeyError::damaged},
        Row{"postern-dkim 1\n" + good + "\nend 2\n", KeyError::damaged},
        Row{"postern-dkim 1\n" + good + "\nend 1\nmore\n", KeyError::damaged},
        Row{"postern-dkim 1\n" + good + "\n" + good + "\nend 2\n", KeyError::damaged},
        Row{"postern-dkim 1\n../x rsa active 1 v\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\nR1 rsa active 1 v\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\n" + std::string(64, 'r') + " rsa active 1 v\nend 1\n",
            KeyError::damaged},
        Row{"postern-dkim 1\nr1 dsa active 1 v\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\nr1 rsa asleep 1 v\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\nr1 rsa active -1 v\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\nr1 rsa active 9223372036854775807 v\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\nr1 rsa active 1\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\nr1\nend 1\n", KeyError::damaged},
        Row{"postern-dkim 1\n\nend 1\n", KeyError::damaged});
    CAPTURE(row.text);
    CHECK(read_index(row.text).error() == row.error);
}

TEST_CASE("no list is longer than a domain's keys can be") {
    std::vector<IndexedKey> keys;
    for (std::size_t n = 0; n < most_keys; ++n)
        keys.push_back(indexed("r" + std::to_string(n), KeyState::active));
    CHECK(read_index(index_text(keys)).has_value());
    keys.push_back(indexed("more", KeyState::active));
    CHECK(read_index(index_text(keys)).error() == KeyError::damaged);
}
