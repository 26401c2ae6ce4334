"""Prints the lines of a file in so many shares, one for each line it reads on stdin, and notes how
many shares it has written. Ends when all are out and stdin is closed.

    shares.py FILE SHARES NOTE
"""

import os
import sys

with open(sys.argv[1], "rb") as file:
    lines = file.readlines()
shares = int(sys.argv[2])
out = sys.stdout.buffer
for share in range(shares):
    if not sys.stdin.readline():
        break
    start, end = (len(lines) * share // shares, len(lines) * (share + 1) // shares)
    # Several writes a share, so that it takes a while.
    for at in range(start, end, 500):
        out.write(b"".join(lines[at:min(at + 500, end)]))
        out.flush()
    with open(sys.argv[3] + ".new", "w") as note:
        note.write(str(share + 1))
    os.rename(sys.argv[3] + ".new", sys.argv[3])
sys.stdin.read()
