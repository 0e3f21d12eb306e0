"""What the checks of all dialects share: events as they are framed, and complaints with their place."""
import json
from dataclasses import dataclass, field


class BadStream(AssertionError):
    pass


@dataclass
class Call:
    id: str
    name: str
    arguments: str

    def value(self):
        return json.loads(self.arguments)


@dataclass
class Summary:
    """What a stream said. finish is the dialect's own word; error is there instead when it failed."""
    text: str = ""
    reasoning: str = ""
    calls: list = field(default_factory=list)
    finish: str | None = None
    usage: dict | None = None
    error: dict | None = None
    # Of the dialect: the answer in its form that is not streamed, or the choices of a chat.
    final: object = None
    n_comments: int = 0
    n_pings: int = 0


@dataclass
class Event:
    number: int
    name: str | None
    data: dict | str

    def need(self, condition, what):
        if not condition:
            raise BadStream(f"event {self.number}: {what}: {self.name or ''} {self.data!r}"[:600])

    def need_keys(self, value, **types):
        """The members that must be there, and of what type each is."""
        self.need(isinstance(value, dict), f"expected an object with {', '.join(types)}")
        for name, kind in types.items():
            self.need(name in value, f"no {name!r} in {value!r}")
            self.need(type(value[name]) is kind, f"{name!r} must be of type {kind.__name__}")

    def need_count(self, value, *names):
        for name in names:
            self.need(type(value.get(name)) is int and value[name] >= 0, f"{name!r} must be a count")


def read_events(raw):
    """Events and the number of comments. One `data:` line each, at most one `event:` line before it."""
    events, n_comments = [], 0
    *blocks, rest = raw.split(b"\n\n")
    if rest:
        raise BadStream(f"half an event at the end: {rest[:200]!r}")
    for block in blocks:
        if block.startswith(b":") and b"\n" not in block:
            n_comments += 1
            continue
        *names, data = block.split(b"\n")
        event = Event(len(events), None, block.decode(errors="replace"))
        event.need(len(names) <= 1 and data.startswith(b"data: "), "not an event")
        if names:
            event.need(names[0].startswith(b"event: "), "not an event")
            event.name = names[0][7:].decode()
        event.data = data[6:].decode()
        events.append(event)
    return events, n_comments


def read_json(event):
    try:
        event.data = json.loads(event.data)
    except ValueError as e:
        raise BadStream(f"event {event.number}: not JSON, {e}: {event.data!r}") from None
    event.need(isinstance(event.data, dict), "not an object")
    return event


def read_typed(raw):
    """Events whose name is the type of their data; both dialects that name their events do that."""
    events, n_comments = read_events(raw)
    for event in events:
        event.need(event.name, "no event: line")
        read_json(event)
        event.need(event.data.get("type") == event.name, "type and event: line differ")
    return events, n_comments


def need_end(has_ended, events):
    if not has_ended:
        last = f"event {events[-1].number}: {events[-1].data!r}"[:400] if events else "nothing"
        raise BadStream(f"the stream has no end, its last event is {last}")


def is_object(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
