"""A stand-in for Datadog's logs: the intake and the search API, both v2.

Written from the public documentation of "Send logs", "Search logs", "Log Search Syntax", "Reserved
attributes" and "Rate limits"; stricter than the service where that says too little. It does to a log what the
documentation says: cuts it at 1 MB, drops it when it is more than 18 hours old, takes a message apart that
is a JSON object, changes tags to lower case, keeps milliseconds. It drops empty texts, nulls and
empty objects, so that nobody relies on them. Numbers can be searched only with a facet: there is none.
"""

import base64
import calendar
import json
import re
import time

from service import Refused, StandIn, main

INTAKE, SEARCH = "/api/v2/logs", "/api/v2/logs/events/search"
PAYLOAD, ENTRY, ENTRIES, PAGE = 5_000_000, 1_000_000, 1000, 1000
HOUR = 3_600_000
TEXTS = ("ddsource", "ddtags", "hostname", "service", "status")


def refused(status, title, detail, headers=None):
    error = {"status": str(status), "title": title, "detail": detail}
    return Refused(status, json.dumps({"errors": [error]}), headers)


def bad(detail):
    return refused(400, "Bad Request", detail)


class Datadog(StandIn):
    # A log is found so many searches after it was taken; the rate limit leaves so many searches.
    settings = {"index_delay": 0, "remaining": None, "reset": 1}

    def __init__(self, arguments):
        super().__init__(arguments)
        self.taken = len(self.records)

    def authorized(self, request, application):
        key = request.headers.get("dd-api-key", "")
        if not key:
            raise refused(401, "Unauthorized", "API key is missing")
        if key != self.arguments.api_key:
            raise refused(403, "Forbidden", "API key is invalid")
        if application and request.headers.get("dd-application-key") != self.arguments.application_key:
            raise refused(403, "Forbidden", "Application key is missing or invalid")
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise bad("the content type must be application/json")

    def intake(self, request):
        self.authorized(request, False)
        text = request.text(("identity", "gzip", "deflate"), bad("cannot be decoded"))
        if len(text) > PAYLOAD:
            raise refused(413, "Request Entity Too Large", f"{len(text)} bytes")
        try:
            entries = json.loads(text)
        except ValueError as error:
            raise bad(f"no JSON: {error}") from None
        entries = entries if isinstance(entries, list) else [entries]
        if len(entries) > ENTRIES:
            raise refused(413, "Request Entity Too Large", f"{len(entries)} entries")
        now = int(time.time() * 1000)
        logs = [self.log(entry, now) for entry in entries]
        with self.lock:
            self.keep([log for log in logs if log])
        return 202, {}, "{}"

    def log(self, entry, now):
        """An entry as it is kept; none if it is thrown away."""
        if not isinstance(entry, dict) or not isinstance(entry.get("message"), str):
            raise bad("an entry is an object with a message")
        if any(not isinstance(entry.get(name, ""), str) for name in TEXTS):
            raise bad(f"{', '.join(TEXTS)} are texts")
        millis = entry.get("timestamp", now)
        if not isinstance(millis, int):
            raise bad("timestamp is an integer of milliseconds")
        if not now - 18 * HOUR <= millis <= now + 12 * HOUR:
            return None
        size = len(json.dumps(entry, ensure_ascii=False).encode())
        message = entry["message"] if size <= ENTRY else entry["message"].encode()[:ENTRY // 2].decode("utf-8", "ignore")
        reserved = ("message", "timestamp", *TEXTS)
        attributes = {name: value for name, value in entry.items() if name not in reserved}
        if message.lstrip().startswith("{"):
            try:
                inside = json.loads(message)
                message = inside.pop("message", "") if isinstance(inside.get("message", ""), str) else ""
                attributes = {**inside, **attributes}
            except ValueError:
                pass
        tags = [tag.strip().lower() for tag in entry.get("ddtags", "").split(",") if tag.strip()]
        if entry.get("ddsource"):
            tags.append(f"source:{entry['ddsource'].lower()}")
        with self.lock:
            self.taken += 1
        return {
            "id": f"AwAAA{self.taken:012}",
            "millis": millis,
            "host": entry.get("hostname"),
            "service": entry.get("service"),
            "status": status(entry.get("status", "info")),
            "message": message,
            "tags": tags,
            "attributes": pruned(attributes),
            "sent": entry,
            "searches": 0,
        }

    def sent(self):
        return [log["sent"] for log in self.records]

    def search(self, request):
        self.authorized(request, True)
        limits = self.limits()
        try:
            asked = json.loads(request.text(("identity",), bad("cannot be decoded")))
        except ValueError as error:
            raise bad(f"no JSON: {error}") from None
        known(asked, ("filter", "options", "page", "sort"))
        scope, page = asked.get("filter", {}), asked.get("page", {})
        known(scope, ("query", "indexes", "from", "to", "storage_tier"))
        known(page, ("cursor", "limit"))
        now = int(time.time() * 1000)
        since = instant(scope.get("from", "now-15m"), now)
        until = instant(scope.get("to", "now"), now)
        order = asked.get("sort", "-timestamp")
        if order not in ("timestamp", "-timestamp"):
            raise bad("sort is timestamp or -timestamp")
        limit = page.get("limit", 10)
        if not isinstance(limit, int) or not 1 <= limit <= PAGE:
            raise bad(f"page.limit is from 1 to {PAGE}")
        query = scope.get("query", "*")
        matches = Query(query).matches
        what = [query, order]
        after = None
        if "cursor" in page:
            try:
                cursor = json.loads(base64.b64decode(page["cursor"], validate=True))
            except ValueError:
                raise bad("the cursor is invalid") from None
            if cursor["what"] != what:
                raise bad("the cursor belongs to another query")
            after = cursor["after"]
        with self.lock:
            found = [log for log in self.records if self.visible(log) and since <= log["millis"] <= until and matches(log)]
            for log in self.records:
                log["searches"] += 1
        # Entries of the same millisecond come in no order that means anything.
        key = lambda log: [log["millis"], log["id"][::-1]]
        found.sort(key=key, reverse=order.startswith("-"))
        if after:
            found = [log for log in found if (key(log) > after) == (order == "timestamp") and key(log) != after]
        shown, rest = found[:limit], found[limit:]
        answer = {
            "data": [self.shown(log) for log in shown],
            "meta": {"elapsed": 1, "request_id": "stand-in", "status": "done"},
        }
        if rest:
            cursor = json.dumps({"what": what, "after": key(shown[-1])})
            after = base64.b64encode(cursor.encode()).decode()
            answer["meta"]["page"] = {"after": after}
            answer["links"] = {"next": f"https://api.datadoghq.com{SEARCH}?page[cursor]={after}"}
        return 200, limits, json.dumps(answer)

    def visible(self, log):
        return log["searches"] >= self.settings["index_delay"]

    def limits(self):
        with self.lock:
            remaining, reset = self.settings["remaining"], self.settings["reset"]
            limits = {"x-ratelimit-limit": "300", "x-ratelimit-period": "3600", "x-ratelimit-reset": str(reset)}
            if remaining == 0:
                # The next period begins.
                self.settings["remaining"] = None
                limits["x-ratelimit-remaining"] = "0"
                body = json.dumps({"errors": ["Rate limit exceeded"]})
                raise Refused(429, body, limits)
            if remaining is not None:
                self.settings["remaining"] = remaining - 1
            return {**limits, "x-ratelimit-remaining": str(300 if remaining is None else remaining - 1)}

    def shown(self, log):
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(log["millis"] // 1000))
        attributes = {
            "attributes": log["attributes"],
            "host": log["host"],
            "message": log["message"],
            "service": log["service"],
            "status": log["status"],
            "tags": log["tags"],
            "timestamp": f"{at}.{log['millis'] % 1000:03}Z",
        }
        attributes = {name: value for name, value in attributes.items() if value not in (None, "")}
        return {"id": log["id"], "type": "log", "attributes": attributes}

    routes = {("POST", INTAKE): intake, ("POST", SEARCH): search}


def known(table, names):
    if not isinstance(table, dict) or set(table) - set(names):
        raise bad(f"expected an object of {names}, found {table}")


def pruned(value):
    """Without empty texts, nulls, empty objects and lists."""
    if isinstance(value, dict):
        value = {name: pruned(inner) for name, inner in value.items()}
        return {name: inner for name, inner in value.items() if inner not in (None, "", {}, [])}
    if isinstance(value, list):
        return [pruned(inner) for inner in value]
    return value


def status(word):
    """The status remapper's rules."""
    word = word.lower()
    starts = {"emerg": "emergency", "f": "emergency", "a": "alert", "c": "critical", "e": "error", "w": "warn",
              "n": "notice", "i": "info", "d": "debug", "trace": "debug", "verbose": "debug", "o": "ok", "s": "ok"}
    return next((known for start, known in starts.items() if word.startswith(start)), "info")


def instant(text, now):
    """Milliseconds of `now-15m`, an integer, or an ISO 8601 time."""
    if match := re.fullmatch(r"now(?:([+-]\d+)(m|h|d|w))?", text):
        unit = {"m": 60_000, "h": HOUR, "d": 24 * HOUR, "w": 168 * HOUR, None: 0}[match[2]]
        return now + int(match[1] or 0) * unit
    if re.fullmatch(r"\d{1,15}", text):
        return int(text)
    if match := re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,3}))?(?:Z|\+00:00)", text):
        return calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")) * 1000 + int((match[2] or "0").ljust(3, "0"))
    raise bad(f"no time: {text!r}")


class Query:
    """The log search syntax, as far as it needs no facet."""

    TOKEN = re.compile(r'\s*(?:(\()|(\))|(-(?=[@\w*(]))|((?:\\.|[^\s()":\\])+:)?(?:"((?:\\.|[^"\\])*)"|((?:\\.|[^\s()"\\])+))?)', re.S)

    def __init__(self, text):
        self.text, self.at = text, 0
        self.token = self.read()
        self.matches = self.any()
        if self.token is not None:
            raise bad(f"cannot read the query from {self.at}: {text}")

    def read(self):
        if not self.text[self.at:].strip():
            return None
        match = self.TOKEN.match(self.text, self.at)
        if not match or match.end() == self.at or not match[0].strip():
            raise bad(f"cannot read the query from {self.at}: {self.text}")
        self.at = match.end()
        return match

    def take(self):
        token, self.token = self.token, self.read()
        return token

    def word(self):
        return self.token and not self.token[4] and self.token[6]

    def any(self, field=None):
        terms = [self.all(field)]
        while self.word() == "OR":
            self.take()
            terms.append(self.all(field))
        return lambda log: any(term(log) for term in terms)

    def all(self, field):
        terms = [self.one(field)]
        while self.token and not self.token[2] and self.word() != "OR":
            if self.word() == "AND":
                self.take()
            terms.append(self.one(field))
        return lambda log: all(term(log) for term in terms)

    def one(self, field):
        token = self.take()
        if token is None or token[2]:
            raise bad(f"the query ends too early: {self.text}")
        if token[3]:
            unwanted = self.one(field)
            return lambda log: not unwanted(log)
        if token[1]:
            return self.group(field)
        name = token[4][:-1] if token[4] else field
        if token[5] is None and token[6] is None:
            if not (self.token and self.token[1]):
                raise bad(f"a value is missing: {self.text}")
            self.take()
            return self.group(name)
        if token[5] is not None:
            return term(name, re.escape(unescaped(token[5])))
        if re.match(r"[\[<>]", token[6]):
            raise bad(f"a range needs a facet, and there is none: {self.text}")
        parts = re.split(r"((?<!\\)[*?])", token[6])
        pattern = "".join({"*": ".*", "?": "."}.get(part) or re.escape(unescaped(part)) for part in parts)
        return term(name, pattern)

    def group(self, field):
        inner = self.any(field)
        if not (self.token and self.token[2]):
            raise bad(f"a parenthesis is open: {self.text}")
        self.take()
        return inner


def unescaped(text):
    return re.sub(r"\\(.)", r"\1", text, flags=re.S)


def term(name, pattern):
    whole = re.compile(pattern, re.S)
    if name is None:
        if pattern == ".*":
            return lambda _: True
        part = re.compile(rf"(?<!\w){pattern}(?!\w)", re.S | re.I)
        return lambda log: part.search(log["message"]) is not None
    name = unescaped(name)
    if name.startswith("@"):
        return lambda log: any(whole.fullmatch(value) for value in values(log["attributes"], name[1:]))
    if name in ("host", "service", "status"):
        return lambda log: whole.fullmatch(log[name] or "") is not None
    return lambda log: any(
        tag.partition(":")[0] == name and whole.fullmatch(tag.partition(":")[2]) for tag in log["tags"]
    )


def values(attributes, path):
    """Texts of the attribute of this path, whose names may have dots."""
    for name, value in attributes.items():
        if name == path:
            for each in value if isinstance(value, list) else [value]:
                if not isinstance(each, (dict, list)):
                    yield each if isinstance(each, str) else json.dumps(each)
        elif path.startswith(name + ".") and isinstance(value, dict):
            yield from values(value, path[len(name) + 1:])


if __name__ == "__main__":
    main(Datadog, api_key="api-key", application_key="application-key")
