"""One running Cortex: a configuration, the processes, and the checks that nothing is left behind."""
import contextlib
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM

import http1
import prom

ROOT = Path(__file__).resolve().parents[2]
BIN_DIR = Path(os.environ.get("CORTEX_BIN_DIR", ROOT / "build" / "release" / "bin")).resolve()
# Limits on times are multiplied by this: sanitizers are slow, and so are busy machines.
SLOWNESS = float(os.environ.get("CORTEX_TEST_SLOWNESS", "1"))
REPORT = re.compile(
    r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer): |runtime error: ")
# LeakSanitizer's helper says so of a process that is killed while it looks for leaks at its end.
KILLED_WHILE_CHECKED = re.compile(r"^==\d+==Unable to get registers from thread \d+\.$", re.M)
# The length of an answer is what the request asks for.
PLAIN_MODEL = {"simulate": "yes", "simulate_rate": 0, "simulate_tokens": 1_000_000,
               "limit_context": 1 << 24}


def wait_for(what, condition, timeout=10, every=0.01):
    """The first true value of condition(), or an AssertionError that says what was awaited."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout * SLOWNESS:g} s")
        time.sleep(every)


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def processes():
    """(pid, parent, session, state, arguments) of every process."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
            arguments = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent, _, session = stat.rpartition(")")[2].split()[:4]
        yield int(entry), int(parent), int(session), state, [a.decode() for a in arguments]


def write_config(path, sections):
    """sections: {"gateway": {...}, 'model "demo"': {...}}"""
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in keys.items()]
        lines.append("")
    path.write_text("\n".join(lines))


def read_json(text):
    """One document, or one a line (cortexctl log)."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


class Node:
    """models: {"name": {key: value}}; further keyword arguments are sections, `keys` and `aliases`
    the named ones. Everything not given is a test's default: free ports, quick restarts."""

    count = 0

    def __init__(self, folder, models=None, gateway=None, supervisor=None, instance=None, keys=None,
                 aliases=None, env=None, wrapper=(), scheme="http"):
        Node.count += 1
        self.instance = f"test-{os.getpid()}-{Node.count}"
        self.folder = folder
        self.config_path = folder / f"{self.instance}.ini"
        self.log_path = folder / f"{self.instance}.log"
        self.port, self.metrics_port = free_ports(2)
        self.models = {"demo": {}} if models is None else models
        self.sections = {
            "instance": {"name": self.instance, **(instance or {})},
            "gateway": {"listen": f"127.0.0.1:{self.port}",
                        "metrics_listen": f"127.0.0.1:{self.metrics_port}", **(gateway or {})},
            "supervisor": {"hang_ms": int(1000 * SLOWNESS), "fault_budget": 100000,
                           "backoff_max_ms": 0, **(supervisor or {})},
        }
        for name, keys_of_model in self.models.items():
            self.sections[f'model "{name}"'] = {**PLAIN_MODEL, **keys_of_model}
        for name, row in (keys or {}).items():
            self.sections[f'key "{name}"'] = row
        if aliases:
            self.sections["alias"] = aliases
        self.env = env or {}
        self.wrapper = list(wrapper)
        self.scheme = scheme
        self.process = None
        self.metrics_seen = set()  # families that were not zero in some scrape
        self.leaves_segment = False  # a supervisor that is killed cannot remove it

    # --- life ---

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("CORTEX_") and k != "NOTIFY_SOCKET"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[name] = f"{env.get(name, '')}:log_path={self.folder / self.instance}.sanitizer"
        return {**env, **self.env}

    def write_config(self):
        write_config(self.config_path, self.sections)

    def spawn(self, arguments=()):
        """Start without waiting for anything."""
        self.write_config()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, BIN_DIR / "cortex", "serve", "-c", self.config_path, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(),
                start_new_session=True)
        return self

    def start(self, workers=True):
        """Start and wait until it answers and, unless told otherwise, all workers are linked."""
        self.spawn()
        self.wait_up()
        if workers:
            self.wait_workers()
        return self

    def wait_up(self, timeout=20):
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError, http1.Closed):
                return self.get("/health").status == 200
        try:
            wait_for("GET /health", answers, timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()}") from None

    def wait_workers(self, n=None, timeout=20):
        if n is None:
            n = sum(int(model.get("workers", 1)) for model in self.models.values())
        try:
            wait_for(f"{n} workers linked",
                     lambda: self.metrics()["cortex_links_up"] == n, timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, expect=0, timeout=15):
        """SIGTERM, and the exit code that must follow."""
        if self.process is None:
            return
        if self.process.poll() is None:
            with contextlib.suppress(OSError, http1.Closed, AssertionError):
                self.metrics()
            self.signal(SIGTERM)
        try:
            code = self.process.wait(timeout * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.abandon()
            raise AssertionError(f"no exit {timeout} s after SIGTERM\n{self.log()}") from None
        assert code == expect, f"exit {code}, expected {expect}\n{self.log()}"

    def abandon(self):
        """Kill what is left of the session; for tear-down after a failure."""
        for pid, *_ in self.session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        if self.process:
            self.process.wait()

    def check_clean(self):
        """Nothing is left: processes, segment, sanitizer reports."""
        wait_for(f"end of {self.instance}'s processes", lambda: not self.session(), 2)
        left = [path.name for path in self.segments()]
        assert self.leaves_segment or left == [], f"left in /dev/shm: {left}\n{self.log()}"
        self.check_reports()

    def segments(self):
        return list(Path("/dev/shm").glob(f"*{self.instance}*"))

    def remove_segment(self):
        for path in self.segments():
            path.unlink()

    def check_reports(self):
        for path in self.folder.glob(f"{self.instance}.sanitizer*"):
            text = path.read_text()
            if KILLED_WHILE_CHECKED.sub("", text).strip():
                raise AssertionError(f"{path.name}:\n{text}")
        assert not REPORT.search(self.log()), self.log()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_lines(self):
        """The log as records; lines that are not JSON (a sanitizer's, a library's) are left out."""
        found = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    # --- processes ---

    def session(self):
        """(pid, arguments) of every live process of this node."""
        if self.process is None:
            return []
        return [(pid, arguments) for pid, _, session, state, arguments in processes()
                if session == self.process.pid and state != "Z"]

    def supervisor_pid(self):
        for pid, arguments in self.session():
            if arguments and os.path.basename(arguments[0]) == "cortex" and "serve" in arguments:
                return pid
        raise AssertionError("no supervisor")

    def router_pid(self):
        """The router's process id, None while there is none."""
        for pid, arguments in self.session():
            if arguments and os.path.basename(arguments[0]) == "cortex-router":
                return pid
        return None

    def worker_pids(self):
        """Slot -> process id."""
        found = {}
        for pid, arguments in self.session():
            if arguments and os.path.basename(arguments[0]) == "cortex-worker":
                found[int(arguments[arguments.index("--slot") + 1])] = pid
        return found

    def kill_worker(self, slot, number=SIGKILL):
        """True when there was one to kill."""
        pid = self.worker_pids().get(slot)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def usage(self):
        """What must be back at the baseline after a storm."""
        found = {}
        for name, pid in (("supervisor", self.supervisor_pid()), ("router", self.router_pid())):
            links = []
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            maps = Path(f"/proc/{pid}/maps").read_text()
            rss = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            found[name] = {
                "fds": len(links),
                "memfds": sum("memfd:" in link for link in links),
                "memfd maps": maps.count("memfd:"),
                "rss_kb": int(rss.group(1)),
            }
        return found

    def check_baseline(self, before, rss_slack_kb=8192):
        """fds, memfds and maps exactly as before, memory nearly so, no request held."""
        counts = lambda usage: {name: {k: v for k, v in row.items() if k != "rss_kb"}
                                for name, row in usage.items()}
        try:
            wait_for("fds and maps back at the baseline",
                     lambda: counts(self.usage()) == counts(before), 10)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.usage()}, before {before}") from None
        after = self.usage()
        for name, row in before.items():
            assert after[name]["rss_kb"] <= row["rss_kb"] * 1.1 + rss_slack_kb, (before, after)
        assert self.metrics()["cortex_requests_open"] == 0
        assert self.metrics()["cortex_ring_rescues_total"] == 0

    # --- talking to it ---

    def connect(self, **options):
        return http1.Connection(self.address, **options)

    def request(self, method, path, body=None, headers=(), timeout=20, **options):
        with self.connect(timeout=timeout * SLOWNESS, **options) as conn:
            conn.send(http1.request_bytes(method, path, body, headers))
            return conn.read_response(method)

    def get(self, path, headers=()):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=(), timeout=20):
        return self.request("POST", path, body, headers, timeout)

    def chat(self, model="demo", headers=(), prompt="hello", timeout=20, **more):
        """A chat request that is not streamed."""
        body = {"model": model, "messages": [{"role": "user", "content": prompt}],
                "max_tokens": 16, **more}
        return self.post("/v1/chat/completions", body, headers, timeout)

    def metrics(self):
        with http1.Connection(("127.0.0.1", self.metrics_port)) as conn:
            conn.send(http1.request_bytes("GET", "/metrics", headers={"Connection": "close"}))
            response = conn.read_response()
        assert response.status == 200, response
        metrics = prom.Metrics(response.body.decode())
        self.metrics_seen |= metrics.moved()
        return metrics

    def counter(self, name):
        """A counter from shared memory, summed over models and workers."""
        counters = self.ctl("counters", "--json")["counters"]
        return sum(counter["value"] for counter in counters if counter["name"] == name)

    def ctl(self, *arguments, check=True, env=None):
        """cortexctl on this instance; the parsed --json output when that is asked for."""
        done = subprocess.run(
            [BIN_DIR / "cortexctl", "--instance", self.instance, *arguments],
            capture_output=True, text=True, timeout=20 * SLOWNESS,
            env={**self.environment(), **(env or {})})
        if check:
            assert done.returncode == 0, (arguments, done)
            return read_json(done.stdout) if "--json" in arguments else done.stdout
        return done
