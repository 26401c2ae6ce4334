"""Writes numbered lines to a FIFO until a file appears: numbered.py FIFO UNTIL

One write a line, a thousand or so lines a second. At the end prints how many lines it has written, and the
longest time that one write took, in milliseconds. A reader that has gone is an error.
"""
import os
import sys
import time

fifo, until = sys.argv[1:]
out = os.open(fifo, os.O_WRONLY)
number, longest = 0, 0.0
while not os.path.exists(until):
    started = time.monotonic()
    os.write(out, b"line %d of the step\n" % number)
    longest = max(longest, time.monotonic() - started)
    number += 1
    time.sleep(0.001)
print(number, int(longest * 1000), flush=True)
