"""A custom flavor's program that misbehaves: program.py FOLDER COMMAND...

Stands between steplog and the real program COMMAND and passes on what both say, but for what the
test has put into FOLDER:

    away        it ends as soon as it is started
    faults/*    one fault each, for one `write`: whoever takes the file away does it
    always      the same for every `write`

A fault is JSON: {"do": WHAT, ...}. Every process is listed in FOLDER/processes by its id, so that the
test can end them.
"""

import json
import os
import signal
import subprocess
import sys
import time

FOLDER = sys.argv[1]


def main():
    if os.path.exists(f"{FOLDER}/away"):
        sys.exit("away")
    open(f"{FOLDER}/processes/{os.getpid()}", "w").close()
    real = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "write":
            records = [sys.stdin.buffer.readline() for _ in range(message["records"])]
            meet(real, message, [line, *records])
        else:
            say(answer(real, [line]))
    real.stdin.close()
    real.wait()


def meet(real, message, lines):
    fault = claimed(lines)
    match fault["do"]:
        case "pass":
            say(answer(real, lines))
        case "error":
            said = {"type": "error", "id": message["id"], "message": "as told", **fault["error"]}
            say(json.dumps(said).encode() + b"\n")
        case "end":
            sys.exit("ended as told")
        case "end_after":
            answer(real, lines)
            sys.exit("ended as told")
        case "half_answer":
            said = answer(real, lines)
            say(said[: len(said) // 2])
            sys.exit("ended as told")
        case "nonsense":
            say(b"once upon a time\n")
        case "hang":
            signal.pause()
        case "delay":
            time.sleep(0.05)
            say(answer(real, lines))
        case other:
            sys.exit(f"no such fault: {other}")


def claimed(lines):
    """The fault for this `write`."""
    for name in sorted(os.listdir(f"{FOLDER}/faults")):
        path = f"{FOLDER}/faults/{name}"
        try:
            # Whoever renames it has it.
            os.rename(path, f"{FOLDER}/met/{name}")
        except FileNotFoundError:
            continue
        with open(f"{FOLDER}/met/{name}") as file:
            return json.load(file)
    try:
        with open(f"{FOLDER}/always") as file:
            fault = json.load(file)
    except FileNotFoundError:
        return {"do": "pass"}
    wanted = fault.get("records", 0) < len(lines) - 1 and fault.get("text", "").encode() in b"".join(lines)
    return fault if wanted else {"do": "pass"}


def answer(real, lines):
    """What the real program says to this."""
    real.stdin.write(b"".join(lines))
    real.stdin.flush()
    said = real.stdout.readline()
    if not said:
        sys.exit("the real program has ended")
    records = json.loads(said).get("records", 0)
    return said + b"".join(real.stdout.readline() for _ in range(records))


def say(said):
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
