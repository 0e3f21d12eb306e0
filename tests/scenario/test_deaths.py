"""The other processes die: supervisor and router."""
import asyncio
import os
import threading
import time
from signal import SIGCONT, SIGHUP, SIGKILL, SIGSTOP

import pytest

import http1
import streams
import words
from node import SLOWNESS, wait_for


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.sanitized
def test_supervisor_killed(make_node):
    """The children are gone within a second, and a new start finds nothing in its way."""
    n = make_node(models={"demo": {"workers": 3, "simulate_rate": 20}}).start()
    n.leaves_segment = True
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 1000))
        wait_for("tokens", lambda: n.metrics()["cortex_completion_tokens_total"] > 0)
        children = [n.router_pid(), *n.worker_pids().values()]
        assert len(children) == 4
        os.kill(n.process.pid, SIGKILL)
        n.process.wait()
        wait_for("the children's end", lambda: all(gone(pid) for pid in children), 1)
    # The segment is there for those who want to know what happened.
    assert n.ctl("status", "--json")["is_alive"] is False
    second = n.start()
    assert second.chat(seed=1, max_tokens=4).json()["choices"][0]["message"]["content"] == \
        words.text(1, 4)
    second.leaves_segment = False


@pytest.mark.sanitized
def test_supervisor_killed_with_stopped_children(make_node):
    """Even a child that cannot run any more goes with its supervisor."""
    n = make_node(models={"demo": {"workers": 2}}, supervisor={"hang_ms": 600000}).start()
    n.leaves_segment = True
    children = [n.router_pid(), *n.worker_pids().values()]
    for pid in children:
        os.kill(pid, SIGSTOP)
    os.kill(n.process.pid, SIGKILL)
    n.process.wait()
    wait_for("the children's end", lambda: all(gone(pid) for pid in children), 1)


class Prober(threading.Thread):
    """Connects again and again, and counts."""

    def __init__(self, node):
        super().__init__()
        self.node, self.refused, self.answers, self.stopping = node, 0, 0, False

    def run(self):
        while not self.stopping:
            try:
                with self.node.connect(timeout=5) as conn:
                    conn.send(http1.request_bytes("GET", "/health", headers={"Connection": "close"}))
                    if conn.read_response().status == 200:
                        self.answers += 1
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, http1.Closed):
                pass  # a connection that the dead router had accepted

    def stop(self):
        self.stopping = True
        self.join()


@pytest.mark.sanitized
def test_router_killed(node):
    """Back within 250 ms; the listening socket never refuses; the workers stay."""
    n = node(models={"demo": {"workers": 2}})
    workers = n.worker_pids()
    before = n.usage()
    prober = Prober(n)
    prober.start()
    backs = []
    try:
        for _ in range(5):
            pid = n.router_pid()
            killed = time.monotonic()
            os.kill(pid, SIGKILL)
            wait_for("its end", lambda: gone(pid), every=0.001)
            assert n.get("/health").status == 200  # waits in the backlog for the next router
            backs.append(time.monotonic() - killed)
            n.wait_workers()
    finally:
        prober.stop()
    print(f"back after {[round(b, 3) for b in backs]} s")
    assert max(backs) <= 0.25 * SLOWNESS
    assert prober.refused == 0 and prober.answers > 0
    assert n.worker_pids() == workers
    assert n.chat(seed=2, max_tokens=4).json()["choices"][0]["message"]["content"] == \
        words.text(2, 4)
    n.check_baseline(before)


def test_router_stopped(node):
    """A router that hangs is replaced like any child."""
    n = node()
    pid = n.router_pid()
    os.kill(pid, SIGSTOP)
    wait_for("another router", lambda: n.router_pid() not in (None, pid), 3)
    n.wait_up()
    n.wait_workers()
    assert n.chat(max_tokens=2).status == 200


def test_supervisor_away_for_a_moment(node):
    """It draws no conclusions from the time in which it did not look, and says so."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40}})

    async def pause():
        os.kill(n.process.pid, SIGSTOP)
        await asyncio.sleep(1.5)
        os.kill(n.process.pid, SIGCONT)

    found = streams.run(n.address, [streams.chat_request("demo", seed, 100) for seed in range(10)],
                        disturb=pause)
    assert [stream.text() for stream in found] == [words.text(seed, 100) for seed in range(10)]
    wait_for("the late tick", lambda: n.metrics()["cortex_late_ticks_total"] > 0)
    assert n.metrics()["cortex_child_deaths_total"] == 0


def test_worker_and_router_killed_together(node):
    n = node(models={"demo": {"workers": 2}})
    before = n.usage()
    for _ in range(5):
        os.kill(n.router_pid(), SIGKILL)
        n.kill_worker(0)
        n.kill_worker(1)
        n.wait_up()
        n.wait_workers()
        assert n.chat(max_tokens=2).status == 200
    n.check_baseline(before)


def test_two_instances_do_not_meet(node):
    a, b = node(), node(models={"other": {}})
    assert [m["id"] for m in a.get("/v1/models").json()["data"]] == ["demo"]
    assert [m["id"] for m in b.get("/v1/models").json()["data"]] == ["other"]


def test_the_same_instance_twice_is_refused(make_node):
    first = make_node().start()
    second = make_node(instance={"name": first.instance})
    second.spawn()
    assert second.process.wait(10) in (100, 111)
    assert str(first.process.pid) in second.log()
    assert first.chat(max_tokens=1).status == 200


def test_a_worker_started_after_a_reload_serves_its_own_model(node):
    """Models keep their numbers when one before them goes; a worker finds its section by name."""
    n = node(models={"first": {"simulate_tokens": 3}, "second": {"simulate_tokens": 9}})
    del n.sections['model "first"']
    n.write_config()
    n.signal(SIGHUP)
    wait_for("the reload", lambda: n.metrics()["cortex_config_reloads_total"] == 1)
    wait_for("the end of first's worker", lambda: len(n.worker_pids()) == 1)
    slot, pid = next(iter(n.worker_pids().items()))
    n.kill_worker(slot)
    wait_for("a new worker", lambda: n.worker_pids().get(slot) not in (None, pid))
    answer = n.chat(model="second", seed=1).json()
    assert answer["choices"][0]["message"]["content"] == words.text(1, 9)
    assert n.chat(model="first", seed=1).status == 404
