"""Prints one kind of unusual output; the test knows the same bytes by computing them itself.

    output.py KIND
"""

import os
import sys
import threading


def everything(data, fd=1):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def nothing():
    pass


def one_byte():
    everything(b"x")


def one_newline():
    everything(b"\n")


def hundred_megabytes_without_newline():
    block = bytes(range(33, 127)) * 1000
    left = 100_000_000
    while left:
        everything(block[:left])
        left -= min(left, len(block))


def binary_noise():
    # A linear congruential generator: every byte value, the same on both sides.
    state, noise = 1, bytearray()
    for _ in range(1_000_000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        noise.append(state >> 16 & 0xFF)
    everything(bytes(noise))


def ten_thousand_lines_in_one_write():
    everything(b"".join(b"line %05d of ten thousand in one write\n" % n for n in range(10_000)))


def one_byte_a_write():
    for byte in b"each byte of these two lines\nwas a write of its own\n":
        everything(bytes([byte]))


def carriage_returns():
    everything(b"\r".join(b"%3d%%" % n for n in range(101)) + b"\r\nwindows line\r\nlast\r")


def many_threads():
    def write(number):
        for line in range(1000):
            everything(b"thread %02d line %04d\n" % (number, line))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def closes_stdout():
    everything(b"before\n")
    os.close(1)
    everything(b"after, on stderr\n", 2)


def closes_both():
    everything(b"before\n")
    os.close(1)
    os.close(2)


def only_stderr():
    everything(b"this is\nnot an error\n", 2)


def empty_lines():
    everything(b"\n\n\n \n\n")


def nul_and_escapes():
    everything(b"nul:\0:\n\x1b[31mred\x1b[0m \x1b]0;title\x07\n\xff\xfe\xc3\x28 broken utf-8\n")


def lookalike():
    everything(b'{"seq":0,"message":"not mine"}\n[gap]\n\n{"level":"error"\n')


globals()[sys.argv[1]]()
