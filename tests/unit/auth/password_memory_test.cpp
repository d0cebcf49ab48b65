#include "auth/password_memory.hpp"

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

using namespace std::chrono_literals;

AccountRecord ann(std::uint64_t version = 1) {
    AccountRecord account;
    account.name = "ann@example.net";
    account.version = version;
    Credential first;
    first.verifier = Verifier{};
    Credential phone;
    phone.name = "phone";
    phone.verifier = Verifier{};
    account.credentials = {first, phone};
    return account;
}

struct Clock {
    std::chrono::steady_clock::time_point t{};
    PasswordMemory::Settings settings(std::size_t entries = 65536) {
        PasswordMemory::Settings made;
        made.entries = entries;
        made.now = [this] { return t; };
        return made;
    }
};

TEST_CASE("a password that was right is known for its lifetime and not longer") {
    Clock clock;
    PasswordMemory memory(clock.settings());
    memory.remember(ann(), "", "pencil");
    CHECK(memory.check(ann(), {}, "pencil") == "");
    clock.t += 9min + 59s;
    CHECK(memory.check(ann(), {}, "pencil") == "");
    clock.t += 1s;
    CHECK_FALSE(memory.check(ann(), {}, "pencil"));
    CHECK(memory.size() == 0);
    memory.remember(ann(), "", "pencil");
    CHECK(memory.check(ann(), {}, "pencil") == "");
}

TEST_CASE("the memory tells which credential it was") {
    PasswordMemory memory;
    memory.remember(ann(), "phone", "eraser");
    CHECK(memory.check(ann(), {}, "eraser") == "phone");
    CHECK(memory.check(ann(), "phone", "eraser") == "phone");
    CHECK_FALSE(memory.check(ann(), "printer", "eraser"));
}

TEST_CASE("nothing but the very password of the very account is known") {
    PasswordMemory memory;
    memory.remember(ann(), "", "pencil");
    CHECK_FALSE(memory.check(ann(), {}, "Pencil"));
    CHECK_FALSE(memory.check(ann(), {}, "pencil "));
    CHECK_FALSE(memory.check(ann(), {}, ""));
    AccountRecord bob = ann();
    bob.name = "bob@example.net";
    CHECK_FALSE(memory.check(bob, {}, "pencil"));
    PasswordMemory other;
    CHECK_FALSE(other.check(ann(), {}, "pencil"));
}

TEST_CASE("any change of the account drops what was known") {
    PasswordMemory memory;
    memory.remember(ann(1), "", "pencil");
    CHECK_FALSE(memory.check(ann(2), {}, "pencil"));
    AccountRecord without = ann(1);
    without.credentials.clear();
    CHECK_FALSE(memory.check(without, {}, "pencil"));
}

TEST_CASE("the memory is bounded and keeps what was used last") {
    Clock clock;
    PasswordMemory memory(clock.settings(64));
    AccountRecord account = ann();
    for (int i = 0; i < 10000; ++i) memory.remember(account, "", "password" + std::to_string(i));
    CHECK(memory.size() <= 64);
    CHECK(memory.check(account, {}, "password9999"));
    CHECK_FALSE(memory.check(account, {}, "password0"));
}

TEST_CASE("secret hashes compare within one process and one account") {
    const PasswordMemory memory;
    const PasswordMemory other;
    CHECK(memory.secret_hash("ann", "x") == memory.secret_hash("ann", "x"));
    CHECK(memory.secret_hash("ann", "x") != memory.secret_hash("ann", "y"));
    CHECK(memory.secret_hash("ann", "x") != memory.secret_hash("bob", "x"));
    CHECK(memory.secret_hash("annx", "") != memory.secret_hash("ann", "x"));
    CHECK(memory.secret_hash("ann", "x") != other.secret_hash("ann", "x"));
    CHECK(memory.secret_hash("ann", "x").size() == 16);
}

}  // namespace
}  // namespace postern::auth
