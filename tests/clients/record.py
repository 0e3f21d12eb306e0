"""Write tests/clients/recorded again: what each installed program asks in the conversation of
programs.py, without what differs from machine to machine and run to run.

    tools/install clients && .venv/bin/python tests/clients/record.py [NAME...]

A long text is shortened to its beginning and the number of characters that were left out; recorded.py
makes it as long again. Arguments, ids, and all that is not prose stay."""
import json
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

import programs
from capture import capture
from recorded import RECORDED, in_order, shorten

IGNORED_HEADERS = {"host", "content-length", "connection"}

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DAY, MONTH = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# What varies, and what stands for it; {n} tells different ones apart.
IDS = [
    (UUID, "00000000-0000-4000-8000-{n:012}"),
    (r"\bses_[0-9A-Za-z]{20,}", "ses_{n:024}"),
    (r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", "{n:064}"),
    (r"\b1[78]\d{11}\b", "1767225600000"),
]
# Not in headers, where a date is the name of a version.
TIMES = [
    (r"\b20\d\d-\d\d-\d\d\b", "2026-01-01"),
    (rf"\b{DAY} {MONTH} \d\d 20\d\d\b", "Thu Jan 01 2026"),
    (r"\b(Chunk ID: )[0-9a-f]{6}", r"\g<1>000000"),
    (r"\b(Wall time: )[\d.]+", r"\g<1>0.0"),
    (r"(\"duration_seconds\\*\":)[\d.]+", r"\g<1>0.0"),
]


class Scrubber:
    def __init__(self, known):
        self.known, self.seen = known, {}

    def text(self, value, varying=IDS + TIMES):
        for found, instead in self.known:
            value = value.replace(found, instead)
        for pattern, instead in varying:
            value = re.sub(pattern, lambda match: self.replace(match, pattern, instead), value)
        return value

    def replace(self, match, pattern, instead):
        if "{n" not in instead:
            return match.expand(instead)
        numbers = self.seen.setdefault(pattern, {})
        return instead.format(n=numbers.setdefault(match.group(), len(numbers) + 1))

    def value(self, value):
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        return value


def record(program, task, folder):
    """The requests of a conversation that went well."""
    with capture(program.answers(task, folder / "work")) as server:
        program.do(task, folder, server.url)
    scrubber = Scrubber([
        (str(folder / "work"), "/scratch"), (str(folder / "home"), "/client"),
        (str(folder / "work").replace("/", "-"), "-scratch"),
        (str(programs.CACHE), "/opt"), (server.url, "http://127.0.0.1:31313"),
        (platform.release(), "6.1.0"), (platform.version(), "1"), (platform.node(), "localhost"),
    ])
    for request in in_order(server.requests):
        headers = {name: scrubber.text(value, IDS)
                   for name, value in sorted(request.headers.items()) if name not in IGNORED_HEADERS}
        if "client_metadata" in request.body:
            # Codex writes it in any order.
            request.body["client_metadata"] = dict(sorted(request.body["client_metadata"].items()))
        yield {"method": request.method, "path": request.path, "query": request.query,
               "headers": headers, "body": scrubber.value(shorten(request.body))}


def main(names):
    for program in programs.PROGRAMS:
        if names and program.name not in names:
            continue
        if not program.path:
            sys.exit(f"{program.name} is not installed: tools/install clients")
        shutil.rmtree(RECORDED / program.name, ignore_errors=True)
        (RECORDED / program.name).mkdir(parents=True)
        for task in programs.TASKS:
            with tempfile.TemporaryDirectory(prefix="record-") as folder:
                requests = list(record(program, task, Path(folder)))
            for i, request in enumerate(requests, 1):
                text = json.dumps(request, indent=1, ensure_ascii=False)
                (RECORDED / program.name / f"{task.name}-{i:02}.json").write_text(text + "\n")
            print(f"{program.name} {task.name}: {len(requests)} requests")


if __name__ == "__main__":
    main(sys.argv[1:])
