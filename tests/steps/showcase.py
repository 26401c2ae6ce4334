#!/usr/bin/env python3
"""A step that prints all that the log viewer shows in a way of its own: sections of four kinds, colours,
levels, a progress bar, two of them below each other, JSON lines, a link, a traceback, and ends with 1."""

import json
import logging
import sys
import time

logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("train")


def say(text):
    print(text, flush=True)


def sections():
    say("::group::Install dependencies")
    for number in range(12):
        say(f"Collecting package-{number}==1.{number}.0 from https://packages.example/simple/package-{number}/")
    say("::group::Build wheels")
    say("Building wheel for package-3")
    say("::endgroup::")
    say("Successfully installed 12 packages")
    say("::endgroup::")
    say("##[group]Environment")
    say("PYTHONUNBUFFERED=1")
    say("##[endgroup]")
    say("section_start:1764064800:checkout\r\x1b[0KCheckout")
    say("HEAD is now at 865f21a")
    say("section_end:1764064860:checkout\r\x1b[0K")
    say("--- Training")


def colours():
    say("\x1b[1m\x1b[32m   Compiling\x1b[0m steplog v0.9.0 (examples)")
    say("\x1b[1m\x1b[33mwarning\x1b[0m\x1b[1m: unused variable: `x`\x1b[0m")
    say("".join(f"\x1b[{30 + colour}mcolour {colour} \x1b[0m" for colour in range(8)))
    say("".join(f"\x1b[{90 + colour}mbright {colour} \x1b[0m" for colour in range(8)))
    say("".join(f"\x1b[{40 + colour}m ground {colour} \x1b[0m" for colour in range(8)))
    say("\x1b[38;5;208m256 colours\x1b[0m \x1b[38;2;120;80;200mtrue colour\x1b[0m \x1b[3mitalic\x1b[0m \x1b[4munderlined\x1b[0m \x1b[7minverse\x1b[0m")
    say("\x1b]8;;https://example.org/report\x1b\\the report\x1b]8;;\x1b\\ and \x1b]8;;javascript:alert(1)\x1b\\no link\x1b]8;;\x1b\\")


def bar(name, total):
    for done in range(total + 1):
        drawn = "█" * (20 * done // total)
        sys.stderr.write(f"\r{name}: {100 * done // total:3}%|{drawn:<20}| {done}/{total} [loss={2 / (1 + done):.4f}]")
        sys.stderr.flush()
        time.sleep(0.002)
    sys.stderr.write("\n")


def upload(epoch):
    raise ConnectionError("checkpoint store: connection reset by peer")


def checkpoint(epoch):
    try:
        upload(epoch)
    except ConnectionError as error:
        raise RuntimeError(f"checkpoint of epoch {epoch} is lost") from error


def main():
    sections()
    colours()
    for epoch in range(1, 4):
        log.info("epoch %d begins", epoch)
        bar(f"epoch {epoch}", 100)
        for step in range(60):
            log.debug("optimizer step %d, lr=0.00100, grad_norm=%.3f", epoch * 60 + step, 1 + step / 100)
        say(json.dumps({"level": "info", "message": "epoch done", "epoch": epoch, "loss": 0.5 / epoch}))
    log.warning("validation loss has not improved for 2 epochs")
    say("a long line: " + "lorem ipsum dolor sit amet consectetur " * 30)
    try:
        checkpoint(3)
    except RuntimeError:
        log.exception("checkpoint of epoch 3 not uploaded, going on")
    for number in range(40):
        log.info("evaluating shard %d", number)
    raise MemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


if __name__ == "__main__":
    main()
