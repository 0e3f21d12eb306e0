"""A server that answers clients with a scripted model (scripted.py) and keeps what they asked."""
import contextlib
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import scripted

REQUESTS_MAX = 40
MODELS = {"object": "list", "has_more": False, "data": [
    {"id": "demo", "object": "model", "type": "model", "display_name": "demo",
     "created": 1_700_000_000, "created_at": "2023-11-14T22:13:20Z", "owned_by": "cortex"}]}
# What Anthropic's SDKs take for a reason to send the whole conversation instead.
NO_THREADS = {"type": "error", "error": {
    "type": "invalid_request_error", "message": "thread: conversations are not kept here",
    "details": {"error_code": "thread_unsupported_request"}}}


@dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict
    body: object
    status: int = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_request(self):
        address = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = raw.decode(errors="replace") or None
        if body:
            with contextlib.suppress(ValueError):
                body = json.loads(body)
        return Request(self.command, address.path, dict(parse_qsl(address.query)),
                       {name.lower(): value for name, value in self.headers.items()}, body)

    def answer(self):
        request = self.read_request()
        self.server.requests.append(request)
        if len(self.server.requests) > REQUESTS_MAX:
            self.send_json(request, 400, {"error": {"message": "a client that does not come to an end",
                                                    "type": "invalid_request_error"}})
        elif isinstance(request.body, dict) and request.body.get("thread"):
            self.send_json(request, 400, NO_THREADS)
        elif request.path in scripted.DIALECTS and isinstance(request.body, dict):
            self.answer_model(request)
        elif request.path == "/v1/messages/count_tokens":
            self.send_json(request, 200, {"input_tokens": 20})
        elif request.path == "/v1/models":
            self.send_json(request, 200, MODELS)
        elif request.path == "/":
            self.send_json(request, 200, {})
        else:
            self.send_json(request, 404, {"error": {"message": "no such route",
                                                    "type": "invalid_request_error"}})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def answer_model(self, request):
        stream, whole = scripted.DIALECTS[request.path]
        answer = scripted.choose(self.server.answers, request.body)
        if not request.body.get("stream"):
            self.send_json(request, 200, whole(request.body, answer))
            return
        request.status = 200
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for part in stream(request.body, answer):
            self.wfile.write(part)
        self.close_connection = True

    def send_json(self, request, status, value):
        request.status = status
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = answers, []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that closes early is none."""


@contextlib.contextmanager
def capture(answers):
    """A running server; .url is its address, .requests what came."""
    server = Server(answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
