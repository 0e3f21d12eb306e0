"""Workers that stop, hang, lie, refuse to die, or are killed by what they are asked: reliability.md
§3. Requests that ran there go on elsewhere, with the same bytes."""
import asyncio
import time
from signal import SIGCONT, SIGHUP, SIGSTOP

import pytest

import streams
import words
from node import SLOWNESS, wait_for

TOKENS = 60


def run_with(node, seeds=range(20), tokens=TOKENS, disturb=None):
    """Streams whose answers must be whole."""
    found = streams.run(node.address, [streams.chat_request("demo", s, tokens) for s in seeds],
                        disturb=disturb, timeout=60 * SLOWNESS)
    for seed, stream in zip(seeds, found):
        assert stream.status == 200 and stream.text() == words.text(seed, tokens), seed
    return found


def deaths(node, exit_class):
    return [line for line in node.log_lines() if f"class {exit_class}," in line["text"]]


def check_death(node, exit_class, *texts):
    """The supervisor wrote one obituary line for each death, with class and reason."""
    wait_for(f"an obituary of class {exit_class}", lambda: deaths(node, exit_class))
    line = deaths(node, exit_class)[0]["text"]
    for text in texts:
        assert text in line, line


def test_sigstop(node):
    """A stopped worker is found by its missing progress within 1.25 s."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 20}})
    before = n.usage()
    stopped = []

    async def stop_one():
        await asyncio.sleep(0.5)
        pid = n.worker_pids()[0]
        n.kill_worker(0, SIGSTOP)
        began = time.monotonic()
        while n.worker_pids().get(0) == pid:
            await asyncio.sleep(0.01)
        stopped.append(time.monotonic() - began)

    found = run_with(n, disturb=stop_one)
    assert stopped[0] <= 1.25 * SLOWNESS + 0.1
    longest = max(b - a for s in found for a, b in zip(s.content_times(), s.content_times()[1:]))
    assert longest <= 2 * SLOWNESS  # nobody is accused: no trial
    assert n.metrics()["cortex_child_hangs_total"] == 1
    check_death(n, "stopped")
    n.wait_workers()
    n.check_baseline(before)


def test_a_pause_is_no_hang(node):
    """Stopped for less than the limit, the worker goes on where it was."""
    n = node(models={"demo": {"simulate_rate": 20}}, supervisor={"hang_ms": 3000})

    async def pause():
        await asyncio.sleep(0.3)
        n.kill_worker(0, SIGSTOP)
        await asyncio.sleep(1.0)
        n.kill_worker(0, SIGCONT)

    found = run_with(n, disturb=pause)
    assert max(b - a for s in found
               for a, b in zip(s.content_times(), s.content_times()[1:])) >= 0.9
    assert n.metrics()["cortex_child_deaths_total"] == 0


MOMENTS = [  # fault, exit class, what the obituary says
    ("segv", "fault", "SIGSEGV"),
    ("abort", "fault", "SIGABRT"),
    ("check", "fault", "CHECK"),
    ("kill", "killed", "SIGKILL"),
    ("exit:70", "fault", "exit code 70"),
    ("exit:111", "temporary", "exit code 111"),
    ("stop", "stopped", ""),
    ("spin", "hung", ""),
]


@pytest.mark.sanitized
@pytest.mark.parametrize("fault, exit_class, text", MOMENTS)
def test_death_in_the_middle(node, fault, exit_class, text):
    """Each first incarnation breaks at its 100th token; the streams do not notice."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40,
                              "simulate_fault": f"{fault}@token:100@once"}})
    run_with(n)
    check_death(n, exit_class, text)
    metrics = n.metrics()
    assert metrics["cortex_child_deaths_total"] == 2
    assert metrics["cortex_requests_resumed_total"] > 0
    assert metrics["cortex_request_errors_total"] == 0
    n.wait_workers()


GARBAGE = ["any", "noise", "tail", "back", "crc", "epoch", "sequence", "type", "length", "fragment",
           "long", "request", "index", "vocab", "utf8", "parts", "flags", "echo", "tops", "number"]


@pytest.mark.sanitized
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_in_its_ring(node, kind):
    """Whatever a worker writes costs it its life and nobody a byte."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40,
                              "simulate_fault": f"garbage:{kind}@token:100@once"}})
    run_with(n)
    check_death(n, "violation")
    metrics = n.metrics()
    assert metrics["cortex_protocol_violations_total"] == 2
    assert metrics["cortex_worker_violations_total"] == 2
    assert metrics["cortex_request_errors_total"] == 0


@pytest.mark.parametrize("lie", ["epoch", "hash", "pid", "junk"])
def test_bad_hello(node, lie):
    n = node(models={"demo": {"simulate_fault": f"bad-hello:{lie}@once"}})
    check_death(n, "violation")
    assert n.chat(seed=1, max_tokens=3).status == 200
    assert n.metrics()["cortex_protocol_violations_total"] == 1


def test_load_without_progress(make_node):
    n = make_node(models={"demo": {"simulate_fault": "load-stall@once", "simulate_load_ms": 200}},
                  supervisor={"load_stall_s": 1}).start()
    check_death(n, "hung")
    assert n.chat(seed=1, max_tokens=3).status == 200


def test_refusal_is_permanent(make_node):
    """It says why, it is not tried again, and clients get the sentence."""
    n = make_node(models={"demo": {"simulate_fault": 'refuse:"no room for the weights"'}})
    n.start(workers=False)
    wait_for("the verdict", lambda: n.chat().error()["code"] == "model_failed")
    got = n.chat()
    assert got.status == 503 and "no room for the weights" in got.error()["message"], got
    check_death(n, "permanent", "no room for the weights")
    assert n.get("/health").json()["status"] != "ok"


def test_ignores_sigterm(make_node):
    """Asked to stop, it does not; it is killed, and the supervisor still ends with 0."""
    n = make_node(models={"demo": {"simulate_fault": "ignore-term"}},
                  supervisor={"stop_timeout_ms": 500}).start()
    began = time.monotonic()
    n.stop(timeout=5)
    assert time.monotonic() - began >= 0.5


def test_ignores_sigterm_while_the_others_serve(make_node):
    """The same when only its model goes: killed, counted, and nobody else is disturbed."""
    n = make_node(models={"demo": {}, "deaf": {"simulate_fault": "ignore-term"}},
                  supervisor={"stop_timeout_ms": 200}).start()
    del n.sections['model "deaf"'], n.models["deaf"]
    n.write_config()
    n.signal(SIGHUP)
    wait_for("its end", lambda: len(n.worker_pids()) == 1)
    assert n.metrics()["cortex_child_kill_escalations_total"] == 1
    assert n.chat(max_tokens=3).status == 200


def test_queue_survives_a_dead_model(node):
    """Those who wait in the queue when the only worker dies are served by the next one."""
    n = node(models={"demo": {"seats": 2, "simulate_rate": 40,
                              "simulate_fault": "kill@token:50@once"}})
    run_with(n, seeds=range(8), tokens=30)


# --- requests that kill ---

POISON = "die, worker"


def poisoned(seed, tokens=TOKENS):
    return streams.chat_request("demo", seed, tokens, prompt=POISON)


@pytest.mark.sanitized
@pytest.mark.parametrize("workers, fault", [(2, "segv"), (1, "segv"), (2, "exit:70"), (2, "spin")])
def test_poison_request_is_isolated(node, workers, fault):
    """It is failed by name; everybody else has every byte."""
    n = node(models={"demo": {"workers": workers, "simulate_rate": 40,
                              "simulate_fault": f'{fault}@prompt:"{POISON}"'}})
    requests = [streams.chat_request("demo", seed, TOKENS) for seed in range(20)]
    requests.insert(7, poisoned(99))
    found = streams.run(n.address, requests, timeout=90 * SLOWNESS)
    poison = found.pop(7)
    for seed, stream in enumerate(found):
        assert stream.text() == words.text(seed, TOKENS), (seed, stream.error())
    assert poison.error()["code"] == "request_quarantined", poison.head_and_body()
    assert not poison.events()[-1].data == b"[DONE]"
    metrics = n.metrics()
    assert metrics["cortex_quarantined_requests_total"] == 1
    assert metrics["cortex_request_errors_total"] == 1
    assert metrics["cortex_child_deaths_total"] <= 8
    n.wait_workers()


def test_poison_request_not_streamed(node):
    n = node(models={"demo": {"workers": 2, "simulate_fault": f'segv@prompt:"{POISON}"'}})
    got = n.chat(prompt=POISON)
    assert got.status == 500 and got.error()["code"] == "request_quarantined"
    assert n.chat(seed=1, max_tokens=3).status == 200


def test_three_poisons_among_bystanders(node):
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40,
                              "simulate_fault": f'segv@prompt:"{POISON}"'}})
    requests = [streams.chat_request("demo", seed, TOKENS) for seed in range(30)]
    for at in (5, 15, 25):
        requests.insert(at, poisoned(90 + at))
    found = streams.run(n.address, requests, timeout=90 * SLOWNESS)
    for at in (25, 15, 5):
        assert found.pop(at).error()["code"] == "request_quarantined"
    for seed, stream in enumerate(found):
        assert stream.text() == words.text(seed, TOKENS), seed
    assert n.metrics()["cortex_quarantined_requests_total"] == 3
