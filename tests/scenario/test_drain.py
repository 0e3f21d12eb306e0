"""SIGTERM with real requests: what runs ends with every byte, what is new is sent away."""
import asyncio
import contextlib
import time
from signal import SIGINT, SIGTERM

import pytest

import http1
import streams
import words
from node import SLOWNESS, wait_for


def requests(n, tokens):
    return [streams.chat_request("demo", seed, tokens) for seed in range(n)]


async def until_running(n, count):
    """All of them are on workers."""
    await asyncio.get_running_loop().run_in_executor(None, lambda: wait_for(
        f"{count} running requests", lambda: n.metrics()["cortex_model_in_flight"] == count))


@pytest.mark.sanitized
@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_streams_end_whole(node, number):
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40}})
    refused = []

    async def drain():
        await until_running(n, 20)
        n.signal(number)
        await asyncio.sleep(0.3)
        with contextlib.suppress(OSError, http1.Closed):
            refused.append(n.chat())

    found = streams.run(n.address, requests(20, 80), disturb=drain)
    for seed, stream in enumerate(found):
        assert stream.text() == words.text(seed, 80), seed
    assert n.process.wait(5 * SLOWNESS) == 0
    for got in refused:  # or the connection was not even accepted
        assert got.status == 503 and got.error()["code"] == "shutting_down", got
        assert got.field("retry-after") and got.field("connection") == "close"


@pytest.mark.sanitized
def test_a_worker_killed_while_draining(node):
    """The drain waits for the resumed requests, too."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40}})

    async def drain():
        await until_running(n, 20)
        n.signal(SIGTERM)
        for slot in (0, 1, 0):
            await asyncio.sleep(0.2)
            assert n.kill_worker(slot)

    found = streams.run(n.address, requests(20, 80), disturb=drain)
    for seed, stream in enumerate(found):
        assert stream.text() == words.text(seed, 80), seed
    assert n.process.wait(5 * SLOWNESS) == 0


def test_what_takes_too_long_is_cut_with_an_error(node):
    n = node(models={"demo": {"simulate_rate": 10}}, supervisor={"drain_timeout_s": 1})

    async def drain():
        await until_running(n, 5)
        n.signal(SIGTERM)

    began = time.monotonic()
    found = streams.run(n.address, requests(5, 10_000), disturb=drain)
    assert time.monotonic() - began < 5 * SLOWNESS
    for stream in found:
        assert stream.error()["code"] == "shutting_down", stream.events()[-1]
    assert n.process.wait(5 * SLOWNESS) == 0


def test_idle_connections_are_closed(node):
    n = node()
    with n.connect() as conn:
        conn.send(http1.request_bytes("GET", "/health"))
        assert conn.read_response().status == 200
        n.signal(SIGTERM)
        assert conn.is_closed_by_peer()
    assert n.process.wait(5 * SLOWNESS) == 0


def test_a_second_signal_is_now(node):
    n = node(models={"demo": {"simulate_rate": 10}})
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 10_000))
        wait_for("the request to run", lambda: n.metrics()["cortex_model_in_flight"] == 1)
        n.signal(SIGTERM)
        wait_for("the drain", lambda: "told to stop" in n.log())
        began = time.monotonic()
        n.signal(SIGTERM)
        assert n.process.wait(5) == 0
        assert time.monotonic() - began < 2 * SLOWNESS
