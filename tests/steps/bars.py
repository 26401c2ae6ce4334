"""Draws real tqdm bars.

    bars.py endless   one bar, drawn again all the time until a file `stop` is there (a minute at most)
    bars.py nested    ten epochs of fifty steps, each drawn, then a traceback
"""

import os
import sys
import time

from tqdm import tqdm


def endless():
    bar = tqdm(desc="epoch", mininterval=0.01, maxinterval=0.01, miniters=1)
    end = time.monotonic() + 60
    while not os.path.exists("stop") and time.monotonic() < end:
        bar.update()
        time.sleep(0.005)
    bar.close()


def nested():
    for _ in tqdm(range(10), desc="epochs", mininterval=0):
        for _ in tqdm(range(50), desc="steps", mininterval=0, leave=False):
            pass
    raise ValueError("after the bars")


{"endless": endless, "nested": nested}[sys.argv[1]]()
