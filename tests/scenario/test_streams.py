"""Streams: the events, keep-alive, slow readers, disconnects."""
import asyncio
import json
import os
import time
from signal import SIGCONT, SIGSTOP

import http1
import streams
import words
from node import SLOWNESS, wait_for

CHAT = {"model": "demo", "stream": True, "seed": 3, "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}]}


def one(node, **more):
    return streams.run(node.address, [streams.chat_request("demo", **more)])[0]


def test_order_of_chat_events(node):
    n = node()
    stream = one(n, seed=3, tokens=5)
    events = [json.loads(event.data) for event in stream.events()[:-1]]
    assert stream.events()[-1].data == b"[DONE]"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1
    assert len({event["created"] for event in events}) == 1
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[0]["choices"][0]["finish_reason"] is None
    assert [event["choices"][0]["delta"].get("content") for event in events[1:6]] == [
        words.word(3, i) for i in range(5)]
    assert events[6]["choices"][0]["finish_reason"] == "length"
    assert events[7]["choices"] == []
    usage = events[7]["usage"]
    assert usage["completion_tokens"] == 5
    assert usage["total_tokens"] == usage["prompt_tokens"] + 5
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0
    assert set(events[7]["timing"]) == {"queue_ms", "prefill_ms", "decode_ms"}
    assert len(events) == 8


def test_a_model_that_stops_by_itself(node):
    n = node(models={"demo": {"simulate_tokens": 7}})
    stream = one(n, seed=1, tokens=100)
    assert stream.text() == words.text(1, 7) and stream.finish_reason() == "stop"


def test_stop_strings(node):
    """The answer ends before the string, wherever the tokens cut it, streamed or not."""
    n = node()
    text = words.text(9, 16)
    inner = text[12:19]
    stream = one(n, seed=9, tokens=16, stop=[inner])
    assert stream.text() == text[:text.index(inner)] and stream.finish_reason() == "stop"
    answer = n.chat(seed=9, max_tokens=16, stop=inner).json()
    assert answer["choices"][0]["message"]["content"] == stream.text()


def test_same_answer_without_stream(node):
    n = node()
    answer = n.chat(seed=3, max_tokens=5).json()
    assert answer["object"] == "chat.completion"
    message = answer["choices"][0]["message"]
    assert (message["role"], message["content"]) == ("assistant", words.text(3, 5))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


def test_a_seed_of_its_own_when_none_is_given(node):
    n = node()
    texts = {n.chat(max_tokens=8).json()["choices"][0]["message"]["content"] for _ in range(5)}
    assert len(texts) == 5


def silences(stream, until=None):
    """Longest time without a byte, from the request on."""
    times = [stream.began] + [at for _, at in stream.stamps]
    return max(b - a for a, b in zip(times, times[1:]) if until is None or a < until)


def test_headers_at_once_and_keep_alive_in_prefill(node):
    n = node(models={"demo": {"simulate_prefill_ms": 3500}})
    stream = one(n, seed=1, tokens=3)
    assert stream.stamps[0][1] - stream.began < 0.5 * SLOWNESS, "the head waits for the token"
    comments = stream.comments()
    assert 3 <= len(comments) <= 4, comments
    assert {c.data for c in comments} == {b": keep-alive"}
    assert silences(stream) <= 1.05 * SLOWNESS
    assert n.metrics()["cortex_keepalives_sent_total"] == len(comments)


def test_keep_alive_in_the_queue(node):
    n = node(models={"demo": {"seats": 1, "simulate_rate": 10}})
    first, second = streams.run(n.address, [streams.chat_request("demo", seed, 25)
                                            for seed in range(2)])
    later = max(first, second, key=lambda s: s.content_times()[0])
    assert len(later.comments()) >= 2 and silences(later) <= 1.05 * SLOWNESS
    assert [first.text(), second.text()] == [words.text(seed, 25) for seed in range(2)]


def test_keep_alive_in_a_cold_load(make_node):
    n = make_node(models={"demo": {"simulate_load_ms": 3000}}).start(workers=False)
    got = n.chat()  # those who do not stream are told to come back
    assert got.status == 503 and got.error()["code"] == "model_loading"
    assert 1 <= int(got.field("retry-after")) <= 60 and got.field("x-should-retry") == "true"
    stream = one(n, seed=1, tokens=3)
    assert stream.text() == words.text(1, 3)
    assert len(stream.comments()) >= 1 and silences(stream) <= 1.05 * SLOWNESS


def in_flight(n):
    return n.metrics()["cortex_model_in_flight"]


def test_cancel_on_disconnect(node):
    """The worker hears of it within 100 ms, and the seat is free again."""
    n = node(models={"demo": {"simulate_rate": 20, "seats": 4}})
    for close in (lambda conn: conn.close(), lambda conn: conn.reset()):
        conn = n.connect()
        conn.send(streams.chat_request("demo", 1, 10000))
        wait_for("the first token", lambda: n.metrics()["cortex_completion_tokens_total"] > 0)
        before = n.metrics()["cortex_worker_cancels_total"]
        close(conn)
        wait_for("the cancel", lambda: n.metrics()["cortex_worker_cancels_total"] == before + 1,
                 timeout=0.2)
        wait_for("the seat", lambda: in_flight(n) == 0, timeout=0.2)
        assert n.metrics()["cortex_requests_open"] == 0
    assert n.metrics()["cortex_requests_cancelled_total"] == 2


def test_cancel_while_not_streaming(node):
    n = node(models={"demo": {"simulate_rate": 20}})
    conn = n.connect()
    conn.send(http1.request_bytes("POST", "/v1/chat/completions",
                                  {**CHAT, "stream": False, "max_tokens": 10000}))
    wait_for("the request to run", lambda: in_flight(n) == 1)
    conn.close()
    wait_for("the cancel", lambda: in_flight(n) == 0, timeout=0.2)


def test_cancel_in_the_queue(node):
    n = node(models={"demo": {"seats": 1, "simulate_rate": 20}})
    running, waiting = n.connect(), n.connect()
    running.send(streams.chat_request("demo", 1, 10000))
    wait_for("the request to run", lambda: in_flight(n) == 1)
    waiting.send(streams.chat_request("demo", 2, 10000))
    wait_for("the queue", lambda: n.metrics()["cortex_model_queue_depth"] == 1)
    waiting.close()
    wait_for("an empty queue", lambda: n.metrics()["cortex_model_queue_depth"] == 0, timeout=0.2)
    assert in_flight(n) == 1
    running.close()


def test_slow_reader_pauses_only_itself(node):
    """One client does not read: it gets what its credit allows and no more, the others everything,
    and when it reads on, the rest is there."""
    n = node(models={"demo": {"simulate_rate": 0}})
    tokens = 60_000

    async def run():
        slow = await streams.open_stream(n.address, streams.chat_request("demo", 1, tokens),
                                         receive_buffer=65536)
        slow.transport.pause_reading()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: wait_for(
            "a wait for credit", lambda: n.metrics()["cortex_worker_credit_waits_total"] > 0))
        others = await streams.run_streams(
            n.address, [streams.chat_request("demo", seed, 300) for seed in range(2, 22)])
        sent = (await loop.run_in_executor(None, n.metrics))["cortex_completion_tokens_total"]
        slow.transport.resume_reading()
        await asyncio.wait_for(slow.done, 60 * SLOWNESS)
        return slow, others, sent

    slow, others, sent = asyncio.run(run())
    for seed, stream in enumerate(others, 2):
        assert stream.text() == words.text(seed, 300)
    assert sent - 20 * 300 < tokens / 2, "the slow reader was not slowed down"
    assert slow.text() == words.text(1, tokens)


def test_reader_that_never_reads_is_cancelled(node):
    n = node(models={"demo": {"simulate_rate": 0}},
             gateway={"write_timeout_s": 1})
    conn = n.connect()
    conn.sock.setsockopt(http1.socket.SOL_SOCKET, http1.socket.SO_RCVBUF, 4096)
    conn.send(streams.chat_request("demo", 1, 1_000_000))
    began = time.monotonic()
    wait_for("the cancel", lambda: n.metrics()["cortex_slow_reader_cancels_total"] == 1, 6)
    assert time.monotonic() - began > 0.9
    wait_for("the seat", lambda: in_flight(n) == 0, timeout=1)
    conn.close()


def test_fast_streams_fill_the_ring(node):
    """A worker as fast as it can be, and a router that is away for moments: the ring is full,
    nothing is lost and nothing comes twice."""
    n = node(supervisor={"hang_ms": 60000})

    async def pause_router():
        pid = n.router_pid()
        while n.counter("worker_ring_full") == 0:  # read from memory, without the router
            os.kill(pid, SIGSTOP)
            await asyncio.sleep(0.05)
            is_full = n.counter("worker_ring_full") > 0
            os.kill(pid, SIGCONT)
            await asyncio.sleep(0 if is_full else 0.01)

    found = streams.run(n.address, [streams.chat_request("demo", seed, 2000)
                                    for seed in range(100)], disturb=pause_router)
    for seed, stream in enumerate(found):
        assert stream.text() == words.text(seed, 2000)
    metrics = n.metrics()
    assert metrics["cortex_worker_ring_full_total"] > 0
    assert metrics["cortex_ring_rescues_total"] == 0
