"""Messages as odd as mail is, from a seed: the same number gives the same message."""

from __future__ import annotations

import random
from dataclasses import dataclass

NUMBER = "X-Test-Number"


@dataclass(frozen=True)
class Varied:
    head: bytes  # With the empty line.
    body: bytes
    by_bdat: bool  # As it stands; else by DATA, dot-stuffed here.
    smtputf8: bool
    what: str  # The kinds that it is made of.

    @property
    def rspamd_differs(self) -> str:
        """Where rspamd 3.4 reads RFC 6376 3.4 otherwise than dkimpy, OpenDKIM and the relay do; else empty."""
        if b"\x0c" in self.body:
            return "it takes a form feed for white space"
        if self.body.strip(b" \t\r\n") == b"" and self.body.strip(b"\r\n") != b"":
            return "to it a body of white space alone is not empty"
        return ""


FROMS = [
    b"From: ann@example.net\r\n",
    b"From:ann@example.net\r\n",
    b"FROM:   Ann  Example   <ann@example.net>  \r\n",
    b"from: \"Example, Ann\"\r\n\t<ann@example.net>\r\n",
    b"From: =?utf-8?q?Ann_=C3=84?=\r\n =?utf-8?q?nne?= (of the\r\n office) <ann@example.net>\r\n",
]
SUBJECTS = [
    b"",
    b"Subject:\r\n",
    b"Subject: \r\n",
    b"Subject: plain\r\n",
    b"subject:\ttabs\tand  spaces \t \r\n",
    b"Subject: folded\r\n here\r\n\tand   there\r\n  \tand again  \r\n",
    b"Subject:\r\n begins on the second line\r\n",
    b"SUBJECT: =?utf-8?b?w4RobmxpY2g=?= =?utf-8?q?e?=\r\n",
    b"Subject: a:b; c=d; b=; bh=x; h=from:to\r\n",
]
FIELDS = [
    b"To: bob@example.org\r\n",
    b"To: bob@example.org,\r\n\tcarl@example.org ,\r\n dora@example.org\r\n",
    b"To: undisclosed-recipients:;\r\n",
    b"Cc: bob@example.org,\r\n\t \r\n carl@example.org\r\n",
    b"cC: carl@example.org\r\n",
    b"Reply-To: Ann <ann@example.net>,\r\n  office@example.net\r\n",
    b"Date: Mon, 02 Mar 2026 09:15:00 +0000\r\n",
    b"Date:  Mon,  2 Mar 2026 09:15 +0000 (GMT)\r\n",
    b"MIME-Version: 1.0 (made by hand)\r\nContent-Type: text/plain;\r\n\tcharset=\"utf-8\" ;\r\n format=flowed\r\n"
    b"Content-Transfer-Encoding:\t8bit\r\n",
    b"References: " + b"\r\n ".join(b"<%d.%d@client.example.net>" % (n, n * n) for n in range(40)) + b"\r\n",
    b"In-Reply-To: <1@client.example.net>\r\n",
    b"List-Unsubscribe: <mailto:off@example.net>,\r\n <https://example.net/off?a=b;c>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: The list <l.example.net>\r\n",
    b"X-Long: " + b"x" * 900 + b"\r\n",
    b"Comments:\r\nKeywords:   \r\n",
    b"Comments: one\r\nComments: two\r\n",
    b"X-Odd!#$%: ~`|{}\r\n",
    b"Received: from a by b;\r\n Mon, 02 Mar 2026 09:15:00 +0000\r\nReceived: from c by d; x\r\n",
    b"Authentication-Results: elsewhere; dkim=fail\r\n",
    b"Bcc: secret@example.org\r\n",
]
BODIES = {
    "ordinary": b"Hello.\r\n",
    "empty": b"",
    "one empty line": b"\r\n",
    "only empty lines": b"\r\n" * 5,
    "blanks alone": b" \t \r\n  \r\n\t\r\n",
    "trailing space": b"Hello. \t \r\n  in front\r\n in \t between \r\n\t\r\nend \r\n",
    "empty lines at the end": b"Hello.\r\n\r\n \r\n\r\n",
    "dot lines": b".\r\n..\r\n.x\r\n...\r\nx.\r\n.\r\n",
    "a dot at the end": b"text\r\n.\r\n",
    "eight bit": "Grüße, äöü €\r\n".encode() + b"\xff\xfe\x80\xa0\r\n",
    "a long line": b"x" * 5000 + b" \t" + b"y" * 3000 + b"\r\n",
    "a line of 998": b"z" * 998 + b"\r\n",
    "tabs and spaces": b"\t a \t\tb  c\t\r\n" * 30,
    "From at the beginning": b"From here\r\n>From there\r\nFrom: not a field\r\n\r\n",
    "a signature's look": b"DKIM-Signature: v=1; a=rsa-sha256; b=xxx\r\n\r\n",
    "base64": b"SGVsbG8gV29ybGQhIEhlbGxvIFdvcmxkISBIZWxsbyBXb3JsZCE=\r\n" * 200,
    "control octets": b"bell \x07 vertical \x0b escape \x1b \x7f\r\n",
}
# With lone LF, which the relay makes CRLF of.
UNIX = {
    "unix lines": b"one\ntwo \n\n three\n\n\n",
    "mixed line ends": b"one\r\ntwo\n.\nthree\r\n\n\r\n",
    "unix dots": b".\n..\n.x\n\nend\n",
}
ODD = {"form feed": b"one \x0c two\x0c\r\n"}
UNFINISHED = {"no end": b"Hello.", "blank at the end": b"Hello.\r\n ", "dot without an end": b"Hello.\r\n."}


def varied(number: int, seed: int = 1) -> Varied:
    chance = random.Random(f"{seed}-{number}")
    smtputf8 = chance.random() < 0.1
    fields = [chance.choice(FROMS), chance.choice(SUBJECTS), *chance.sample(FIELDS, chance.randrange(8))]
    if smtputf8:
        fields.append("Comments: Grüße  von\r\n\täöü ".encode() + b"\r\n")
    fields.append(f"{NUMBER}: {number}\r\n".encode())
    chance.shuffle(fields)
    # None twice that may stand once (RFC 5322 3.6): rspamd makes any signature of such mail fail, on purpose.
    seen: set[bytes] = set()
    head = b""
    for each in fields:
        name = each.partition(b":")[0].strip().lower()
        if name in seen:
            continue
        seen.add(name)
        head += each
    by_bdat = chance.random() < 0.4
    kinds = {**BODIES, **UNIX, **ODD, **(UNFINISHED if by_bdat else {})}
    names = [chance.choice(sorted(kinds))]
    # A finished one, or several, before it.
    names = [*chance.choices(sorted(BODIES), k=chance.choice((0, 0, 0, 1, 2, 5))), *names]
    body = b"".join(kinds[name] for name in names)
    if chance.random() < 0.03:
        names.append("large")
        body += b"".join(b"line %d  of a large message \r\n" % n for n in range(20_000))
    return Varied(head + b"\r\n", body, by_bdat, smtputf8, ", ".join(names))
