#include "surroundings.hpp"
#include "tests/catch.hpp"

using namespace postern;
using test::least;
using test::load;
using test::messages;

namespace {

struct Wrong {
    const char* text;     ///< Lines from 1, in the place of {server} or behind the least file.
    const char* message;  ///< Behind "/etc/p.toml:LINE: ".
};

/// Of a file that has one fault the one message.
std::string only_fault(const std::string& text) {
    const auto loaded = load(text);
    CHECK_FALSE(loaded.config);
    const auto all = messages(loaded);
    CAPTURE(text, all);
    REQUIRE(all.size() == 1);
    return all[0];
}

}  // namespace

TEST_CASE("a fault behind the least file names line, key, what is wrong and what would be right") {
    // The least file has seven lines; these begin at the eighth, inside [[upstream]].
    const Wrong table[] = {
        {"addres = 1", "8: upstream.0.addres: unknown key; did you mean address?"},
        {"xyzzy = 1", "8: upstream.0.xyzzy: unknown key"},
        {"[sever]", "8: sever: unknown key; did you mean server?"},
        {"[message]\nmax_sise = \"1MiB\"",
         "9: message.max_sise: unknown key; did you mean max_size?"},
        {"[message]\nmax_size = 25",
         "9: message.max_size: expected a size like \"25MiB\", not a whole number"},
        {"[message]\nmax_size = \"25\"",
         "9: message.max_size: \"25\" is no size; write one like \"25MiB\" (B, KiB, MiB, GiB, "
         "TiB)"},
        {"[message]\nmax_size = \"25MB\"",
         "9: message.max_size: \"25MB\" is no size; write one like \"25MiB\" (B, KiB, MiB, GiB, "
         "TiB)"},
        {"[message]\nmax_size = \"1KiB\"",
         "9: message.max_size: \"1KiB\" is not between 64KiB and 2GiB"},
        {"[message]\nmax_size = \"99999999999999999999GiB\"",
         "9: message.max_size: \"99999999999999999999GiB\" is no size; write one like \"25MiB\" "
         "(B, KiB, MiB, GiB, TiB)"},
        {"[message]\nmax_recipients = 0",
         "9: message.max_recipients: 0 is no whole number from 1 to 10000"},
        {"[message]\nmax_recipients = \"7\"",
         "9: message.max_recipients: expected a whole number from 1 to 10000, not a string"},
        {"[message]\nmax_recipients = 1.5",
         "9: message.max_recipients: expected a whole number from 1 to 10000, not a number"},
        {"[message]\nbare_newline = \"fix\"",
         "9: message.bare_newline: \"fix\" is not \"reject\" or \"normalize\""},
        {"[message]\nreceived_client_ip = \"yes\"",
         "9: message.received_client_ip: expected true or false, not a string"},
        {"[message]\nreturn_path = \"away\"",
         "9: message.return_path: \"away\" is not \"keep\" or \"rewrite\""},
        {"[message]\nreturn_path = \"rewrite\"",
         "8: message.bounce_domain: not set, and message.return_path = \"rewrite\" needs it: name "
         "a "
         "domain whose mail comes to the intake, like \"bounce.example.net\""},
        {"[message]\nbounce_domain = \"bounce\"",
         "9: message.bounce_domain: \"bounce\" is no domain; write one like \"example.net\""},
        {"[message]\ntrace_retention = 90",
         "9: message.trace_retention: expected a duration like \"20s\", not a whole number"},
        {"[message]\ntrace_retention = \"90\"",
         "9: message.trace_retention: \"90\" is no duration; write one like \"20s\" (ms, s, m, h, "
         "d)"},
        {"[message]\ntrace_retention = 2026-01-01",
         "9: message.trace_retention: expected a duration like \"20s\", not a date or time"},
        {"[auth]\nbackend = \"pam\"",
         "9: auth.backend: \"pam\" is not \"embedded\", \"saslauthd\", \"sasldb\", \"ldapdb\" or "
         "\"sql\""},
        {"[auth]\nbackend = \"saslauthd\"\nmechanisms = [\"PLAIN\", \"SCRAM-SHA-256\"]",
         "10: auth.mechanisms: \"SCRAM-SHA-256\" cannot be served by the back-end \"saslauthd\", "
         "which never shows what it needs; write \"PLAIN\" or \"LOGIN\""},
        {"[auth]\nbackend = \"saslauthd\"\n[auth.options]\ntimeout = \"0s\"",
         "11: auth.options.timeout: \"0s\" is not between 100ms and 1m"},
        {"[auth]\nbackend = \"saslauthd\"\n[auth.options]\nconnections = 0",
         "11: auth.options.connections: 0 is no whole number from 1 to 256"},
        {"[auth]\nbackend = \"saslauthd\"\n[auth.options]\nsaslauthd_pth = \"/x\"",
         "11: auth.options.saslauthd_pth: unknown key; did you mean saslauthd_path?"},
        {"[auth]\nbackend = \"ldapdb\"\n[auth.options]\nldapdb_id = \"p\"\n"
         "ldapdb_mech = \"EXTERNAL\"",
         "10: auth.options.ldapdb_uri: not set; write where the server is, like \"ldapi:///\" or "
         "\"ldaps://ldap.example.net\""},
        {"[auth]\nbackend = \"ldapdb\"\n[auth.options]\nldapdb_id = \"p\"\n"
         "ldapdb_uri = \"ldapi:///\"",
         "10: auth.options.ldapdb_mech: not set; write how to log in there, like \"EXTERNAL\" or "
         "\"DIGEST-MD5\""},
        {"[auth]\nbackend = \"sql\"\n[auth.options]\nsql_engine = \"oracle\"\n"
         "sql_database = \"d\"\nsql_select = \"SELECT p FROM u WHERE n = '%u'\"",
         "11: auth.options.sql_engine: \"oracle\" is not \"pgsql\", \"mysql\" or \"sqlite3\""},
        {"[auth]\nbackend = \"sql\"\n[auth.options]\nsql_engine = \"pgsql\"\n"
         "sql_database = \"d\"",
         "10: auth.options.sql_select: not set; write the query for a password, like \"SELECT "
         "password FROM users WHERE name = '%u' AND domain = '%r'\""},
        {"[auth]\nbackend = \"sql\"\n[auth.options]\nsql_engine = \"pgsql\"\n"
         "sql_database = \"d\"\nsql_select = \"SELECT p FROM u\"",
         "13: auth.options.sql_select: asks for nobody; write '%u' where the name's local part "
         "belongs and '%r' where its domain does"},
        {"[auth]\nbackend = \"sql\"\n[auth.options]\nsql_engine = \"pgsql\"\n"
         "sql_database = \"d\"\nsql_select = \"SELECT '%u'\"\nsql_hostnames = \"a,\"",
         "14: auth.options.sql_hostnames: \"a,\" is no list of hosts; write them with commas and "
         "without spaces, like \"db1.example.net:5432,db2.example.net\""},
        {"[auth]\nbackend = \"sql\"\n[auth.options]\nsql_engine = \"pgsql\"\n"
         "sql_database = \"d\"\nsql_select = \"SELECT '%u'\"\nsql_passwd_file = \"/gone\"",
         "14: auth.options.sql_passwd_file: cannot read /gone: No such file or directory"},
        {"[auth]\nmechanisms = [\"NTLM\"]",
         "9: auth.mechanisms: \"NTLM\" is not "
         "\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", "
         "\"LOGIN\", \"EXTERNAL\", \"OAUTHBEARER\" or \"XOAUTH2\""},
        {"[auth]\nmechanisms = [\"SCRAM-SHA-1-PLUS\"]",
         "9: auth.mechanisms: \"SCRAM-SHA-1-PLUS\" is not "
         "\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", "
         "\"LOGIN\", \"EXTERNAL\", \"OAUTHBEARER\" or \"XOAUTH2\""},
        {"[auth.oauth]\nissuer = \"\"",
         "9: auth.oauth.issuer: is empty; write something, or leave it out"},
        {"[auth.oauth]\njwks = \"http://a.example/jwks\"",
         "9: auth.oauth.jwks: \"http://a.example/jwks\" is fetched in the clear, where anybody on "
         "the way could put keys of his own; only loopback may be; write one like "
         "\"https://a.example/jwks\""},
        {"[auth.oauth]\njwks = \"ftp://a.example/jwks\"",
         "9: auth.oauth.jwks: \"ftp://a.example/jwks\" is neither https nor a file; write one like "
         "\"https://a.example/jwks\""},
        {"[auth.oauth]\njwks = \"https://me@a.example/jwks\"",
         "9: auth.oauth.jwks: \"https://me@a.example/jwks\" holds a user name; this one must do "
         "without; write one like \"https://a.example/jwks\""},
        {"[auth.oauth]\njwks = \"https:///jwks\"",
         "9: auth.oauth.jwks: \"https:///jwks\" names no host; write one like "
         "\"https://a.example/jwks\""},
        {"[auth.oauth]\njwks = \"https://a.example/jw ks\"",
         "9: auth.oauth.jwks: \"https://a.example/jw ks\" holds what no URL may; write one like "
         "\"https://a.example/jwks\""},
        {"[auth.oauth]\njwks = 7",
         "9: auth.oauth.jwks: expected a URL like \"https://a.example/jwks\", or a file, not a "
         "whole "
         "number"},
        {"[auth]\nmechanisms = \"XOAUTH2\"\noauth = { issuer = \"i\", audience = \"a\" }",
         "10: auth.oauth.jwks: not set, but OAUTHBEARER or XOAUTH2 is offered; write where the "
         "issuer's keys are, like \"https://a.example/jwks\", or a file"},
        {"[auth]\nmechanisms = \"OAUTHBEARER\"\noauth = { jwks = \"k\", audience = \"a\" }",
         "10: auth.oauth.issuer: not set, but OAUTHBEARER or XOAUTH2 is offered; write who signs "
         "the tokens, as they say it in iss"},
        {"[auth]\nmechanisms = \"OAUTHBEARER\"\noauth = { jwks = \"k\", issuer = \"i\" }",
         "10: auth.oauth.audience: not set, but OAUTHBEARER or XOAUTH2 is offered; write whom the "
         "tokens are for, as they say it in aud"},
        {"[auth.external]\nname = \"uid\"",
         "9: auth.external.name: \"uid\" is not \"email\" or \"cn\""},
        {"[auth.external]\ncrl = \"/c.crl\"",
         "9: auth.external.crl: lists what an authority has revoked, and auth.external.ca names "
         "none; set it, or leave this out"},
        {"[auth]\nmechanisms = []",
         "9: auth.mechanisms: no mechanism; write at least one, like \"PLAIN\", or leave the key "
         "out"},
        {"[auth]\nmechanisms = 7",
         "9: auth.mechanisms: expected a list of strings, not a whole number"},
        {"[auth]\ncredential_separator = \".\"",
         "9: auth.credential_separator: must be one character of +#/%=~!|"},
        {"[auth]\ncredential_separator = \"\"",
         "9: auth.credential_separator: must be one character of +#/%=~!|"},
        {"[auth]\nscram_iterations = 100",
         "9: auth.scram_iterations: 100 is no whole number from 4096 to 65536"},
        {"[delivery]\nmode = \"cutthrough\"",
         "9: delivery.mode: \"cutthrough\" is not \"cut-through\" or \"spool\""},
        {"[delivery]\nretry = \"1m\"", "9: delivery.retry: expected a table, not a string"},
        {"[delivery]\nretry = { frist = \"1m\" }",
         "9: delivery.retry.frist: unknown key; did you mean first?"},
        {"[delivery]\nretry = { factor = 0.5 }",
         "9: delivery.retry.factor: not a number from 1 to 10"},
        {"[delivery]\nretry = { factor = nan }",
         "9: delivery.retry.factor: not a number from 1 to 10"},
        {"[delivery]\nretry = { first = \"3h\" }",
         "9: delivery.retry.max: less than delivery.retry.first; write at least as much"},
        {"[spool]\npath = \"\"",
         "9: spool.path: the path is empty; name a file, or leave the key out"},
        {"role = \"spare\"",
         "8: upstream.0.role: \"spare\" is not \"primary\", \"fallback\" or \"standby\""},
        {"role = \"fallback\"\nwarm_per_day = 50",
         "8: upstream.0.role: warm_share, warm_per_day and warm_cap are for a standby, and this is "
         "a fallback; leave them out, or write role = \"standby\""},
        {"warm_share = 1.5", "8: upstream.0.warm_share: not a number from 0 to 1"},
        {"weight = 0", "8: upstream.0.weight: 0 is no whole number from 1 to 1000"},
        {"source_address = \"eth0\"",
         "8: upstream.0.source_address: \"eth0\" is no address; write one of this machine's, like "
         "\"192.0.2.9\""},
        {"path_replies = \"not now\"",
         "8: upstream.0.path_replies: \"not now\" begins with no code of a refusal; write it like "
         "\"554 5.7.1 TEXT\", where the enhanced code and the text may be left out"},
        {"path_replies = \"250 2.0.0 ok\"",
         "8: upstream.0.path_replies: \"250 2.0.0 ok\" begins with no code of a refusal; write it "
         "like \"554 5.7.1 TEXT\", where the enhanced code and the text may be left out"},
        {"path_replies = \"554 4.7.1 x\"",
         "8: upstream.0.path_replies: \"554 4.7.1 x\" has codes of two classes; write the enhanced "
         "code as the upstream does, or leave it out"},
        {"default = false",
         "8: upstream.0.default: no upstream takes mail that no route names; leave one with "
         "default = true, or write a last [[route]] with upstreams alone"},
        {"[[route]]\nupstreams = \"primery\"",
         "9: route.0.upstreams: \"primery\" is no upstream's name; did you mean primary?"},
        {"[[route]]\ncustomers = \"acme\"",
         "8: route.0.upstreams: not set; name the upstreams that such mail goes to"},
        {"[[route]]\nsender_domains = \"a b\"\nupstreams = \"primary\"",
         "9: route.0.sender_domains: \"a b\" is no domain; write one like \"example.net\""},
        {"[[route]]\nupstreams = \"primary\"\n[[route]]\nplans = \"gold\"\nupstreams = "
         "\"primary\"",
         "8: route.0: fits all mail, so that none reaches the routes behind it; write it last, or "
         "name sender_domains, customers or plans"},
        {"implicit_tls = true\ntls = \"none\"",
         "8: upstream.0.implicit_tls: contradicts tls = \"none\"; keep one of them"},
        {"username = \"u\"",
         "6: upstream.0.password_file: not set, but username is; name the file with the password, "
         "or leave both out"},
        {"password = \"p\"",
         "6: upstream.0.username: not set, but a password is; write the login name, or leave both "
         "out"},
        {"username = \"u\"\npassword_file = \"/gone\"",
         "9: upstream.0.password_file: cannot read /gone: No such file or directory"},
        {"username = \"u\"\npassword = \"p\"\npassword_file = \"/gone\"",
         "10: upstream.0.password_file: password is given too; keep one of them"},
        {"username = \"u\"\npassword = 12345",
         "9: upstream.0.password: expected a string, not a whole number"},
        {"concurrency = -1", "8: upstream.0.concurrency: -1 is no whole number from 1 to 10000"},
        {"name = \"a b\"",
         "8: upstream.0.name: \"a b\" is no name; use up to 64 letters, digits, dots, dashes and "
         "underscores"},
        {"[[upstream]]\nname = \"primary\"\naddress = \"b.example\"",
         "9: upstream.1.name: \"primary\" is the name of another upstream; write one of its own"},
        {"[[upstream]]",
         "8: upstream.1.address: not set; write one like \"smtp.provider.example:587\""},
        {"[[upstream]]\naddress = \"b.example:0\"",
         "9: upstream.1.address: \"b.example:0\" is no host and port; write one like "
         "\"smtp.provider.example:587\" or "
         "\"[2001:db8::1]:465\""},
        {"[[upstream]]\naddress = \"192.0.2.1:25\"\ntls = \"none\"",
         "10: upstream.1.tls: \"none\" would send mail and login in clear text to 192.0.2.1; use "
         "\"verify\", or set "
         "insecure = true"},
        {"[limits.x]\nmessages = \"many\"",
         "9: limits.x.messages: \"many\" is no window; write one like \"60/min\", \"9/10min\" or "
         "\"5000/day\""},
        {"[limits.x]\nmesages = []", "9: limits.x.mesages: unknown key; did you mean messages?"},
        {"[limits]\nmessages = [\"60/min\"]", "9: limits.messages: expected a table, not a list"},
        {"[rules]\nlimits = \"on\"",
         "9: rules.limits: \"on\" is not \"enforce\", \"observe\" or \"off\""},
        {"[dns]\nresolvers = [\"dns.example\"]",
         "9: dns.resolvers: \"dns.example\" is no address of a resolver; write one like "
         "\"192.0.2.53\" or "
         "\"[2001:db8::53]:5353\""},
        {"[log]\ntarget = \"syslog\"",
         "9: log.target: \"syslog\" is not \"stdout\", \"journald\" or \"file:/PATH\""},
        {"[dkim]\nalgorithm = \"rsa\"", "9: dkim.algorithm: unknown key; did you mean algorithms?"},
        {"[dkim]\nalgorithms = [\"rsa\", \"dsa\"]",
         "9: dkim.algorithms: \"dsa\" is not \"rsa\" or \"ed25519\""},
        {"[dkim]\ndefault_domain = \"an example\"",
         "9: dkim.default_domain: \"an example\" is no domain; write one like \"example.net\""},
        {"[dkim]\ndefault_domain = \"localhost\"",
         "9: dkim.default_domain: \"localhost\" is no domain; write one like \"example.net\""},
        {"[resources]\nmax_connections = 99999999999999999999", "9: no TOML: "},
    };
    for (const Wrong& wrong : table) {
        CAPTURE(wrong.text);
        const std::string expected = std::string("/etc/p.toml:") + wrong.message;
        const std::string got = only_fault(least + wrong.text + "\n");
        if (expected.ends_with("no TOML: ")) {
            CHECK(got.starts_with(expected));
        } else {
            CHECK(got == expected);
        }
    }
}

TEST_CASE("a fault of [server] names its line") {
    const Wrong table[] = {
        {"hostname = \"smtp\"",
         "2: server.hostname: \"smtp\" is no full host name; write one like \"smtp.example.net\""},
        {"hostname = \"a..b\"",
         "2: server.hostname: \"a..b\" is no full host name; write one like \"smtp.example.net\""},
        {"listen = \"587\"",
         "2: server.listen: \"587\" is no address and port; write one like \"[::]:587 starttls\" "
         "or \"0.0.0.0:465 tls\""},
        {"listen = [\"0.0.0.0:587\"]",
         "2: server.listen: \"0.0.0.0:587\" says neither starttls nor tls; write one like "
         "\"[::]:587 starttls\" or "
         "\"0.0.0.0:465 tls\""},
        {"listen = [\"0.0.0.0:587 starttls tls\"]",
         "2: server.listen: \"0.0.0.0:587 starttls tls\" has both starttls and tls; write one of "
         "them"},
        {"listen = [\"0.0.0.0:587 starttls name=a\", \"0.0.0.0:25 starttls devices name=a\"]",
         "2: server.listen: listener \"a\" is for devices and shares its name with 0.0.0.0:587, "
         "which is not; give one of them another by name=N"},
        {"listen = [\"0.0.0.0:587 starttls devices mechanisms=PLAIN\"]",
         "2: server.listen: listener \"587\" is for devices, where nobody logs in; leave "
         "mechanisms= out"},
        {"listen = [\"0.0.0.0:587 starttls loud\"]",
         "2: server.listen: \"0.0.0.0:587 starttls loud\" does not know the word \"loud\"; the "
         "words are starttls, tls, "
         "proxy, devices, name=N, mechanisms=A+B"},
        {"listen = [\"0.0.0.0:587 starttls mechanisms=PLAIN+NTLM\"]",
         "2: server.listen: \"0.0.0.0:587 starttls mechanisms=PLAIN+NTLM\" names \"NTLM\", which "
         "is not \"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", "
         "\"LOGIN\", \"EXTERNAL\", \"OAUTHBEARER\" or \"XOAUTH2\""},
        {"listen = [\"0.0.0.0:587 starttls mechanisms=\"]",
         "2: server.listen: \"0.0.0.0:587 starttls mechanisms=\" names \"\", which is not "
         "\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", "
         "\"LOGIN\", \"EXTERNAL\", \"OAUTHBEARER\" or \"XOAUTH2\""},
        {"listen = [\"0.0.0.0:587 starttls mechanisms=PLAIN+\"]",
         "2: server.listen: \"0.0.0.0:587 starttls mechanisms=PLAIN+\" names \"\", which is not "
         "\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", "
         "\"LOGIN\", \"EXTERNAL\", \"OAUTHBEARER\" or \"XOAUTH2\""},
        {"listen = []",
         "2: server.listen: no listener; write one like \"[::]:587 starttls\", or leave the key "
         "out"},
        {"listen = [\"0.0.0.0:587 tls\", \"0.0.0.0:587 starttls\"]",
         "2: server.listen: port 587 of 0.0.0.0 is listed twice; keep one"},
        {"listen = [\"0.0.0.0:587 tls proxy\"]",
         "2: server.listen: listener \"587\" expects a PROXY header, and nobody may send one; name "
         "the proxies in "
         "server.proxy_from"},
        {"proxy_from = [\"10.0.0.1/8\"]",
         "2: server.proxy_from: \"10.0.0.1/8\" is no network; write one like \"192.0.2.0/24\", "
         "\"2001:db8::/32\" or "
         "\"192.0.2.7\" (no bits set behind the slash's count)"},
        {"admin = [\"localhost:8025\"]",
         "2: server.admin: \"localhost:8025\" is no address and port; write one like "
         "\"127.0.0.1:8025\" or "
         "\"unix:/run/postern/admin.sock\""},
        {"user = \"root\"",
         "2: server.user: the relay never stays root; name a user of its own, like \"postern\""},
        {"contact = \"me\"",
         "2: server.contact: \"me\" is no mail address; write one like \"help@example.net\""},
        {"abuse_contact = \"me\"",
         "2: server.abuse_contact: \"me\" is no plain mail address; write one like "
         "\"abuse@example.net\""},
        {"abuse_contact = \"a;b@example.net\"",
         "2: server.abuse_contact: \"a;b@example.net\" is no plain mail address; write one like "
         "\"abuse@example.net\""},
        {"abuse_contact = \"\\u00e4@example.net\"",
         "2: server.abuse_contact: \"??@example.net\" is no plain mail address; write one "
         "like \"abuse@example.net\""},
        {"abuse_contact = [\"abuse@example.net\"]",
         "2: server.abuse_contact: expected a mail address, not a list"},
        {"threads = 1000", "2: server.threads: 1000 is no whole number from 0 to 256"},
        {"drain = \"1d\"", "2: server.drain: \"1d\" is not between 0ms and 10m"},
    };
    for (const Wrong& wrong : table) {
        CAPTURE(wrong.text);
        std::string text = std::string("[server]\n") + wrong.text + "\n";
        if (text.find("hostname") == std::string::npos) text += "hostname = \"smtp.example.net\"\n";
        text += least.substr(least.find("[tls]"));
        CHECK(only_fault(text) == std::string("/etc/p.toml:") + wrong.message);
    }
}

TEST_CASE("what is missing is named at its section") {
    const auto all = messages(load("[server]\nthreads = 1\n[tls]\nkey = \"k\"\n"));
    CHECK(
        all ==
        std::vector<std::string>{
            "/etc/p.toml: upstream: no way out for mail; write [[upstream]] with an address, like "
            "\"smtp.provider.example:587\"",
            "/etc/p.toml:1: server.hostname: not set, and the system's name \"relay\" has no dot; "
            "set it to the "
            "name that mail programs use, like \"smtp.example.net\"",
            "/etc/p.toml:3: tls.certificate: not set; name the file with the key's certificate"});
    CHECK(
        messages(
            load("[server]\nhostname = \"a.example\"\n[[upstream]]\naddress = \"b.example\"\n")) ==
        std::vector<std::string>{
            "/etc/p.toml: tls.certificate: not set; name the file with the certificate of the host "
            "name (PEM), and its key in tls.key"});
}

TEST_CASE("one table where a list of tables belongs is told so") {
    const std::string text =
        least.substr(0, least.find("[[upstream]]")) + "[upstream]\naddress = \"a.example\"\n";
    CHECK(messages(load(text)) ==
          std::vector<std::string>{"/etc/p.toml:6: upstream: expected a list of tables, not a "
                                   "table; write [[upstream]]"});
}

TEST_CASE("several faults come at once, in the order of the file") {
    const auto all =
        messages(load(least + "bad = 1\n[log]\nlevel = \"loud\"\n[message]\nmax_size = 1\n"));
    REQUIRE(all.size() == 3);
    CHECK(all[0].starts_with("/etc/p.toml:8:"));
    CHECK(all[1].starts_with("/etc/p.toml:10:"));
    CHECK(all[2].starts_with("/etc/p.toml:12:"));
}

TEST_CASE("a syntax error names its line and shows no secret") {
    const auto all = messages(load(least + "username = \"u\"\npassword = hunter2\n"));
    REQUIRE(all.size() == 1);
    CHECK(all[0].starts_with("/etc/p.toml:9: no TOML: "));
    CHECK(all[0].find("hunter2") == std::string::npos);
    CHECK(messages(load("[server\n")).at(0).starts_with("/etc/p.toml:1: no TOML: "));
}

TEST_CASE("foreign text in a message has no control characters") {
    const auto all = messages(load(least + "role = \"a\\u001b[31m\\u0007\"\n"));
    REQUIRE(all.size() == 1);
    CHECK(all[0] ==
          "/etc/p.toml:8: upstream.0.role: \"a?[31m?\" is not \"primary\", \"fallback\" or "
          "\"standby\"");
}

TEST_CASE("an unknown key with control characters is shown without them") {
    const auto all = messages(load(least + "\"a\\nb\" = 1\n"));
    REQUIRE(all.size() == 1);
    CHECK(all[0] == "/etc/p.toml:8: upstream.0.a?b: unknown key");
}

TEST_CASE("characters beyond ASCII belong into strings and comments") {
    const std::string fault =
        "no TOML: a character beyond ASCII outside of a string; put quotes around it";
    CHECK(messages(load("# a comment: é\nü = 1\n")) ==
          std::vector<std::string>{"/etc/p.toml:2: " + fault});
    CHECK(messages(load("a = é\n")) == std::vector<std::string>{"/etc/p.toml:1: " + fault});
    CHECK(messages(load("a = \"\"\"x\\\n  é\"\"\"\n")) ==
          std::vector<std::string>{"/etc/p.toml:2: " + fault});
    // These are whole TOML, and so other faults are told.
    for (const char* text : {"a = \"é \\\" ü\"", "a = 'é \\'", "a = \"\"\"é\nü\"\"\"\"",
                             "a = \'\'\'é\nü\'\'\'", "\"é\" = 1", "\xef\xbb\xbf# mark first"}) {
        CAPTURE(text);
        for (const std::string& message : messages(load(text)))
            CHECK(message.find("no TOML") == std::string::npos);
    }
}
