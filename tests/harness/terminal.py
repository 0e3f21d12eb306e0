"""A program on a terminal of its own, as a person would sit in front of it."""
import errno
import os
import pty
import select
import signal
import time

from node import SLOWNESS


class Terminal:
    def __init__(self, arguments, env, cwd=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                if cwd:
                    os.chdir(cwd)
                os.execve(arguments[0], [str(a) for a in arguments], env)
            finally:
                os._exit(127)
        self.shown, self.seen, self.code = "", 0, None

    def read(self, timeout):
        """False at the end."""
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            data = b""
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def wait(self, text, timeout=15):
        """Until this is shown, behind what was waited for before; what came up to it."""
        deadline = time.monotonic() + timeout * SLOWNESS
        while True:
            at = self.shown.find(text, self.seen)
            if at >= 0:
                found = self.shown[self.seen:at + len(text)]
                self.seen = at + len(text)
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                raise AssertionError(f"no {text!r} in {self.shown[self.seen:]!r}")

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_exit(self, timeout=15):
        """Exit code, or the negative number of a signal."""
        deadline = time.monotonic() + timeout * SLOWNESS
        while time.monotonic() < deadline:
            if not self.read(0.05):
                time.sleep(0.01)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0):
                    if not select.select([self.fd], [], [], 0)[0]:
                        break
                self.code = os.waitstatus_to_exitcode(status)
                return self.code
        raise AssertionError(f"no exit; shown: {self.shown[-2000:]!r}")

    def close(self):
        if self.code is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        os.close(self.fd)
