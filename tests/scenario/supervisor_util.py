"""A supervisor whose router and workers are tests/unit/fake_child.c: they speak the control protocol
and break it on order. Also a reader of the node segment, by its own description."""
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from signal import SIGTERM

import pytest

from node import BIN_DIR, SLOWNESS, Node, wait_for

FAKE_CHILD = BIN_DIR.parent / "tests" / "fake_child"


class Event:
    """One line of what happened to a child."""

    def __init__(self, line):
        at, self.role, pid, self.what, *rest = line.split(" ")
        self.at, self.pid = int(at) / 1e9, int(pid)
        self.text = " ".join(rest)
        self.fields = dict(word.split("=", 1) for word in rest if "=" in word)

    def __repr__(self):
        return f"<{self.at:.3f} {self.role} {self.pid} {self.what} {self.text}>"


class FakeNode(Node):
    """orders: {"router": {...}, "worker": {...}, "worker-0": {...}}, see fake_child.c."""

    def __init__(self, folder, orders=None, **options):
        super().__init__(folder, **options)
        self.bin_dir, self.fake_dir = folder / "bin", folder / "fake"
        self.fake_dir.mkdir(exist_ok=True)
        if not self.bin_dir.exists():
            self.bin_dir.mkdir()
            shutil.copy(BIN_DIR / "cortex", self.bin_dir / "cortex")
            shutil.copy(FAKE_CHILD, self.bin_dir / "cortex-router")
            shutil.copy(FAKE_CHILD, self.bin_dir / "cortex-worker")
        for role, keys in (orders or {}).items():
            self.order(role, **keys)
        self.env["FAKE_DIR"] = str(self.fake_dir)

    def order(self, role, **keys):
        """For incarnations that start from now on."""
        path = self.fake_dir / role
        path.with_suffix(".new").write_text("".join(f"{k} {v}\n" for k, v in keys.items()))
        path.with_suffix(".new").rename(path)

    def spawn(self, arguments=(), cwd=None):
        self.write_config()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, self.bin_dir / "cortex", "serve", "-c", self.config_path,
                 *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(),
                start_new_session=True, cwd=cwd)
        return self

    def start(self, workers=True):
        self.spawn()
        self.wait_log("ready", tag="system")
        if workers:
            self.wait_linked(sum(int(m.get("workers", 1)) for m in self.models.values()))
        return self

    def stop(self, expect=0, timeout=15):
        if self.process.poll() is None:
            self.signal(SIGTERM)
        code = self.wait_exit(timeout)
        assert code == expect, f"exit {code}, expected {expect}\n{self.log()}"

    def wait_exit(self, timeout=15):
        try:
            return self.process.wait(timeout * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no exit within {timeout} s\n{self.log()}") from None

    # --- what happened ---

    def events(self, what=None, role=None, **fields):
        path = self.fake_dir / "events"
        if not path.exists():
            return []
        text = path.read_text()
        found = [Event(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [e for e in found
                if what in (None, e.what) and role in (None, e.role)
                and all(e.fields.get(k) == str(v) for k, v in fields.items())]

    def wait_event(self, what, role=None, n=1, timeout=10, after=0.0, **fields):
        """The n-th such event after a time."""
        return wait_for(
            f"{what} of {role} {fields}",
            lambda: (lambda es: es[n - 1] if len(es) >= n else None)(
                [e for e in self.events(what, role, **fields) if e.at >= after]), timeout)

    def wait_linked(self, n, timeout=10):
        """As many current links of the living router."""
        wait_for(f"{n} links", lambda: len(self.links()) == n, timeout)

    def links(self):
        """Slot -> epoch, as the newest router sees them."""
        found, router = {}, None
        for e in self.events(role="router"):
            if e.what == "started":
                found, router = {}, e.pid
            elif e.what == "link-read" and e.pid == router:
                found[int(e.fields["slot"])] = e.fields["epoch"]
            elif e.what == "link-down" and e.pid == router:
                found.pop(int(e.fields["slot"]), None)
        return found

    def errors(self):
        return self.events("error")

    def texts(self, tag=None):
        return [line["text"] for line in self.log_lines() if tag in (None, line["tag"])]

    def wait_log(self, text, tag=None, n=1, timeout=10):
        """The n-th line that contains the text."""
        try:
            return wait_for(f"log line with {text!r}", lambda: (lambda ts: len(ts) >= n and ts[n - 1])(
                [t for t in self.texts(tag) if text in t]), timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()}") from None

    # --- the segment ---

    def segment(self):
        return Segment(Path(f"/dev/shm/cortex.{self.instance}").read_bytes())

    def counter(self, name):
        return self.segment().records("supervisor_counters")[0][name]

    def process_record(self, name):
        for row in self.segment().records("process"):
            if row["name"] == name and row["kind"] != "none":
                return row
        return None

    def model_record(self, name):
        for row in self.segment().records("model"):
            if row["name"] == name:
                return row
        return None

    def wait_model(self, name, state, timeout=10):
        return wait_for(f"model {name} {state}",
                        lambda: (lambda r: r if r and r["state"] == state else None)(
                            self.model_record(name)), timeout)


def text_of(raw):
    return raw.split(b"\0", 1)[0].decode()


class Segment:
    """A copy of a node segment. A record caught in the middle of a write reads as torn values:
    callers wait for what they expect."""

    TYPES = {0: "<I", 1: "<Q", 2: "<i", 3: "<q", 4: "<I"}

    def __init__(self, data):
        self.data = data
        (self.magic, _, _, _, _, _, _, n_sections, n_fields, n_enums, _, _, _, sections_at,
         fields_at, enums_at, section_size, field_size, enum_size) = struct.unpack_from(
             "<IHHQQQiIIIQ32s16sIIIHHH", data)
        assert self.magic == 0x31787463
        self.enums = {}
        for i in range(n_enums):
            name, value, text = struct.unpack_from("<20sI24s", data, enums_at + i * enum_size)
            self.enums[text_of(name), value] = text_of(text)
        fields = []
        for i in range(n_fields):
            name, offset, size, kind, set_name = struct.unpack_from(
                "<28sIHH20s", data, fields_at + i * field_size)
            fields.append((text_of(name), offset, size, kind, text_of(set_name)))
        self.sections = {}
        for i in range(n_sections):
            name, _, count, offset, stride, payload, first, n, _, _ = struct.unpack_from(
                "<24sIIQIIIIII", data, sections_at + i * section_size)
            self.sections[text_of(name)] = (count, offset, stride, payload, fields[first:first + n])

    def records(self, name):
        count, offset, stride, payload, fields = self.sections[name]
        return [self.record(offset + i * stride + payload, fields) for i in range(count)]

    def record(self, at, fields):
        row = {}
        for name, offset, size, kind, set_name in fields:
            if kind == 5:
                row[name] = text_of(self.data[at + offset:at + offset + size])
                continue
            value = struct.unpack_from(self.TYPES[kind], self.data, at + offset)[0]
            row[name] = self.enums.get((set_name, value), "?") if kind == 4 else value
        return row


@pytest.fixture
def make_fake(tmp_path):
    """make_fake(models={...}, orders={...}, ...) -> a FakeNode that is not started yet."""
    for program in (BIN_DIR / "cortex", FAKE_CHILD):
        if not program.exists():
            pytest.fail(f"{program} does not exist; build first, or set CORTEX_BIN_DIR")
    nodes = []

    def make(**options):
        nodes.append(FakeNode(tmp_path, **options))
        return nodes[-1]

    yield make
    try:
        for node in nodes:
            if node.process is None:
                continue
            if node.process.poll() is None:
                node.stop()
            assert node.errors() == []
            node.check_clean()
    finally:
        for node in nodes:
            node.abandon()
            node.remove_segment()


@pytest.fixture
def fake(make_fake):
    """fake(models=..., orders=..., ...) -> a started FakeNode, all workers linked."""
    return lambda **options: make_fake(**options).start()


def now():
    return time.monotonic()


def kill(pid, number):
    """The moment just before."""
    at = now()
    os.kill(pid, number)
    return at
