"""Workers are killed at random moments under many streams; nobody notices.

Every stream must have the bytes of the undisturbed run, and no request an error. The seed of the
moments is printed, so that a failure can be repeated."""
import asyncio
import bisect
import hashlib
import os
import random
import time
from signal import SIGHUP

import pytest

import streams
import words
from node import SLOWNESS, wait_for


class Storm:
    """Kills workers while streams run, and remembers when."""

    def __init__(self, node, kills, seconds, seed):
        self.node, self.kills, self.seconds = node, kills, seconds
        self.random = random.Random(seed)
        self.at = []

    async def __call__(self):
        """Random moments whose mean distance fits the kills into the seconds."""
        began = time.monotonic()
        moments = sorted(self.random.uniform(0.3, self.seconds) for _ in range(self.kills))
        for moment in moments:
            await asyncio.sleep(max(0, began + moment - time.monotonic()))
            await self.kill_one()

    async def kill_one(self):
        """A worker that is not running has been killed just before: the next moment finds it."""
        while True:
            alive = self.node.worker_pids()
            if alive and self.node.kill_worker(self.random.choice(sorted(alive))):
                self.at.append(time.monotonic())
                return
            await asyncio.sleep(0.005)


def requests_of(n, tokens):
    return [streams.chat_request("demo", seed, tokens) for seed in range(n)]


def check_whole(found, tokens):
    for seed, stream in enumerate(found):
        assert stream.status == 200, (seed, stream.head_and_body()[:2])
        assert stream.text() == words.text(seed, tokens), seed
        assert stream.finish_reason() == "length", seed


def gaps_over_kills(found, kills):
    """Distances between neighbouring tokens that have a kill between them, in seconds. Streams on
    another worker than the one killed are no evidence, so the shorter half is left out."""
    gaps = []
    for stream in found:
        times = stream.content_times()
        for a, b in zip(times, times[1:]):
            i = bisect.bisect_right(kills, a)
            if i < len(kills) and kills[i] <= b:
                gaps.append(b - a)
    gaps.sort()
    return gaps[len(gaps) // 2:]


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def set_rate(n, rate):
    """A reload that replaces the workers."""
    old = set(n.worker_pids().values())
    n.sections['model "demo"']["simulate_rate"] = rate
    n.write_config()
    n.signal(SIGHUP)
    wait_for("workers of the new rate", lambda: not old & set(n.worker_pids().values()))
    n.wait_workers()


def digests(found):
    return [hashlib.sha256(stream.normal_bytes()).digest() for stream in found]


def storm(node, workers, n_streams, kills, seconds, gap_p99, rate=10):
    """The undisturbed run is as fast as can be: when a token comes changes none of its bytes."""
    tokens = int(rate * (seconds + 2))
    n = node(models={"demo": {"workers": workers, "seats": n_streams}})
    requests = requests_of(n_streams, tokens)
    calm = streams.run(n.address, requests, timeout=(seconds + 60) * SLOWNESS)
    check_whole(calm, tokens)
    calm = digests(calm)
    set_rate(n, rate)
    before = n.usage()

    seed = int(os.environ.get("CORTEX_TEST_SEED", random.randrange(1 << 32)))
    print(f"CORTEX_TEST_SEED={seed}")
    kill = Storm(n, kills, seconds, seed)
    stormy = streams.run(n.address, requests, disturb=kill, timeout=(seconds * 3 + 60) * SLOWNESS)

    check_whole(stormy, tokens)
    assert digests(stormy) == calm
    assert len(kill.at) == kills
    gaps = gaps_over_kills(stormy, kill.at)
    print(f"gaps over a kill: p50 {percentile(gaps, .5):.3f} p99 {percentile(gaps, .99):.3f} "
          f"max {gaps[-1]:.3f} s")
    pace = 1 / rate if rate < 10 else 0  # the distance without a kill
    assert percentile(gaps, .99) <= gap_p99 * SLOWNESS + pace

    n.wait_workers()
    metrics = n.metrics()
    deaths = metrics["cortex_child_deaths_total"]
    assert kills * 0.9 <= deaths <= kills  # two kills may meet in one process
    assert metrics["cortex_requests_resumed_total"] > 0
    assert metrics["cortex_request_errors_total"] == 0
    assert metrics["cortex_protocol_violations_total"] == 0
    assert metrics["cortex_resume_gap_seconds_count"] > 0
    n.check_baseline(before)


@pytest.mark.timeout(400)
def test_two_workers(node):
    storm(node, workers=2, n_streams=500, kills=200, seconds=20, gap_p99=0.3)


@pytest.mark.timeout(400)
def test_one_worker(node):
    storm(node, workers=1, n_streams=500, kills=40, seconds=10, gap_p99=2.0)


@pytest.mark.sanitized
@pytest.mark.timeout(400)
def test_short(node):
    storm(node, workers=2, n_streams=100, kills=30, seconds=6, gap_p99=2.0)


@pytest.mark.timeout(7200)
def test_nightly_size(node, nightly):
    if not nightly:
        pytest.skip("2,000 streams, 4 workers, 10,000 kills: with --nightly")
    storm(node, workers=4, n_streams=2000, kills=10000, seconds=600, gap_p99=0.3, rate=4)


@pytest.mark.sanitized
def test_completions_not_streamed(node):
    """Those who wait for the whole answer get it whole, too."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 50}})
    kill = Storm(n, kills=10, seconds=2, seed=1)

    def request(seed):
        return streams.http1.request_bytes(
            "POST", "/v1/completions",
            {"model": "demo", "prompt": "x", "seed": seed, "max_tokens": 150},
            {"Connection": "close"})

    found = streams.run(n.address, [request(seed) for seed in range(40)], disturb=kill)
    for seed, stream in enumerate(found):
        head, body, _ = stream.head_and_body()
        assert stream.status == 200, head
        answer = streams.json.loads(body)
        assert answer["choices"][0]["text"] == words.text(seed, 150)
        assert answer["usage"]["completion_tokens"] == 150
