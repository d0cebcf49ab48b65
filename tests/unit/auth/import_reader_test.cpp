// Files of accounts: what each format says, and what is wrong with it, however it is cut.
#include "auth/import_reader.hpp"

#include <fmt/format.h>

#include "crypt_samples.hpp"
#include "tests/catch.hpp"

namespace postern::auth {
namespace {

std::string proof_text(const ImportedProof& proof) {
    if (std::holds_alternative<LockedProof>(proof)) return "locked";
    if (const auto* const hash = std::get_if<HashProof>(&proof))
        return "crypt " + hash->crypt.substr(0, 3);
    if (const auto* const verifier = std::get_if<Verifier>(&proof))
        return fmt::format("scram {}", verifier->iterations);
    return "password " + std::string(std::get<CleartextProof>(proof).prepared.reveal());
}

/// An account a line, then the faults: "3! what".
std::string read(ImportFormat format, std::string_view text, std::size_t cut,
                 const std::string& domain = "") {
    ImportReader reader(format, domain);
    for (std::size_t at = 0; at < text.size(); at += cut) reader.feed(text.substr(at, cut));
    reader.finish();
    std::string out;
    for (const ImportedAccount& a : reader.take()) {
        out += fmt::format("{} {} {}", a.line, a.name, proof_text(a.proof));
        if (!a.customer.empty()) out += " customer " + a.customer;
        if (!a.plan.empty()) out += " plan " + a.plan;
        for (const std::string& owned : a.owned.texts()) {
            if (owned != a.name) out += " owns " + owned;
        }
        for (const std::string& other : a.authzids) out += " as " + other;
        out += '\n';
    }
    for (const ImportFault& fault : reader.faults().kept()) {
        out += fmt::format("{}! {}\n", fault.line, fault.what);
        CHECK_FALSE(fault.right.empty());
    }
    return out;
}

void same_however_cut(ImportFormat format, std::string_view text, std::string_view expected,
                      const std::string& domain = "") {
    for (const std::size_t cut : {std::size_t{1}, std::size_t{7}, text.size() + 1}) {
        INFO(cut);
        CHECK(read(format, text, cut, domain) == expected);
    }
}

TEST_CASE("a Dovecot passwd-file is read with every scheme that is taken") {
    std::string text = "# accounts\n\n";
    text += fmt::format("ann@example.net:{{SHA512-CRYPT}}{}:1000:1000::/home/ann::\n",
                        test::sha512_crypt);
    text += fmt::format("Bob@EXAMPLE.net:{{sha256-crypt}}{}\r\n", test::sha256_crypt);
    text += fmt::format("carl@example.net:{{BLF-CRYPT}}{}:\n", test::bcrypt_y);
    text += fmt::format("dora@example.net:{{CRYPT}}{}\n", test::bcrypt_a);
    text +=
        fmt::format("eve@example.net:{}::::::userdb_quota=1G nopassword\n", test::dovecot_scram);
    text += fmt::format("fay@example.net:{}:1000:1000\n", test::rfc5803_scram);
    text += fmt::format("flo@example.net:{{SCRAM-SHA-256}}{}\n", test::rfc5803_scram);
    text += "gil@example.net:{PLAIN}pen cil}::::::a:b\n";
    text += fmt::format("hal@example.net:!{}\n", test::sha512_crypt);
    text += "ida@example.net:*\n";
    text += "jo@xn--mller-kva.example:{plain}\xC2\xAA";  // No end of line; SASLprep folds it.
    same_however_cut(ImportFormat::dovecot, text,
                     "3 ann@example.net crypt $6$\n"
                     "4 bob@example.net crypt $5$\n"
                     "5 carl@example.net crypt $2y\n"
                     "6 dora@example.net crypt $2a\n"
                     "7 eve@example.net scram 4096\n"
                     "8 fay@example.net scram 4096\n"
                     "9 flo@example.net scram 4096\n"
                     "10 gil@example.net password pen cil}\n"
                     "11 hal@example.net locked\n"
                     "12 ida@example.net locked\n"
                     "13 jo@xn--mller-kva.example password a\n");
}

TEST_CASE("bad lines are named, and none of them tells a secret") {
    const struct {
        std::string line;
        std::string_view what;
    } table[] = {
        {"ann", "there is no colon"},
        {":{PLAIN}x", "there is no name"},
        {"ann:{PLAIN}x", "the name is no address"},
        {"ann@@example.net:{PLAIN}x", "the name is no address"},
        {"ann@example.net:", "there is no password"},
        {"ann@example.net:{PLAIN}", "the password cannot be used"},
        {"ann@example.net:{PLAIN}a\tb", "the password cannot be used"},
        {"ann@example.net:{PLAIN", "the scheme has no closing brace"},
        {"ann@example.net:{hunter2}x", "the scheme in braces is not known"},
        {"ann@example.net:{SSHA512}aGVsbG8=", "{SSHA512} is no scheme that is taken"},
        {"ann@example.net:{ssha256.b64}aGVsbG8=", "{SSHA256} is no scheme that is taken"},
        {"ann@example.net:{SHA}aGVsbG8=", "{SHA} is no scheme that is taken"},
        {"ann@example.net:{SCRAM-SHA-1}4096,a,b,c", "{SCRAM-SHA-1} is no scheme that is taken"},
        {"ann@example.net:{SHA512-CRYPT}x", "the hash is damaged"},
        {"ann@example.net:{SHA512-CRYPT}" + std::string(test::sha256_crypt), "the hash is damaged"},
        {"ann@example.net:{CRYPT}$1$salt$aaaaaaaaaaaaaaaaaaaaaa",
         "MD5-crypt ($1$) is no hash that is taken"},
        {"ann@example.net:$apr1$salt$aaaaaaaaaaaaaaaaaaaaaa",
         "Apache's MD5 ($apr1$) is no hash that is taken"},
        {"ann@example.net:$y$j9T$salt$aaaa", "yescrypt ($y$) is no hash that is taken"},
        {"ann@example.net:hunter2", "there is no hash that is known"},
        {"ann@example.net:$6$rounds=999999999$salt$" + std::string(86, 'a'),
         "the hash has too many rounds to check"},
        {"ann@example.net:$2y$31$" + std::string(53, 'a'), "the hash costs too much to check"},
        {"ann@example.net:{SCRAM-SHA-256}4096,MDEyMzQ1Njc4OWFiY2RlZg==,x,y",
         "the SCRAM-SHA-256 verifier is damaged"},
        {"ann@example.net:{SCRAM-SHA-256}", "the SCRAM-SHA-256 verifier is damaged"},
        {"ann@example.net:{SCRAM-SHA-256}1000" + std::string(test::dovecot_scram.substr(19)),
         "the SCRAM-SHA-256 verifier has 1000 iterations"},
        {"ann@example.net:{SCRAM-SHA-256}100000" + std::string(test::dovecot_scram.substr(19)),
         "the SCRAM-SHA-256 verifier has 100000 iterations"},
        {"ann@example.net:{PLAIN}\xFF", "the line is no text"},
        {std::string("ann@example.net:{PLAIN}a\0b", 26), "the line is no text"},
        {"ann@example.net:{PLAIN}" + std::string(70'000, 'a'), "the line is too long"},
    };
    for (const auto& [line, what] : table) {
        INFO(line.substr(0, 200));
        const std::string text = "bob@example.net:*\n" + line + "\ncarl@example.net:*\n";
        const std::string expected =
            fmt::format("1 bob@example.net locked\n3 carl@example.net locked\n2! {}\n", what);
        same_however_cut(ImportFormat::dovecot, text, expected);
        const std::string said = read(ImportFormat::dovecot, text, text.size());
        CHECK_FALSE(said.contains("hunter2"));
    }
}

TEST_CASE("an account stands once in a file, in whatever form") {
    same_however_cut(ImportFormat::dovecot,
                     "ann@example.net:*\nbob@example.net:*\nANN@Example.Net:*\n",
                     "1 ann@example.net locked\n2 bob@example.net locked\n"
                     "3! ann@example.net is on line 1 already\n");
}

TEST_CASE("bare names get the domain that is named") {
    same_however_cut(ImportFormat::shadow, "root:*:19000:0:99999:7:::\nann@other.example:!!\n",
                     "1 root@example.net locked\n2 ann@other.example locked\n", "example.net");
    same_however_cut(ImportFormat::shadow, "root:*:19000:0:99999:7:::\n",
                     "1! the name is no address\n");
}

TEST_CASE("htpasswd and shadow have the hash second") {
    same_however_cut(
        ImportFormat::htpasswd,
        fmt::format("ann@example.net:{}\nbob@example.net:{}:x\n", test::bcrypt_y, test::bcrypt_y),
        "1 ann@example.net crypt $2y\n2! there is more than a name and a hash\n");
    same_however_cut(ImportFormat::shadow,
                     fmt::format("ann@example.net:{}:19000:0:99999:7:::\n", test::sha512_crypt),
                     "1 ann@example.net crypt $6$\n");
}

TEST_CASE("CSV is read by its header") {
    const std::string text = fmt::format(
        "\xEF\xBB\xBF"
        "Plan, account ,owns,customer,hash,password,authzids\r\n"
        "gold,ann@example.net,example.org *,shop,{},,\r\n"
        "\r\n"
        ",\"bob@example.net\",\"a@example.org b@example.org\",,,\" a \"\"quoted\"\", one \",\r\n"
        ",carl@example.net,,,!,,bob@example.net\r\n"
        ",dora@example.net,,,,{{like that,",
        test::sha512_crypt);
    same_however_cut(ImportFormat::csv, text,
                     "2 ann@example.net crypt $6$ customer shop plan gold owns * owns example.org\n"
                     "4 bob@example.net password  a \"quoted\", one  owns a@example.org owns "
                     "b@example.org\n"
                     "5 carl@example.net locked as bob@example.net\n"
                     "6 dora@example.net password {like that\n");
}

TEST_CASE("what is wrong with a CSV file") {
    const struct {
        std::string text;
        std::string expected;
    } table[] = {
        {"", "1! there is no header line\n"},
        {"\n\n", "1! there is no header line\n"},
        {"account,password\na@example.net,!\nb@example.net,{PLAIN}x\nc@example.net,$6$s$x\n",
         "2! what stands for a password is a hash, or ! or *\n"
         "3! what stands for a password is a hash, or ! or *\n"
         "4! what stands for a password is a hash, or ! or *\n"},
        {"account,secret\nann@example.net,x\n", "1! a column of the header line is not known\n"},
        {"ann@example.net;hunter2\n", "1! a column of the header line is not known\n"},
        {"account,hash,Account\n", "1! the column account stands twice\n"},
        {"account,plan\n", "1! a column is missing in the header line\n"},
        {"password\nx\n", "1! a column is missing in the header line\n"},
        {"account,hash\nann@example.net\nbob@example.net,*\n",
         "3 bob@example.net locked\n2! there are 1 fields\n"},
        {"account,hash\nann@example.net,*,\nbob@example.net,*\n",
         "3 bob@example.net locked\n2! there are 3 fields\n"},
        {"account,hash\nann@example.net,a\"b\"\nbob@example.net,*\n",
         "3 bob@example.net locked\n2! the quotes are not right\n"},
        {"account,hash\nann@example.net,\"a\"b\nbob@example.net,*\n",
         "3 bob@example.net locked\n2! the quotes are not right\n"},
        {"account,hash\nann@example.net,\"a\nb\"\nbob@example.net,*\n",
         "4 bob@example.net locked\n2! there is no hash that is known\n"},
        {"account,hash\nann@example.net,\"a\nbob@example.net,*\n",
         "2! a quoted field has no end\n"},
        {"account,hash,password\nann@example.net,*,x\n", "2! there are a password and a hash\n"},
        {"account,hash\nann@example.net,\n", "2! there is no password\n"},
        {"account,hash,owns\nann@example.net,*,no domain!\n", "2! owns something else\n"},
        {"account,hash,authzids\nann@example.net,*,bob\n",
         "2! may act as something else than an account\n"},
        {"account,hash,customer\nann@example.net,*,a b\n", "2! the customer's name is none\n"},
    };
    for (const auto& [text, expected] : table) {
        INFO(text);
        same_however_cut(ImportFormat::csv, text, expected);
    }
    std::string endless = "account,hash\nann@example.net,\"a\n";
    for (int i = 0; i < 10'000; ++i) endless += "0123456789\n";
    same_however_cut(ImportFormat::csv, endless, "2! a quoted field has no end within 64 KiB\n");
}

constexpr std::string_view print_dump =
    "VERSION=3\nformat=print\ntype=hash\nh_nelem=3\ndb_pagesize=4096\nHEADER=END\n"
    " ann\\00example.net\\00userPassword\n s3:cr\\\\et\n"
    " ann\\00example.net\\00cmusaslsecretOTP\n sha1\\09x\n"
    " bob@example.org\\00mailhost\\00userPassword\n p\\c3\\a4 ss\n"
    " carl\\00mailhost\\00userPassword\n x\n"
    "DATA=END\n";

TEST_CASE("a dump of sasldb2 is read, in either of its forms") {
    same_however_cut(ImportFormat::sasldb, print_dump,
                     "7 ann@example.net password s3:cr\\et\n"
                     "11 bob@example.org password p\xC3\xA4 ss\n"
                     "13 carl@d.example password x\n",
                     "d.example");
    same_however_cut(ImportFormat::sasldb, print_dump,
                     "7 ann@example.net password s3:cr\\et\n"
                     "11 bob@example.org password p\xC3\xA4 ss\n"
                     "13! the name is no address\n");
    same_however_cut(ImportFormat::sasldb,
                     "VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n"
                     " 616e6e006578616d706c652e6e6574007573657250617373776f7264\n"
                     " 73333a63725C6574\nDATA=END\n",
                     "5 ann@example.net password s3:cr\\et\n");
}

TEST_CASE("what is wrong with a dump") {
    const std::string head = "format=print\nHEADER=END\n";
    const struct {
        std::string text;
        std::string_view expected;
    } table[] = {
        {"", "1! this is no dump of a database\n"},
        {"ann@example.net\n", "1! this is no dump of a database\n"},
        {head + " ann\\00example.net\\00userPassword\n", "3! the dump has no end (DATA=END)\n"},
        {head + " ann\\00example.net\\00userPassword\n x\n",
         "3 ann@example.net password x\n3! the "
         "dump has no end (DATA=END)\n"},
        {head + " ann\\0\n x\nDATA=END\n", "3! the line of the dump is damaged\n"},
        {head + "ann\n x\nDATA=END\n", "3! the line of the dump is damaged\n"},
        {head + " ann\\00x.example\\00userPassword\nx\nDATA=END\n",
         "4! the line of the dump is damaged\n"},
        {head + " ann\n x\nDATA=END\n", "3! the key is none of sasldb2\n"},
        {head + "DATA=END\nformat=print\n", "4! something follows DATA=END\n"},
    };
    for (const auto& [text, expected] : table) {
        INFO(text);
        same_however_cut(ImportFormat::sasldb, text, expected);
    }
}

TEST_CASE("of many faults the first are kept, in the order of their lines") {
    ImportReader reader(ImportFormat::dovecot, "");
    for (int i = 0; i < 1000; ++i) reader.feed("x\n");
    reader.finish();
    CHECK(reader.faults().count() == 1000);
    REQUIRE(reader.faults().kept().size() == ImportFaults::most);
    CHECK(reader.faults().kept().back().line == ImportFaults::most);
    ImportFaults faults;
    faults.add(7, "b", "");
    faults.add(9, "c", "");
    faults.add(3, "a", "");
    CHECK(faults.kept()[0].what == "a");
    CHECK(faults.kept()[2].what == "c");
}

}  // namespace
}  // namespace postern::auth
