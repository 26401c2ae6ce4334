"""A stand-in for Grafana Loki: the push API (protobuf, snappy) and range queries.

Written from the public documentation of "Loki HTTP API", "Limits" and "Log queries" and from the public
definition of the push API's messages; stricter than the service where it takes more: protobuf only, no field and
no parameter that is not asked for, attached names in order. It has Loki's defaults: how long a line is, how
old an entry may be, how far behind the newest of its stream, that an entry with the time and the line of
another is that one, and that what is good of a request is taken whatever is said of the rest.

Of LogQL it knows selectors and label filters joined by `or`.
"""

import base64
import json
import re
import time
from urllib.parse import parse_qs

from service import Refused, StandIn, main

PUSH, QUERY = "/loki/api/v1/push", "/loki/api/v1/query_range"
HOUR = 3600 * 10**9
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def snappy(body):
    """What a block in Snappy's format holds."""
    length, at = varint(body, 0)
    out = bytearray()
    while at < len(body):
        tag = body[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            size = tag >> 2
            if size >= 60:
                count = size - 59
                size = int.from_bytes(body[at:at + count], "little")
                at += count
            size += 1
            if at + size > len(body):
                raise ValueError("a literal is cut")
            out += body[at:at + size]
            at += size
            continue
        if kind == 1:
            size, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | body[at]
            at += 1
        else:
            count = 2 if kind == 2 else 4
            size, offset = (tag >> 2) + 1, int.from_bytes(body[at:at + count], "little")
            at += count
        if not 0 < offset <= len(out):
            raise ValueError("a copy of nothing")
        start = len(out) - offset
        while size > 0:
            piece = out[start:start + min(size, len(out) - start)]
            out += piece
            start += len(piece)
            size -= len(piece)
    if len(out) != length:
        raise ValueError(f"{len(out)} bytes instead of {length}")
    return bytes(out)


def varint(body, at):
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number has no end")


def fields(body, kinds):
    """(number, value) of each field; `kinds` says what a field may be: int or bytes."""
    at = 0
    while at < len(body):
        tag, at = varint(body, at)
        number, kind = tag >> 3, tag & 7
        if kinds.get(number) is int and kind == 0:
            value, at = varint(body, at)
        elif kinds.get(number) is bytes and kind == 2:
            length, at = varint(body, at)
            value, at = body[at:at + length], at + length
            if at > len(body):
                raise ValueError("a field is cut")
        else:
            raise ValueError(f"field {number} of type {kind}")
        yield number, value


def only(body, kinds):
    """Fields of which there is one at the most."""
    found = {}
    for number, value in fields(body, kinds):
        if number in found:
            raise ValueError(f"field {number} twice")
        found[number] = value
    return found


def entry(body):
    """(time, line, pairs) of an EntryAdapter."""
    stamp, line, pairs = None, b"", []
    for number, value in fields(body, {1: bytes, 2: bytes, 3: bytes}):
        if number == 1:
            parts = only(value, {1: int, 2: int})
            seconds, nanos = parts.get(1, 0), parts.get(2, 0)
            if nanos >= 10**9:
                raise ValueError("nanoseconds of more than a second")
            stamp = (seconds - (1 << 64) if seconds >> 63 else seconds) * 10**9 + nanos
        elif number == 2:
            line = value
        else:
            pair = only(value, {1: bytes, 2: bytes})
            pairs.append((pair.get(1, b"").decode(), pair.get(2, b"").decode()))
    if stamp is None:
        raise ValueError("an entry without a time")
    return stamp, line.decode(), pairs


STRING = r'"(?:\\.|[^"\\])*"'
MATCHER = re.compile(rf'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*({STRING})\s*', re.S)
FILTER = re.compile(rf'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|>=|<=|=|<|>)\s*({STRING}|\d+)\s*', re.S)


def selector(text):
    """The matchers of `{…}` and what stands behind it."""
    if not text.startswith("{"):
        raise ValueError("unexpected start of a query")
    at, matchers = 1, []
    while not text.startswith("}", at):
        match = MATCHER.match(text, at)
        if not match:
            raise ValueError(f"unexpected {text[at:]!r}")
        matchers.append((match[1], match[2], json.loads(match[3], strict=True)))
        at = match.end()
        if text.startswith(",", at):
            at += 1
        elif not text.startswith("}", at):
            raise ValueError(f"unexpected {text[at:]!r}")
    return matchers, text[at + 1:]


def compare(operator, value, wanted):
    if operator in ("=", "!="):
        return (value == wanted) == (operator == "=")
    if operator in ("=~", "!~"):
        return (re.fullmatch(wanted, value, re.S) is not None) == (operator == "=~")
    if not value:
        return False
    value, wanted = float(value), float(wanted)
    return {">=": value >= wanted, "<=": value <= wanted, "<": value < wanted, ">": value > wanted}[operator]


def logql(text):
    """A function from labels and all that is known of an entry to whether it is wanted."""
    matchers, rest = selector(text.strip())
    # A selector must not be one that everything fits.
    if not any(not compare(operator, "", value) for _, operator, value in matchers):
        raise ValueError("queries require at least one regexp or equality matcher that does not have an "
                         "empty-compatible value")
    stages, rest = [], rest.strip()
    while rest:
        if not rest.startswith("|"):
            raise ValueError(f"unexpected {rest!r}")
        rest, stage = rest[1:], []
        while True:
            match = FILTER.match(rest)
            if not match:
                raise ValueError(f"unexpected {rest!r}")
            number = match[3].isdigit()
            if number != (match[2] in (">=", "<=", "<", ">")):
                raise ValueError(f"unexpected {match[3]!r}")
            stage.append((match[1], match[2], match[3] if number else json.loads(match[3], strict=True)))
            rest = rest[match.end():]
            if not rest.startswith("or "):
                break
            rest = rest[len("or "):]
        stages.append(stage)

    def wanted(labels, everything):
        return all(compare(operator, labels.get(name, ""), value) for name, operator, value in matchers) and all(
            any(compare(operator, everything.get(name, ""), value) for name, operator, value in stage)
            for stage in stages)

    return wanted


def rfc3339(nanos):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanos // 10**9))


class Loki(StandIn):
    settings = {
        "max_line_size": 256 << 10,
        "max_structured_metadata_size": 64 << 10,
        "max_structured_metadata_entries_count": 128,
        "allow_structured_metadata": True,
        "reject_old_samples_max_age": 168 * HOUR,
        "creation_grace_period": HOUR // 6,
        "max_chunk_age": 2 * HOUR,
        "max_message": 4 << 20,  # Between its parts.
        "max_entries_limit_per_query": 5000,
        "max_query_length": 721 * HOUR,
        "categorize": True,  # Knows how to tell labels from what is attached.
        "refuse": None,  # Lines with this text in them are too long.
    }

    def __init__(self, arguments):
        super().__init__(arguments)
        self.known, self.highest = set(), {}
        for record in self.records:
            self.remember(record)

    def remember(self, record):
        stream = json.dumps(record["labels"], sort_keys=True)
        self.known.add((stream, record["time"], record["line"]))
        self.highest[stream] = max(record["time"], self.highest.get(stream, record["time"]))

    def allow(self, request):
        """What stands in front of Loki, and Loki's own tenants."""
        if self.arguments.token:
            basic = base64.b64encode(f"user:{self.arguments.token}".encode()).decode()
            if request.headers.get("authorization") not in (f"Bearer {self.arguments.token}", f"Basic {basic}"):
                raise Refused(401, "authentication error: invalid token")
        tenant = request.headers.get("x-scope-orgid")
        if self.arguments.tenant and tenant is None:
            raise Refused(401, "no org id")
        if self.arguments.tenant and tenant != self.arguments.tenant:
            raise Refused(403, "forbidden")

    def push(self, request):
        self.allow(request)
        if request.headers.get("content-type") != "application/x-protobuf":
            raise Refused(400, "Content-Type has to be application/x-protobuf")
        if request.headers.get("content-encoding", "snappy") != "snappy":
            raise Refused(400, f"Content-Encoding {request.headers['content-encoding']!r} not supported")
        try:
            streams = [self.stream(stream) for _, stream in fields(snappy(request.body), {1: bytes})]
        except (ValueError, IndexError) as error:
            raise Refused(400, f"couldn't parse push request: {error}") from None
        if not streams:
            raise Refused(400, "error at least one valid stream is required for ingestion")
        refusal, good = None, []
        for labels, entries, size in streams:
            text = "{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items())) + "}"
            wrong = self.wrong_labels(labels, text)
            if wrong:
                refusal = wrong
                continue
            if size > self.settings["max_message"]:
                raise Refused(500, "rpc error: code = ResourceExhausted desc = trying to send message larger than "
                                   f"max ({size} vs. {self.settings['max_message']})")
            for stamp, line, pairs in entries:
                wrong = self.wrong(stamp, line, pairs, text)
                if wrong:
                    refusal = wrong
                else:
                    good.append((labels, text, stamp, line, pairs))
        with self.lock:
            behind = self.store(good)
        if refusal or behind:
            raise Refused(400, refusal or behind)
        return 204, {}, ""

    def stream(self, body):
        labels, entries = None, []
        for number, value in fields(body, {1: bytes, 2: bytes}):
            if number == 1:
                matchers, rest = selector(value.decode())
                if rest or any(operator != "=" for _, operator, _ in matchers):
                    raise ValueError(f"Error parsing labels '{value.decode()}'")
                labels = {name: value for name, _, value in matchers}
                if len(labels) != len(matchers):
                    raise ValueError("duplicate label names")
            else:
                entries.append(entry(value))
        return labels or {}, entries, len(body)

    def wrong_labels(self, labels, text):
        if not labels:
            return "error at least one label pair is required per stream"
        if len(labels) > 15:
            return f"entry for stream '{text}' has {len(labels)} label names; limit 15"
        for name, value in labels.items():
            if not NAME.fullmatch(name) or len(name.encode()) > 1024:
                return f"stream '{text}' has label name too long: '{name}'"
            if len(value.encode()) > 2048:
                return f"stream '{text}' has label value too long: '{value}'"
        return None

    def wrong(self, stamp, line, pairs, stream):
        now = time.time_ns()
        oldest = now - self.settings["reject_old_samples_max_age"]
        if stamp < oldest:
            return (f"entry for stream '{stream}' has timestamp too old: {rfc3339(stamp)}, "
                    f"oldest acceptable timestamp is: {rfc3339(oldest)}")
        if stamp > now + self.settings["creation_grace_period"]:
            return f"entry for stream '{stream}' has timestamp too new: {rfc3339(stamp)}"
        length = len(line.encode())
        refuse = self.settings["refuse"]
        if length > self.settings["max_line_size"] or refuse and refuse in line:
            return (f"Max entry size '{self.settings['max_line_size']}' bytes exceeded for stream '{stream}' "
                    f"while adding an entry with length '{length}' bytes")
        if pairs and not self.settings["allow_structured_metadata"]:
            return f"stream '{stream}' includes structured metadata, but this feature is disallowed."
        size = sum(len(name.encode()) + len(value.encode()) for name, value in pairs)
        most = self.settings["max_structured_metadata_size"]
        if size > most:
            return f"stream '{stream}' has structured metadata too large: '{size}' bytes, limit: '{most}' bytes."
        most = self.settings["max_structured_metadata_entries_count"]
        if len(pairs) > most:
            return f"stream '{stream}' has too many structured metadata labels: '{len(pairs)}', limit: '{most}'."
        names = [name for name, _ in pairs]
        if names != sorted(set(names)) or not all(map(NAME.fullmatch, names)):
            return f"stream '{stream}' has structured metadata whose names are not in order: {names}"
        return None

    def store(self, entries):
        """Stores what is not too far behind its stream; says so of the rest."""
        new, late, total, stream = [], [], len(entries), ""
        for labels, text, stamp, line, pairs in entries:
            key = json.dumps(labels, sort_keys=True)
            oldest = self.highest.get(key, stamp) - self.settings["max_chunk_age"] // 2
            if stamp < oldest:
                stream = text
                late.append(f"entry with timestamp {stamp} ignored, reason: 'entry too far behind, entry timestamp "
                            f"is: {rfc3339(stamp)}, oldest acceptable timestamp is: {rfc3339(oldest)}',\n")
                continue
            record = {"labels": labels, "time": stamp, "line": line}
            if (key, stamp, line) in self.known:
                continue
            # A pair without a value is none.
            record["attached"] = {name: value for name, value in pairs if value} | {"detected_level": "unknown"}
            self.remember(record)
            new.append(record)
        self.keep(new)
        if late:
            return "".join(late[:10]) + f"user 'fake', total ignored: {len(late)} out of {total} for stream: {stream}"
        return None

    def query_range(self, request):
        self.allow(request)
        form = {name: values[0] for name, values in parse_qs(request.query, strict_parsing=True).items()}
        if set(form) != {"query", "start", "end", "limit", "direction"}:
            raise Refused(400, f"cannot take {sorted(form)}")
        if not all(re.fullmatch(r"\d{19}", form[name]) for name in ("start", "end")):
            raise Refused(400, f"could not parse start or end: {form['start']} {form['end']}")
        start, end, limit = int(form["start"]), int(form["end"]), int(form["limit"])
        if form["direction"] not in ("forward", "backward") or limit <= 0 or end < start:
            raise Refused(400, f"invalid query: {form}")
        most = self.settings["max_entries_limit_per_query"]
        if limit > most:
            raise Refused(400, "max entries limit per query exceeded, limit > max_entries_limit_per_query "
                               f"({limit} > {most})")
        if end - start > self.settings["max_query_length"]:
            raise Refused(400, f"the query time range exceeds the limit (query length: {(end - start) // HOUR}h0m0s, "
                               f"limit: {self.settings['max_query_length'] // HOUR}h0m0s)")
        try:
            wanted = logql(form["query"])
        except (ValueError, re.error) as error:
            raise Refused(400, f"parse error at line 1, col 1: syntax error: {error}") from None
        with self.lock:
            found = [record for record in self.records if start <= record["time"] < end
                     and wanted(record["labels"], record["attached"] | record["labels"])]
        found.sort(key=lambda record: record["time"], reverse=form["direction"] == "backward")
        flags = request.headers.get("x-loki-response-encoding-flags", "")
        apart = self.settings["categorize"] and "categorize-labels" in flags
        streams = {}
        for record in found[:limit]:
            labels, value = record["labels"], [str(record["time"]), record["line"]]
            if apart:
                value.append({"structuredMetadata": record["attached"]})
            else:
                labels = record["attached"] | labels
            streams.setdefault(json.dumps(labels, sort_keys=True), (labels, []))[1].append(value)
        result = [{"stream": labels, "values": values} for labels, values in streams.values()]
        data = {"resultType": "streams", "result": result, "stats": {"summary": {"execTime": 0.1}}}
        if apart:
            data["encodingFlags"] = ["categorize-labels"]
        return 200, {}, json.dumps({"status": "success", "data": data})

    routes = {("POST", PUSH): push, ("GET", QUERY): query_range}


if __name__ == "__main__":
    main(Loki, tenant="", token="")
