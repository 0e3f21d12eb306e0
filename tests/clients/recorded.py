"""The requests of tests/clients/recorded: real ones of real clients, their long texts shortened by
record.py and made as long again here."""
import json
import re
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).resolve().parent / "recorded"
# A text is prose when it is longer and is not itself JSON, which some clients put into strings.
TEXT_MAX, BEGINNING = 160, 60
LEFT_OUT = re.compile(r" \[\.\.\. (\d+) characters\]\Z")


def shorten(value):
    if isinstance(value, str) and len(value) > TEXT_MAX and value[0] not in "{[":
        return f"{value[:BEGINNING]} [... {len(value) - BEGINNING} characters]"
    if isinstance(value, list):
        return [shorten(item) for item in value]
    if isinstance(value, dict):
        return {name: shorten(item) for name, item in value.items()}
    return value


def lengthen(value):
    if isinstance(value, str):
        left_out = LEFT_OUT.search(value)
        if not left_out:
            return value
        n = int(left_out.group(1))
        return value[:left_out.start()] + (" and so on" * (n // 10 + 1))[:n]
    if isinstance(value, list):
        return [lengthen(item) for item in value]
    if isinstance(value, dict):
        return {name: lengthen(item) for name, item in value.items()}
    return value


def in_order(requests):
    """Those of one conversation as they came; a program asks for other things at the same time."""
    return sorted(requests, key=lambda r: (len(r.body.get("messages") or r.body.get("input")),
                                           len(r.body.get("tools") or []), str(r.body.get("system"))))


@dataclass(frozen=True)
class Recorded:
    client: str
    task: str
    number: int
    method: str
    path: str
    query: dict
    headers: dict
    body: dict

    def __str__(self):
        return f"{self.client}/{self.task}-{self.number:02}"


def read(path):
    task, number = path.stem.split("-")
    return Recorded(client=path.parent.name, task=task, number=int(number),
                    **lengthen(json.loads(path.read_text())))


def all_requests():
    return [read(path) for path in sorted(RECORDED.glob("*/*.json"))]
