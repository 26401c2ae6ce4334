"""Prints the lines of a file to stdout, in bursts, over a given time.

    lines.py FILE SECONDS
"""

import sys
import time

with open(sys.argv[1], "rb") as file:
    lines = file.readlines()
seconds = float(sys.argv[2])
bursts = 200
size = -(-len(lines) // bursts)
out = sys.stdout.buffer
for start in range(0, len(lines), size):
    out.write(b"".join(lines[start:start + size]))
    out.flush()
    if seconds:
        time.sleep(seconds / bursts)
