"""Reading a page of one of ZenML's logs through `steplog logs -o json`.

A cursor names a place by the number of lines before it, which stays as it is while lines are added, and has what the
reading began with, so that a page continues what the last one was of.
"""

import base64
import binascii
import subprocess
from collections import deque
from typing import Deque, Iterator, List, Literal, Optional
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from zenml.client import Client
from zenml.exceptions import LogStoreError, LogStoreUnavailableError
from zenml.log_stores.base_log_store import BaseLogStore
from zenml.models import LogsEntriesFilter, LogsEntriesResponse, LogsResponse

from steplog_zenml import entries
from steplog_zenml.flavor import SteplogLogStoreConfig

# The step that logs of a whole run are kept as.
PIPELINE = "pipeline"

# Exit codes of `steplog logs` with which what it printed is what there is: lines were shown, none match, no such run
# yet, lines are missing.
READ = (0, 1, 3, 5)
UNREACHABLE = 7


class Page(BaseModel):
    """What is asked for; also what a cursor says."""

    version: Literal[1] = 1
    logs_id: UUID
    direction: Literal["oldest", "newest"]
    limit: int = Field(gt=0)
    # Lines before the page if the direction is `oldest`, else before its end; `None`: the end of the log.
    place: Optional[int] = Field(default=None, ge=0)
    filters: LogsEntriesFilter

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def of(
        cls,
        log_store: BaseLogStore,
        logs_model: LogsResponse,
        start: Optional[str],
        limit: Optional[int],
        before: Optional[str],
        after: Optional[str],
        filter_: Optional[LogsEntriesFilter],
    ) -> "Page":
        """Checks the parameters of a fetch."""
        if before is not None and after is not None:
            raise ValueError("Pass only one of `before` and `after`.")
        if start not in (None, "oldest", "newest"):
            raise ValueError("`start` must be `oldest` or `newest`.")
        cursor = before if before is not None else after
        if cursor is None:
            oldest = start == "oldest"
            return cls(
                logs_id=logs_model.id,
                direction="oldest" if oldest else "newest",
                limit=log_store.resolve_limit(limit),
                place=0 if oldest else None,
                filters=filter_ or LogsEntriesFilter(),
            )
        page = cls._decode(cursor)
        direction = "newest" if before is not None else "oldest"
        if page.logs_id != logs_model.id or page.direction != direction:
            raise ValueError("Invalid pagination cursor for these logs or this direction.")
        if start is not None and start != direction:
            raise ValueError("`start` conflicts with the pagination cursor.")
        if limit is not None and log_store.resolve_limit(limit) != page.limit:
            raise ValueError("`limit` conflicts with the pagination cursor.")
        for name, value in (filter_ or LogsEntriesFilter()).model_dump(exclude_none=True).items():
            if value != getattr(page.filters, name):
                raise ValueError(f"`{name}` conflicts with the pagination cursor.")
        return page

    def read(self, config: SteplogLogStoreConfig, logs_model: LogsResponse) -> LogsEntriesResponse:
        """Reads the page."""
        command = self._command(config, logs_model)
        if command is None:
            return LogsEntriesResponse()
        mine = entries.belongs_to(self.logs_id)
        window: Deque[bytes] = deque(maxlen=self.limit)
        first, total = 0, 0
        oldest = self.direction == "oldest"
        begin = (self.place or 0) if oldest else 0
        end = begin + self.limit if oldest else self.place
        for line in _run(command):
            if mine not in line:
                continue
            if total >= begin and (end is None or total < end):
                window.append(line)
                first = total + 1 - len(window)
            total += 1
        items = [entries.entry(line, self.logs_id, first + index) for index, line in enumerate(window)]
        last = first + len(items)
        return LogsEntriesResponse(
            items=items,
            before=self._cursor("newest", first) if items and first > 0 else None,
            after=self._cursor("oldest", last) if items and last < total else None,
        )

    def _command(self, config: SteplogLogStoreConfig, logs_model: LogsResponse) -> Optional[List[str]]:
        run = logs_model.pipeline_run_id
        steps = [PIPELINE]
        if logs_model.step_run_id is not None:
            step = Client().zen_store.get_run_step(logs_model.step_run_id, hydrate=False)
            run = step.pipeline_run_id
            steps.append(str(step.id))
        if run is None:
            return None
        command = [config.command, "logs", str(run), "--output=json", f"--source={logs_model.source}"]
        command += [f"--step={step}" for step in steps]
        if config.stack_file is not None:
            command.append(f"--stack={config.stack_file}")
        if self.filters.search:
            command += ["--fixed-strings", "--ignore-case", f"--grep={self.filters.search}"]
        if self.filters.level is not None:
            command.append(f"--level={self.filters.level.name.lower()}")
        if self.filters.since is not None:
            command.append(f"--since={self.filters.since.isoformat()}")
        if self.filters.until is not None:
            command.append(f"--until={self.filters.until.isoformat()}")
        return command

    def _cursor(self, direction: Literal["oldest", "newest"], place: int) -> str:
        page = self.model_copy(update={"direction": direction, "place": place})
        return base64.urlsafe_b64encode(page.model_dump_json().encode()).decode("ascii")

    @classmethod
    def _decode(cls, cursor: str) -> "Page":
        try:
            return cls.model_validate_json(base64.b64decode(cursor.encode("ascii"), b"-_", validate=True))
        except (binascii.Error, UnicodeError, ValueError) as error:
            raise ValueError("Invalid pagination cursor.") from error


def _run(command: List[str]) -> Iterator[bytes]:
    """The lines that the program prints; what it says on its other output is in the error, if there is one."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise LogStoreUnavailableError(f"Could not run {command[0]} to read these logs: {error}") from error
    with process:
        assert process.stdout is not None and process.stderr is not None
        yield from process.stdout
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode not in READ:
        kind = LogStoreUnavailableError if process.returncode == UNREACHABLE else LogStoreError
        raise kind(f"steplog could not read these logs: {said}")
