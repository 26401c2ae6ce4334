"""A pager for tests: counts the lines, is deaf to Ctrl-C but for saying so, waits for a line from
the terminal. With LEAVE=early it reads one line and goes."""

import os
import signal
import sys


def interrupted(number, frame):
    os.write(1, b"pager: interrupted\n")


signal.signal(signal.SIGINT, interrupted)
if os.environ.get("LEAVE") == "early":
    sys.stdin.readline()
else:
    print(f"pager: has {sum(1 for line in sys.stdin)} lines", flush=True)
    with open("/dev/tty") as keyboard:
        keyboard.readline()
print("pager: over", flush=True)
