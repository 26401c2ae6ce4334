#!/usr/bin/env python3
"""A step that prints what nobody should: markup, control characters, text that runs backwards or takes no room,
bytes that are not UTF-8, and a line of 10 MB. Each line but the last begins with its name."""

import sys

LINES = [
    "script: <script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "svg: <svg onload=window.hacked=1> <a href='javascript:window.hacked=1'>x</a> &lt;&amp;&#60;",
    "template: ${7*7} {{7*7}} <%= 7*7 %> `${window.hacked = 1}`",
    "osc: \x1b]0;title\x07\x1b]8;;javascript:window.hacked=1\x07click\x1b]8;;\x07\x1b]52;c;aGFja2Vk\x07",
    "link: \x1b]8;;data:text/html,<script>window.hacked=1</script>\x1b\\data\x1b]8;;\x1b\\ https://example.org/a\"onmouseover=window.hacked=1",
    "cursor: \x1b[2J\x1b[H\x1b[10A\x1b[?1049h\x1b[6n\x1bc over",
    "unfinished: \x1b[38;5",
    "control: bell \x07 backspace \x08 null \x00 vertical \x0b form \x0c delete \x7f c1 \u0085\u009b31m",
    "bidi: user \u202e gpj.exe \u202c isolate \u2067 abc \u2069 mark \u200f end",
    "zero: pass\u200bword \u2060 \ufeff soft\u00adhyphen joi\u200dner tag\U000e0041",
    "emoji: 👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 é e\u0301",
    "arabic: مرحبا بالعالم 123 then hebrew שלום end",
    "zalgo: Z" + "\u0337\u0321\u0322" * 40 + "algo",
    "wide: 日本語のログ 한국어 ＦＵＬＬ",
    "tabs: a\tb\tc",
    "cr: first\rsecond",
    "separator: one\u2028two\u2029three",
    "spaces:    many     spaces   ",
    "regex: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    "spans: " + "".join(f"\x1b[{31 + number % 6}m{number % 10}" for number in range(4000)) + "\x1b[0m",
]


def main():
    out = sys.stdout.buffer
    for line in LINES:
        out.write(line.encode("utf-8", "surrogatepass") + b"\n")
    out.write(b"bytes: \xff\xfe\xc3( overlong \xc0\xaf lone \xed\xa0\x80 end\n")
    out.write(b"long: " + b"0123456789" * (1 << 20) + b"\n")
    out.write(b"last: fine\n")
    out.flush()


if __name__ == "__main__":
    main()
