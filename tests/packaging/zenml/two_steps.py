"""`run`: a pipeline of two steps, and its id. `read ID`: what the log store gives of each of its logs, as JSON."""

import json
import logging
import sys

from zenml import pipeline, step
from zenml.client import Client
from zenml.enums import LoggingLevels
from zenml.models import LogsEntriesFilter


@step
def load() -> int:
    print("loading")
    logging.getLogger("data").warning("3 are empty\n  and left out")
    return 3


@step
def train(count: int) -> None:
    for number in range(25):
        print(f"batch {number}")
    print("almost", file=sys.stderr)
    try:
        raise ValueError(f"no {count}")
    except ValueError:
        logging.getLogger("model").exception("going on")


@pipeline(enable_cache=False)
def small() -> None:
    train(load())


def shown(entries):
    return [[entry.level.name, entry.name, entry.message] for entry in entries]


def pages(log, start, **parameters):
    """All pages of a log, each with the messages that it has."""
    store, found = Client().active_stack.log_store, []
    page = store.fetch(log, start=start, limit=10, **parameters)
    while True:
        found.append([entry.message for entry in page.items])
        cursor = page.after if start == "oldest" else page.before
        if cursor is None:
            return found
        page = store.fetch(log, **{"after" if start == "oldest" else "before": cursor})


def read(run):
    store = Client().active_stack.log_store
    result = {"steps": {}, "logs": {}, "pages": {}}
    for one in Client().list_run_steps(pipeline_run_id=run.id, hydrate=True):
        result["steps"][one.name] = str(one.id)
        for log in one.log_collection:
            result["logs"][f"{one.name}:{log.source}"] = shown(store.fetch(log).items)
            if (one.name, log.source) == ("train", "step"):
                search = LogsEntriesFilter(search="BATCH 2")
                level = LogsEntriesFilter(level=LoggingLevels.ERROR)
                result["pages"] = {
                    "oldest": pages(log, "oldest"),
                    "newest": pages(log, "newest"),
                    "search": pages(log, "oldest", filter_=search),
                    "level": pages(log, "oldest", filter_=level),
                }
    for log in run.log_collection:
        result["logs"][f"run:{log.source}"] = shown(store.fetch(log).items)
    return result


if sys.argv[1] == "run":
    print("RESULT", json.dumps(str(small().id)))
else:
    print("RESULT", json.dumps(read(Client().get_pipeline_run(sys.argv[2]))))
