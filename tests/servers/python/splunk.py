"""A stand-in for Splunk: the HTTP Event Collector with indexer acknowledgement, and the search export.

Written from the public documentation of "Format events for HTTP Event Collector", "Troubleshoot HTTP Event
Collector" (status codes), "About HTTP Event Collector indexer acknowledgment" and "Search endpoint
descriptions"; stricter than the service where that says too little: it knows only the keys and the search
commands that are asked of it here. Whether events before one that is refused are indexed is left open by the
documentation, so it is a setting here. Of the search language it knows indexed fields (`name::value`), and no others: who relies on
what is extracted at search time gets nothing.
"""

import base64
import json
import re
import time
import uuid
from urllib.parse import parse_qs

from service import Refused, StandIn, main

EVENT, ACK, EXPORT = "/services/collector/event", "/services/collector/ack", "/services/search/v2/jobs/export"
KEYS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
TEXTS = {
    0: (200, "Success"), 2: (401, "Token is required"), 3: (401, "Invalid authorization"), 4: (403, "Invalid token"),
    5: (400, "No data"), 6: (400, "Invalid data format"), 7: (400, "Incorrect index"),
    10: (400, "Data channel is missing"), 11: (400, "Invalid data channel"), 12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"), 14: (400, "ACK is disabled"),
    15: (400, "Error in handling indexed fields"),
}


def refused(code, number=None):
    status, text = TEXTS[code]
    body = {"text": text, "code": code}
    if number is not None:
        body["invalid-event-number"] = number
    return Refused(status, json.dumps(body))


class Splunk(StandIn):
    settings = {
        "ack": False,  # Whether the token has indexer acknowledgement.
        "ack_polls": 1,  # A request is acknowledged when it was asked for so often; 0: never.
        "indexes": ["main", "steps"],
        "max_content_length": 1_000_000,
        "truncate": 0,  # As TRUNCATE in props.conf.
        "keep_before": True,  # Of a request with a bad event, those before it are indexed.
        "refuse": None,  # Events with this text in them have an invalid format.
    }

    def __init__(self, arguments):
        super().__init__(arguments)
        self.channels = {}

    def no_such_path(self):
        return Refused(404, json.dumps({"text": "The requested URL was not found on this server.", "code": 404}))

    def token(self, request):
        authorization = request.headers.get("authorization")
        if not authorization:
            raise refused(2)
        scheme, _, token = authorization.partition(" ")
        if scheme != "Splunk" or not token:
            raise refused(3)
        if token != self.arguments.token:
            raise refused(4)

    def channel(self, request):
        name = request.headers.get("x-splunk-request-channel") or parse_qs(request.query).get("channel", [None])[0]
        if name is None:
            raise refused(10)
        try:
            return self.channels.setdefault(str(uuid.UUID(name)), {})
        except ValueError:
            raise refused(11) from None

    def collect(self, request):
        self.token(request)
        with self.lock:
            channel = self.channel(request) if self.settings["ack"] else None
        if len(request.body) > self.settings["max_content_length"]:
            raise Refused(413, "<!doctype html><title>413 Request Entity Too Large</title>")
        text = request.text(("identity", "gzip"), refused(6)).decode("utf-8", "strict")
        if len(text.encode()) > self.settings["max_content_length"]:
            raise Refused(413, "<!doctype html><title>413 Request Entity Too Large</title>")
        events, error = self.events(text)
        with self.lock:
            if error is None or self.settings["keep_before"]:
                self.keep(events)
            if error:
                raise error
            body = {"text": "Success", "code": 0}
            if channel is not None:
                body["ackId"] = len(channel)
                channel[len(channel)] = 0
        return 200, {}, json.dumps(body)

    def events(self, text):
        """The events of a body, up to the first that is refused, and its refusal."""
        events, at, decoder = [], 0, json.JSONDecoder(parse_constant=lambda _: None)
        if not text.strip():
            return [], refused(5)
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            start = at
            try:
                event, at = decoder.raw_decode(text, at)
                events.append(self.event(event, text[start:at]))
            except ValueError:
                return events, refused(6, len(events))
            except Refused as refusal:
                code = json.loads(refusal.body)["code"]
                return events, refused(code, len(events))
        return events, None

    def event(self, event, text):
        if not isinstance(event, dict) or set(event) - KEYS:
            raise refused(6)
        if event.get("event") is None:
            raise refused(12)
        if event["event"] == "":
            raise refused(13)
        if not isinstance(event.get("time", 0), (int, float)) or isinstance(event.get("time"), bool):
            raise refused(6)
        if any(not isinstance(event.get(name, ""), str) for name in ("host", "source", "sourcetype", "index")):
            raise refused(6)
        if event.get("index", "main") not in self.settings["indexes"]:
            raise refused(7)
        fields = event.get("fields", {})
        if not isinstance(fields, dict) or any(isinstance(value, (dict, list)) for value in fields.values()):
            raise refused(15)
        if self.settings["refuse"] and self.settings["refuse"] in text:
            raise refused(6)
        # The text of an object is kept as it was sent.
        raw = event["event"]
        if not isinstance(raw, str):
            begin = text.index('"event":') + len('"event":')
            raw = text[begin:json.JSONDecoder().raw_decode(text, begin)[1]]
        if self.settings["truncate"]:
            raw = raw.encode()[:self.settings["truncate"]].decode("utf-8", "ignore")
        known = {name: event.get(name, default) for name, default in
                 (("host", "stand-in"), ("source", "http:stand-in"), ("sourcetype", "httpevent"), ("index", "main"))}
        return {**known, "time": round(event.get("time", time.time()), 3), "fields": fields, "raw": raw}

    def acknowledge(self, request):
        self.token(request)
        if not self.settings["ack"]:
            raise refused(14)
        try:
            asked = json.loads(request.body)["acks"]
        except (ValueError, KeyError, TypeError):
            raise refused(6) from None
        answer = {}
        with self.lock:
            channel = self.channel(request)
            for ack in asked:
                if not isinstance(ack, int):
                    raise refused(6)
                if ack in channel:
                    channel[ack] += 1
                answer[str(ack)] = done = 0 < self.settings["ack_polls"] <= channel.get(ack, -1)
                if done:
                    # What was told once is forgotten.
                    channel[ack] = -1_000_000
        return 200, {}, json.dumps({"acks": answer})

    def export(self, request):
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        basic = base64.b64encode(f"{self.arguments.username}:{self.arguments.password}".encode()).decode()
        if (scheme, secret) not in (("Bearer", self.arguments.search_token), ("Basic", basic)):
            message = {"type": "ERROR", "text": "Unauthorized"}
            raise Refused(401, json.dumps({"messages": [message]}))
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Refused(400, "")
        form = {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}
        if set(form) - {"search", "output_mode", "earliest_time", "latest_time", "preview"} or form.get("output_mode") != "json":
            raise Refused(400, json.dumps({"messages": [{"type": "FATAL", "text": f"cannot take {form}"}]}))
        try:
            since, until = float(form["earliest_time"]), float(form["latest_time"])
            with self.lock:
                found = [event for event in self.records if since <= event["time"] < until]
            found.sort(key=lambda event: event["time"], reverse=True)
            rows = search(form["search"], found)
        except (ValueError, KeyError, IndexError) as error:
            message = {"type": "FATAL", "text": f"Error in 'search' command: {error}: {form.get('search')}"}
            raise Refused(400, json.dumps({"messages": [message]})) from None
        # Previews are to be passed over.
        lines = [json.dumps({"preview": True, "offset": 0, "result": {"_raw": "{}"}})] if rows else []
        for offset, row in enumerate(rows):
            last = {"lastrow": True} if offset == len(rows) - 1 else {}
            lines.append(json.dumps({"preview": False, "offset": offset, **last, "result": row}))
        if not rows:
            lines.append(json.dumps({"preview": False, "lastrow": True}))
        return 200, {}, "\n".join(lines) + "\n"

    routes = {("POST", EVENT): collect, ("POST", ACK): acknowledge, ("POST", EXPORT): export}


TERM = re.compile(r'\s*(?:(\()|(\))|(NOT|OR|AND)\b|(\w+)(::|=)(?:"((?:\\.|[^"\\])*)"|([^\s()"|]+)))')


def search(text, events):
    """The rows of a search, as the commands leave them."""
    commands = [part.strip() for part in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^|"])+', text)]
    if not commands[0].startswith("search "):
        raise ValueError("the first command is search")
    wanted = terms(commands[0][len("search "):])
    rows = [{"_time": event["time"], "_raw": event["raw"], **event["fields"]} for event in events if wanted(event)]
    for command in commands[1:]:
        rows = apply(command, rows)
    # Every value is a text.
    stamp = lambda at: time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + f".{round(at * 1000) % 1000:03} UTC"
    return [{name: stamp(value) if name == "_time" else str(value) for name, value in row.items()} for row in rows]


def apply(command, rows):
    name, _, rest = command.partition(" ")
    if name == "head":
        return rows[:int(rest)]
    if name == "dedup":
        seen = set()
        return [row for row in rows if row.get(rest) and not (row[rest] in seen or seen.add(row[rest]))]
    if name == "fields":
        names = rest.split()
        return [{name: row[name] for name in names if name in row} for row in rows]
    if name == "eval":
        new, old = re.fullmatch(r"(\w+)=(\w+)", rest).groups()
        return [{**row, new: row[old]} for row in rows]
    if name == "rex":
        field, pattern = re.fullmatch(r'field=(\w+) "(.*)"', rest, re.S).groups()
        pattern = re.compile(pattern.replace('\\"', '"').replace("(?<", "(?P<"))
        for row in rows:
            if match := pattern.search(row.get(field, "")):
                row.update(match.groupdict())
        return rows
    if name == "where":
        for condition in rest.split(" AND "):
            field, operator, number = re.fullmatch(r"tonumber\((\w+)\)(>=|<|>)(\d+)", condition).groups()
            compare = {">=": int.__ge__, "<": int.__lt__, ">": int.__gt__}[operator]
            rows = [row for row in rows if field in row and compare(int(row[field]), int(number))]
        return rows
    if name == "sort":
        limit, first, second = rest.split()
        order, again = re.fullmatch(r"([+-])_time", first)[1], re.fullmatch(r"([+-])num\((\w+)\)", second)
        if again[1] != order:
            raise ValueError(command)
        rows.sort(key=lambda row: (row["_time"], int(row[again[2]])), reverse=order == "-")
        return rows[:int(limit)] if int(limit) else rows
    raise ValueError(f"unknown command {name}")


def terms(text):
    """A function that tells whether an event is wanted: terms are joined by AND, NOT binds most."""
    tokens, at = [], 0
    while text[at:].strip():
        match = TERM.match(text, at)
        if not match:
            raise ValueError(f"cannot read {text[at:]!r}")
        tokens.append(match)
        at = match.end()

    def any_of():
        parts = [all_of()]
        while tokens and tokens[0][3] == "OR":
            tokens.pop(0)
            parts.append(all_of())
        return lambda event: any(part(event) for part in parts)

    def all_of():
        parts = [one()]
        while tokens and not tokens[0][2] and tokens[0][3] != "OR":
            if tokens[0][3] == "AND":
                tokens.pop(0)
            parts.append(one())
        return lambda event: all(part(event) for part in parts)

    def one():
        token = tokens.pop(0)
        if token[3] == "NOT":
            unwanted = one()
            return lambda event: not unwanted(event)
        if token[1]:
            inner = any_of()
            if not (tokens and tokens.pop(0)[2]):
                raise ValueError("a parenthesis is open")
            return inner
        if not token[4]:
            raise ValueError("a term is missing")
        value = token[7] if token[6] is None else re.sub(r"\\(.)", r"\1", token[6], flags=re.S)
        return term(token[4], token[5], value)

    wanted = any_of()
    if tokens:
        raise ValueError("a parenthesis too many")
    return wanted


def term(name, operator, value):
    default = name in ("index", "host", "source", "sourcetype")
    if (operator == "=") != default:
        raise ValueError(f"{name}{operator}: indexed fields are asked for by ::, default fields by =")
    # The index has its terms in lower case; only default fields take wildcards.
    if default:
        pattern = re.compile(".*".join(map(re.escape, value.split("*"))), re.S | re.I)
        return lambda event: pattern.fullmatch(event[name]) is not None
    return lambda event: str(event["fields"].get(name, "")).lower() == value.lower()


if __name__ == "__main__":
    main(Splunk, token="hec-token", search_token="search-token", username="ada", password="pass word")
