"""Many server-sent event streams at once from one thread: bytes and arrival times are kept as they
come and looked at afterwards, so that the client is not what is measured."""
import asyncio
import bisect
import functools
import json
import re
import socket
import time

import dialects
import http1


class Event:
    def __init__(self, at, data):
        self.at, self.data = at, data

    def json(self):
        return json.loads(self.data)


class Stream(asyncio.Protocol):
    """One request and its streamed answer."""

    def __init__(self, request):
        self.request = request
        self.parts, self.stamps, self.total = [], [], 0
        self.tail = b""
        self.done = asyncio.get_running_loop().create_future()
        self.began = time.monotonic()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.parts.append(data)
        self.total += len(data)
        self.stamps.append((self.total, time.monotonic()))
        self.tail = (self.tail + data)[-7:]
        if self.tail == b"\r\n0\r\n\r\n":
            self.transport.close()

    def connection_lost(self, _):
        if not self.done.done():
            self.done.set_result(self)

    # --- afterwards ---

    def head_and_body(self):
        head, _, rest = b"".join(self.parts).partition(b"\r\n\r\n")
        return head, rest, len(head) + 4

    @property
    def status(self):
        words = self.head_and_body()[0].split(b" ", 2)
        return int(words[1]) if len(words) > 1 else 0

    def arrival(self, offset):
        """When the byte at this offset had come."""
        return self.stamps[bisect.bisect_left(self.stamps, (offset,))][1]

    def chunks(self):
        """(arrival, bytes) of each chunk; raises when the answer was cut off."""
        _, rest, base = self.head_and_body()
        at = 0
        while True:
            eol = rest.index(b"\r\n", at)
            size = int(rest[at:eol], 16)
            if size == 0:
                assert rest[eol:] == b"\r\n\r\n", "bytes after the last chunk"
                return
            at = eol + 2 + size
            assert rest[at:at + 2] == b"\r\n"
            yield self.arrival(base + at), rest[eol + 2:at]
            at += 2

    def lines(self):
        """(arrival, block) of each event or comment."""
        pending = b""
        for at, data in self.chunks():
            pending += data
            *blocks, pending = pending.split(b"\n\n")
            for block in blocks:
                yield at, block
        assert pending == b"", f"half an event at the end: {pending!r}"

    def comments(self):
        return [Event(at, block) for at, block in self.lines() if block.startswith(b":")]

    def events(self):
        found = []
        for at, block in self.lines():
            if not block.startswith(b":"):
                assert block.startswith(b"data: ") and b"\n" not in block, block
                found.append(Event(at, block[6:]))
        return found

    def named_events(self):
        """Of a whole stream in a dialect that names its events: (name, what it says)."""
        assert self.summary
        found = []
        for _, block in self.lines():
            name, data = block.split(b"\n")
            assert name.startswith(b"event: ") and data.startswith(b"data: "), block
            found.append((name[7:].decode(), json.loads(data[6:])))
        return found

    def normal_bytes(self):
        """The events as bytes, without what differs from run to run: id, time of creation, the
        measured times, and what was in the prefix cache."""
        out = b"\n".join(event.data for event in self.events())
        out = re.sub(rb'"id":"[^"]*"', b'"id":"-"', out)
        out = re.sub(rb'"created":\d+', b'"created":0', out)
        out = re.sub(rb'"cached_tokens":\d+', b'"cached_tokens":0', out)
        return re.sub(rb'"timing":\{[^}]*\}', b'"timing":{}', out)

    @functools.cached_property
    def summary(self):
        """What was said, of a whole stream in the dialect that its path asks for; it must be as its
        specification has it."""
        path = self.request.split(b" ", 2)[1].decode().partition("?")[0]
        blocks = b"".join(block + b"\n\n" for _, block in self.lines())
        return dialects.check_stream(dialects.PATHS[path.replace("/v1/v1/", "/v1/")], blocks)

    def choices(self):
        """Every choice of every event; the stream must have ended well."""
        assert self.summary.error is None, self.summary.error
        *events, last = self.events()
        assert last.data == b"[DONE]", f"the last event is {last.data!r}"
        return [choice for event in events for choice in event.json()["choices"]]

    def text(self):
        """Content of the answer, chat or completion."""
        return "".join(choice["text"] if "text" in choice else choice["delta"].get("content", "")
                       for choice in self.choices())

    def finish_reason(self):
        reasons = [c["finish_reason"] for c in self.choices() if c["finish_reason"]]
        assert len(reasons) == 1, reasons
        return reasons[0]

    def error(self):
        """The error event of a stream that failed after its first byte, or None."""
        for event in self.events():
            if b'"error"' in event.data:
                return event.json().get("error")
        return None

    def content_times(self):
        return [event.at for event in self.events()
                if b'"content":"' in event.data or b'"text":"' in event.data]


def chat_request(model, seed, tokens, prompt="hello", headers=(), **more):
    body = {"model": model, "stream": True, "seed": seed, "max_tokens": tokens,
            "messages": [{"role": "user", "content": prompt}], **more}
    return http1.request_bytes("POST", "/v1/chat/completions", body,
                               {"Connection": "close", **dict(headers)})


async def open_stream(address, request, receive_buffer=None):
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, address)
    _, stream = await loop.create_connection(lambda: Stream(request), sock=sock)
    return stream


async def run_streams(address, requests, disturb=None, timeout=120):
    """Send all requests, at most 100 connecting at a time, and wait for the answers. disturb() is
    a coroutine that runs beside them once all are connected."""
    gate = asyncio.Semaphore(100)

    async def connect(request):
        async with gate:
            return await open_stream(address, request)

    streams = await asyncio.gather(*(connect(request) for request in requests))
    beside = asyncio.ensure_future(disturb()) if disturb else None
    waiting = asyncio.gather(*(stream.done for stream in streams))
    try:
        await asyncio.wait_for(waiting, timeout)
        if beside:
            await beside
    finally:
        if beside:
            beside.cancel()
        for stream in streams:
            stream.transport.abort()
    return streams


def run(address, requests, disturb=None, timeout=120):
    return asyncio.run(run_streams(address, requests, disturb, timeout))
