"""Prints every kind of line that there is: kinds.py"""
import os
import time


def out(data, descriptor=1):
    while data:
        data = data[os.write(descriptor, data):]


out(b"plain\n")
out("Ünïcødé ✓ 漢字 🦀\n".encode())
out(b"\n")
out(b"quotes \" and \\ and tabs\t and \x1b[31mcolour\x1b[0m\n")
out(b"NUL \x00 and bell \x07\n")
out(b"invalid \xff\xfe UTF-8 \xc3\n")
out(bytes(range(1, 10)) + bytes(range(11, 13)) + bytes(range(14, 256)) + b"\n")
out(b"windows\r\n")
out(b"10%\r50%\r100%\n")
out(b'{"level": "warning", "msg": "json", "n": 1, "nested": {"a": [1, null, "x"]}, '
    b'"ts": "2026-01-02T03:04:05.678901234Z"}\n')
out(b'{"message": "only a message"}\n')
out(b'{"not": "closed"\n')
out(b"2026-11-23 10:00:00,123 ERROR trainer: went wrong\n")
out(b"Traceback (most recent call last):\n"
    b'  File "x.py", line 1, in <module>\n'
    b"    raise ValueError(1)\n"
    b"ValueError: 1\n")
out(("long " + "é" * 6000 + " end\n").encode())
# Bytes of two streams are told apart by the read, so they must not come in one.
time.sleep(0.2)
out(b"on stderr\n", 2)
out(b"<3>with a priority\n", 2)
time.sleep(0.2)
out(b"no end")
