"""A small HTTP/1.1 client over plain sockets, which shows what came and sends what it is told."""
import json
import socket
import ssl


class Response:
    def __init__(self, status, reason, fields, body, raw):
        self.status, self.reason, self.fields, self.body, self.raw = (
            status, reason, fields, body, raw)

    def field(self, name):
        """The one value of a field, or None."""
        values = [value for key, value in self.fields if key == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


class Closed(Exception):
    """The server closed before the response was complete; .received has what came."""

    def __init__(self, received):
        super().__init__(f"closed after {received!r}")
        self.received = received


class Connection:
    def __init__(self, address, tls=None, timeout=20):
        self.sock = socket.create_connection(address, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_split(self, data, at):
        """Two segments, the second after the first has left."""
        self.sock.sendall(data[:at])
        self.sock.sendall(data[at:])

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def read_line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_exactly(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        version, status, reason = (lines[0] + " ").split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        return int(status), reason.strip(), [(k.lower(), v) for k, v in fields], head

    def read_chunks(self):
        while True:
            size = int(self.read_line(), 16)
            data = self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"
            if size == 0:
                return
            yield data

    def read_to_end(self):
        try:
            while True:
                self.fill()
        except Closed as closed:
            self.buffer = b""
            return closed.received

    def read_response(self, method="GET"):
        status, reason, fields, raw = self.read_head()
        values = dict(fields)
        if method == "HEAD" or status < 200 or status == 204:
            body = b""
        elif values.get("transfer-encoding") == "chunked":
            assert "content-length" not in values, raw
            body = b"".join(self.read_chunks())
        elif "content-length" in values:
            body = self.read_exactly(int(values["content-length"]))
        else:
            body = self.read_to_end()
        return Response(status, reason, fields, body, raw)

    def is_closed_by_peer(self, timeout=5):
        """True once the server has closed; what it still sends counts as a failure."""
        self.sock.settimeout(timeout)
        try:
            data = self.buffer + self.sock.recv(65536)
        except ConnectionResetError:
            return True
        except (TimeoutError, ssl.SSLError):
            return False
        assert not data, f"more came: {data!r}"
        return True

    def reset(self):
        """Close with RST, as a killed client does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def request_bytes(method, path, body=None, headers=(), host="127.0.0.1"):
    """A request as a well-behaved client writes it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if body is not None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            lines.append("Content-Type: application/json")
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
