"""The memory of the weights: filled once, kept by the supervisor, mapped by all who need it and by
those that start again. supervisor/keeper.h."""
import os
import random
from signal import SIGKILL, SIGRTMIN, SIGSTOP

import pytest

from node import SLOWNESS, wait_for
from supervisor_util import fake, kill, make_fake, now  # noqa: F401
from test_supervisor_life import reload

pytestmark = pytest.mark.sanitized

KEY, BYTES = 0xC0FFEE, 8 << 20


def order(key=KEY, size=BYTES, byte=90, **more):
    return {"weights": f"{key} {size} {byte}", **more}


def memfds(n):
    """Pieces of memory that the supervisor holds, by descriptor or by mapping."""
    links = []
    for fd in os.listdir(f"/proc/{n.process.pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{n.process.pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    maps = open(f"/proc/{n.process.pid}/maps").read()
    return (len([link for link in links if "cortex-weights" in link])
            + maps.count("cortex-weights"))


def kept(n):
    return [row for row in n.segment().records("weights") if row["state"] != "none"]


def inodes(n):
    return {e.fields["inode"] for e in n.events("weights")}


def wait_kept(n, **fields):
    return wait_for(f"weights {fields}", lambda: (lambda rows: rows[0] if rows else None)(
        [row for row in kept(n) if all(row[k] == v for k, v in fields.items())]))


def test_filled_once_mapped_by_all(fake):
    n = fake(models={"demo": {"workers": 4}}, orders={"worker": order()})
    assert len(n.events("fills")) == 1
    assert [e.fields["whole"] for e in n.events("weights")] == ["1"] * 4
    assert len(inodes(n)) == 1 and memfds(n) == 1
    row = wait_kept(n, users=4)
    assert (row["key"], row["bytes"], row["state"], row["waiting"]) == (KEY, BYTES, "filled", 0)


def test_a_restarted_worker_maps_what_is_there(fake):
    n = fake(orders={"worker": order()})
    gaps = []
    for _ in range(20):
        at = kill(n.worker_pids()[0], SIGKILL)
        gaps.append(n.wait_event("ready", "worker-0", after=at).at - at)
        n.wait_linked(1)
    print(f"ready again after {sorted(gaps)[10] * 1e3:.1f} ms")
    assert len(n.events("fills")) == 1
    assert [e.fields["whole"] for e in n.events("weights")] == ["1"] * 21
    assert len(inodes(n)) == 1 and memfds(n) == 1


def test_the_others_wait_while_one_fills(make_fake):
    """For as long as it takes: who waits shows no progress, and is not hung."""
    n = make_fake(models={"demo": {"workers": 3}}, orders={"worker": order(fill="slow")},
                  supervisor={"load_stall_s": 1}).start(workers=False)
    row = wait_kept(n, users=1, waiting=2)
    assert row["state"] == "filling"
    began = now()
    wait_for("more than load_stall_s", lambda: now() - began > 2)
    assert n.counter("child_deaths") == 0
    filler = n.wait_event("fills")
    kill(filler.pid, SIGRTMIN + 3)
    n.wait_linked(3)
    assert len(n.events("fills")) == 1 and len(inodes(n)) == 1


def test_a_filler_that_dies_takes_it_along(make_fake):
    """The next one gets zeros, whatever the dead one had written."""
    n = make_fake(models={"demo": {"workers": 3}}, orders={"worker": order(fill="slow")})
    n.start(workers=False)
    wait_kept(n, users=1, waiting=2)
    n.order("worker", **order())
    first = n.wait_event("fills")
    kill(first.pid, SIGKILL)
    second = n.wait_event("fills", after=first.at + 1e-9)
    assert second.pid != first.pid and second.fields["zeros"] == "1"
    kill(second.pid, SIGRTMIN + 3)
    n.wait_linked(3)
    assert {e.fields["whole"] for e in n.events("weights")} == {"1"}
    assert len(n.events("fills")) == 2 and memfds(n) == 1
    assert "gone before weights 0000000000c0ffee were filled" in n.log()


def test_a_filler_that_stalls_is_killed(make_fake):
    n = make_fake(models={"demo": {"workers": 2}}, orders={"worker": order(fill="slow")},
                  supervisor={"load_stall_s": 1}).start(workers=False)
    wait_kept(n, users=1, waiting=1)
    n.order("worker", **order())
    first = n.wait_event("fills")
    kill(first.pid, SIGSTOP)
    second = n.wait_event("fills", after=first.at + 1e-9)
    assert second.pid != first.pid
    kill(second.pid, SIGRTMIN + 3)
    n.wait_linked(2)


def test_fillers_that_always_die(make_fake):
    """Every attempt starts from nothing, and nothing piles up."""
    n = make_fake(orders={"worker": order(fill="die")}).start(workers=False)
    n.wait_event("fills", n=5)
    n.order("worker", **order())
    n.wait_linked(1)
    assert {e.fields["zeros"] for e in n.events("fills")} == {"1"}
    assert memfds(n) == 1


WRONG = [  # what the worker does, what the obituary says
    ("kept", "can still be written"),
    ("unsealed", "can still be written"),
    ("other", "which it does not"),
    ("twice", "asked for weights twice"),
    ("epoch", "weights-want of incarnation"),
    ("early", "ready before it had its weights"),
]


@pytest.mark.parametrize("how, text", WRONG)
def test_wrong_words_end_the_incarnation(make_fake, how, text):
    """Its memory goes with it; its successor, which behaves, has a good start."""
    n = make_fake(orders={"worker": order(fill=how)}, supervisor={"backoff_max_ms": 500})
    n.start(workers=False)
    assert text in n.wait_log("class violation")
    n.order("worker", **order())
    n.wait_linked(1)
    assert n.counter("protocol_violations") >= 1
    assert n.events("weights")[-1].fields["whole"] == "1"
    wait_for("the memory of the wrong ones to be gone", lambda: memfds(n) == 1)


@pytest.mark.parametrize("size, text", [
    (0, "weights of 0 bytes: expected 1 to 1099511627776"),
    (2 << 40, "weights of 2199023255552 bytes"),
    (1 << 40, "weights need 1099511627776 bytes of memory, "),
])
def test_memory_that_cannot_be(make_fake, size, text):
    n = make_fake(orders={"worker": order(size=size)}).start(workers=False)
    assert text in n.wait_event("no-weights").text
    wait_for("nothing", lambda: kept(n) == [] and memfds(n) == 0)


def test_a_removed_model_gives_its_memory_back(fake):
    n = fake(models={"a": {}, "b": {}}, orders={"worker-0": order(), "worker-1": order(key=7)})
    assert memfds(n) == 2
    reload(n, {'model "a"': None})
    wait_for("one piece", lambda: memfds(n) == 1 and [row["key"] for row in kept(n)] == [7])


def test_a_changed_model_gives_its_old_memory_back(fake):
    n = fake(orders={"worker": order()})
    n.order("worker", **order(key=8))
    at = reload(n, {'model "demo"': {"seats": 9}})
    n.wait_event("link-read", "worker-1", after=at)
    wait_for("the new piece alone",
             lambda: memfds(n) == 1 and [row["key"] for row in kept(n)] == [8])


def test_a_change_of_something_else_keeps_them(fake):
    n = fake(orders={"worker": order()})
    at = reload(n, {'model "demo"': {"seats": 9}})
    n.wait_event("link-read", "worker-1", after=at)
    assert len(n.events("fills")) == 1 and len(inodes(n)) == 1


def test_kept_for_a_model_that_cannot_start(make_fake):
    """A circuit that is open, and the memory waits with it."""
    n = make_fake(orders={"worker": order(die="segv")},
                  supervisor={"fault_budget": 1, "circuit_open_ms": 500}).start(workers=False)
    n.wait_log("circuit open")
    wait_kept(n, users=0)
    assert memfds(n) == 1
    n.order("worker", **order())
    n.wait_linked(1)
    assert len(n.events("fills")) == 1


def test_workers_killed_at_any_moment(fake):
    """Whoever is killed whenever: what a worker maps is whole, and there is one piece."""
    seed = int(os.environ.get("CORTEX_TEST_SEED", random.SystemRandom().getrandbits(32)))
    print(f"CORTEX_TEST_SEED={seed}")
    chance = random.Random(seed)
    n = fake(models={"demo": {"workers": 4}}, orders={"worker": order(size=BYTES + 4096)})
    for i in range(60):
        if i % 15 == 0:  # other weights, to be filled amid the kills
            n.order("worker", **order(key=KEY + i + 1, byte=i + 1, size=BYTES + 4096))
            reload(n, {'model "demo"': {"seats": 9 + i}})
        pids = list(n.worker_pids().values())
        for pid in chance.sample(pids, min(len(pids), chance.randrange(1, 4))):
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                pass
        began, pause = now(), chance.random() * 0.03
        wait_for("the next moment", lambda: now() - began > pause, every=0.001)
    n.wait_linked(4, timeout=20)
    wait_for("one piece", lambda: memfds(n) == 1)
    assert {e.fields["whole"] for e in n.events("weights")} == {"1"}
    assert {e.fields["zeros"] for e in n.events("fills")} == {"1"}
    wait_kept(n, users=4, waiting=0, state="filled", key=KEY + 46)
    assert n.counter("protocol_violations") == 0


def test_a_large_piece_does_not_hold_up_the_loop(fake):
    """Half a gigabyte comes back while the supervisor keeps its time."""
    n = fake(models={"a": {}, "b": {}}, orders={"worker-0": order(size=512 << 20)})
    late = n.counter("late_ticks")
    reload(n, {'model "a"': None})
    wait_for("the memory to be gone", lambda: memfds(n) == 0, 20)
    assert n.counter("late_ticks") == late or SLOWNESS > 1
