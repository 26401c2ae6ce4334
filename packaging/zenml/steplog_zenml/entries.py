"""Records, as `steplog logs -o json` prints them, as log entries of ZenML. Pure."""

import json
from uuid import UUID, uuid5

from zenml.enums import LoggingLevels
from zenml.models import LogEntry

_LEVELS = {
    "TRACE": LoggingLevels.DEBUG,
    "DEBUG": LoggingLevels.DEBUG,
    "INFO": LoggingLevels.INFO,
    "WARNING": LoggingLevels.WARNING,
    "ERROR": LoggingLevels.ERROR,
    "CRITICAL": LoggingLevels.CRITICAL,
}


def belongs_to(log_id: UUID) -> bytes:
    """What is in each record of this log and, since ids are unique, in no other."""
    return f'"zenml.log.id":"{log_id}"'.encode()


def entry(line: bytes, log_id: UUID, place: int) -> LogEntry:
    """The record at this place of a log as an entry; a traceback belongs to its message."""
    record = json.loads(line)
    attributes = record.get("attributes", {})
    message = record["message"]
    if stack := attributes.get("exception.stacktrace"):
        message += "\n" + stack.rstrip("\n")
    return LogEntry(
        id=uuid5(log_id, str(place)),
        message=message,
        level=_LEVELS.get(record.get("level", "INFO"), LoggingLevels.INFO),
        timestamp=record.get("event_timestamp") or record["timestamp"],
        name=attributes.get("logger"),
        module=attributes.get("code.function.name"),
        filename=attributes.get("code.file.path"),
        lineno=attributes.get("code.line.number"),
    )
