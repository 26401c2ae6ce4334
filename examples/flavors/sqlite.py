#!/usr/bin/env python3
"""A log store flavor that keeps records in SQLite and gives them back.

Protocol: docs/custom-flavor.md. Key: path, the database file.
"""

import json
import sqlite3
import sys

CONFIG = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "the database file"}},
    "required": ["path"],
}


def main():
    database = None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        kind, answer, records = message["type"], {"type": "ack", "id": message["id"]}, []
        try:
            if kind == "describe":
                answer.update(type="description", protocol=1, name="sqlite", version="1.0")
                answer.update(can_fetch=True, config=CONFIG)
            elif kind == "configure":
                database = open_database(message["config"]["path"])
            elif kind == "write":
                lines = [sys.stdin.buffer.readline() for _ in range(message["records"])]
                rejected = write(database, lines)
                if rejected:
                    answer["rejected"] = rejected
            elif kind == "fetch":
                records, following = fetch(database, message)
                answer.update(type="page", records=len(records))
                if following:
                    answer["next"] = following
        except sqlite3.OperationalError as error:
            answer, records = {"type": "error", "id": message["id"], "kind": "retry"}, []
            answer["message"] = str(error)
        say(answer, records)


def open_database(path):
    database = sqlite3.connect(path, timeout=10, isolation_level=None)
    # An acknowledgement has to outlive us, and several of us may write at the same time.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        """CREATE TABLE IF NOT EXISTS records (
            writer TEXT, seq INTEGER, event TEXT, run TEXT, step TEXT, time TEXT, record TEXT,
            PRIMARY KEY (writer, event, seq)
        ) WITHOUT ROWID"""
    )
    database.execute("CREATE INDEX IF NOT EXISTS events ON records (event, time)")
    return database


def write(database, lines):
    """Keeps all of them, or none; gives back those that the database refuses for what they are."""
    rejected = []
    with database:
        database.execute("BEGIN IMMEDIATE")
        for position, line in enumerate(lines):
            record = json.loads(line)
            origin = (record["pipeline_run_id"], record["step_id"])
            event = record.get("steplog_event", "")
            text = line.rstrip(b"\n").decode()
            row = (record["writer"], record["seq"], event, *origin, record["timestamp"], text)
            try:
                # What is sent twice is kept once.
                database.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            except (sqlite3.IntegrityError, sqlite3.DataError) as error:
                rejected.append({"position": position, "reason": str(error)})
    return rejected


def fetch(database, asked):
    conditions = ["event != ''" if asked["events"] else "event = ''"]
    values = []
    for field, condition in [
        ("pipeline_run_id", "run = ?"),
        ("step_id", "step = ?"),
        ("writer", "writer = ?"),
        ("from_seq", "seq >= ?"),
        ("to_seq", "seq < ?"),
        ("since", "time >= ?"),
        ("until", "time < ?"),
    ]:
        if field in asked:
            conditions.append(condition)
            values.append(asked[field])
    skip = int(asked.get("cursor", 0))
    order = "time, writer, seq" if asked["events"] else "writer, seq"
    if asked["reverse"]:
        order = ", ".join(f"{column} DESC" for column in order.split(", "))
    query = f"SELECT record FROM records WHERE {' AND '.join(conditions)} ORDER BY {order}"
    found = database.execute(f"{query} LIMIT ? OFFSET ?", [*values, asked["limit"], skip])
    records = [record for (record,) in found]
    full = len(records) == asked["limit"]
    return records, str(skip + len(records)) if full else None


def say(answer, records):
    lines = [json.dumps(answer), *records]
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
