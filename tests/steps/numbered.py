"""Writes numbered lines to a FIFO or Unix socket until a file appears: numbered.py PATH UNTIL [FIRST-LINE]

One write a line, a thousand or so lines a second. At the end prints how many lines it has written, and the
longest time that one write took, in milliseconds. A reader that has gone is an error.
"""
import os
import socket
import stat
import sys
import time

path, until, *first = sys.argv[1:]
if stat.S_ISSOCK(os.stat(path).st_mode):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    out = connection.fileno()
else:
    out = os.open(path, os.O_WRONLY)
for line in first:
    os.write(out, line.encode() + b"\n")
number, longest = 0, 0.0
while not os.path.exists(until):
    started = time.monotonic()
    os.write(out, b"line %d of the step\n" % number)
    longest = max(longest, time.monotonic() - started)
    number += 1
    time.sleep(0.001)
print(number, int(longest * 1000), flush=True)
