#!/usr/bin/env python3
"""A step that prints what training steps print: log lines on both streams, a subprocess, a
progress bar, a JSON line, a warning, a traceback. Standard library only; trains nothing.

    train.py [--epochs N] [--batches N] [--pause SECONDS] [--fail]
"""

import argparse
import json
import logging
import random
import subprocess
import sys
import time

log = logging.getLogger("train")


def prepare_data():
    """A subprocess writes to the same stdout and stderr."""
    code = (
        "import sys; print('prepare: 60000 images, 10 classes', flush=True);"
        "print('prepare: 3 images are empty, left out', file=sys.stderr)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def progress(epoch, done, total, loss):
    """Redraws one line with carriage returns, as tqdm does."""
    bar = "#" * (20 * done // total)
    end = "\n" if done == total else ""
    sys.stderr.write(f"\repoch {epoch}: {done:3}/{total} [{bar:<20}] loss={loss:.4f}{end}")
    sys.stderr.flush()


def upload_checkpoint(epoch):
    if epoch == 2:
        raise ConnectionError("checkpoint store: connection reset by peer")
    log.info("checkpoint of epoch %d uploaded", epoch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds a batch")
    parser.add_argument("--fail", action="store_true", help="end with a traceback and exit code 1")
    options = parser.parse_args()

    logging.basicConfig(
        stream=sys.stdout, level=logging.DEBUG,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    random.seed(7)
    log.info("starting: %d epochs of %d batches", options.epochs, options.batches)
    prepare_data()

    loss = 2.3
    for epoch in range(1, options.epochs + 1):
        for batch in range(1, options.batches + 1):
            loss *= random.uniform(0.97, 1.005)
            progress(epoch, batch, options.batches, loss)
            time.sleep(options.pause)
        log.debug("optimizer step %d, lr=0.00100", epoch * options.batches)
        print(json.dumps({"level": "info", "message": "epoch done", "epoch": epoch,
                          "loss": round(loss, 4)}), flush=True)
        try:
            upload_checkpoint(epoch)
        except ConnectionError:
            log.exception("checkpoint of epoch %d not uploaded, going on", epoch)
    if loss > 0.5:
        log.warning("loss is still %.4f", loss)
    if options.fail:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    log.info("done")


if __name__ == "__main__":
    main()
