"""What runs out, is in the way, or is wrong: reliability.md's fault rows."""
import os
import re
import resource
import socket
import subprocess
import sys
import time

import pytest

from node import BIN_DIR, wait_for


def exit_of(node):
    """Exit code and log of a start that must fail."""
    node.spawn()
    return node.process.wait(15), node.log()


def test_port_in_use(make_node):
    n = make_node()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(n.address)
        other.listen()
        code, log = exit_of(n)
    assert code == 111, log
    assert f"127.0.0.1:{n.port}" in log and "in use" in log.lower()


@pytest.mark.parametrize("edit, texts", [
    (lambda s: s["gateway"].update(lisen="127.0.0.1:1"), ["lisen", "listen"]),
    (lambda s: s.update(gatway={"x": 1}), ["gatway", "gateway"]),
    (lambda s: s["gateway"].update(queue_depth="many"), ["queue_depth", "many"]),
    (lambda s: s["gateway"].update(queue_depth=99999999), ["queue_depth", "16384"]),
    (lambda s: s['model "demo"'].update(simulate="perhaps"), ["simulate", "perhaps"]),
    (lambda s: s['model "demo"'].update(simulate="no"), ["demo", "path"]),
    (lambda s: s.update(alias={"fast": "nothing"}), ["fast", "nothing"]),
    (lambda s: s.update({'key "k"': {"sha256": "12"}}), ["sha256"]),
    (lambda s: s["gateway"].update(tls_cert="/x.pem"), ["tls_key"]),
    (lambda s: s["gateway"].update(listen="nonsense"), ["listen", "nonsense"]),
    (lambda s: s["instance"].update(name="a/b"), ["name"]),
])
def test_configuration_errors(make_node, edit, texts):
    """Refused with 100, with file, line where there is one, and what would have been right; and
    check-config says the same."""
    n = make_node()
    edit(n.sections)
    code, log = exit_of(n)
    assert code == 100, log
    for text in texts:
        assert text in log, log
    done = subprocess.run([BIN_DIR / "cortex", "check-config", "-c", n.config_path],
                          capture_output=True, text=True, env=n.environment())
    assert done.returncode == 100
    for text in texts:
        assert text in done.stderr, done


def test_configuration_error_names_the_line(make_node):
    n = make_node()
    n.sections["gateway"]["lisen"] = "x"
    code, log = exit_of(n)
    line = next(i for i, text in enumerate(n.config_path.read_text().splitlines(), 1)
                if text.startswith("lisen"))
    assert re.search(rf"{re.escape(n.config_path.name)}\D{line}\b", log), log


def test_configuration_file_missing(make_node):
    n = make_node()
    n.write_config()
    done = subprocess.run([BIN_DIR / "cortex", "serve", "-c", n.folder / "nothing.ini"],
                          capture_output=True, text=True, env=n.environment(), timeout=10)
    assert done.returncode == 100 and "nothing.ini" in done.stderr, done


def test_environment_overrides(make_node):
    n = make_node(env={"CORTEX_GATEWAY__QUEUE_DEPTH": "7"})
    n.write_config()
    done = subprocess.run([BIN_DIR / "cortex", "check-config", "-c", n.config_path],
                          capture_output=True, text=True, env=n.environment())
    assert done.returncode == 0 and re.search(r"^queue_depth = 7\b", done.stdout, re.M), done
    wrong = {**n.environment(), "CORTEX_GATEWAY__QUEUE_DEPHT": "7"}
    done = subprocess.run([BIN_DIR / "cortex", "check-config", "-c", n.config_path],
                          capture_output=True, text=True, env=wrong)
    assert done.returncode == 100 and "queue_depth" in done.stderr.lower(), done


def test_printed_configuration_is_read_back(make_node):
    n = make_node(keys={"k": {"sha256": "ab" * 32}}, aliases={"fast": "demo"})
    n.write_config()
    first = subprocess.run([BIN_DIR / "cortex", "check-config", "-c", n.config_path],
                           capture_output=True, text=True, env=n.environment())
    n.config_path.write_text(first.stdout)
    second = subprocess.run([BIN_DIR / "cortex", "check-config", "-c", n.config_path],
                            capture_output=True, text=True, env=n.environment())
    assert second.returncode == 0 and second.stdout == first.stdout


def may_unshare():
    return subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs",
                           "/dev/shm"], capture_output=True).returncode == 0


def small_shm(size):
    """A wrapper that gives a command a /dev/shm of its own."""
    script = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def test_shm_full(make_node):
    """No room for the segment: a sentence at the start, never a SIGBUS later."""
    if not may_unshare():
        pytest.skip("unshare -m is not permitted here")
    n = make_node(wrapper=small_shm("64k"))
    code, log = exit_of(n)
    assert code == 111, log
    assert "/dev/shm" in log or "segment" in log
    assert "SIGBUS" not in log


def test_shm_just_large_enough(make_node):
    """Rings live in memfds and not in /dev/shm: the segment alone has to fit."""
    if not may_unshare():
        pytest.skip("unshare -m is not permitted here")
    n = make_node(wrapper=small_shm("64m"))
    n.start()
    assert n.chat(max_tokens=3).status == 200


def limit_fds(n):
    return [sys.executable, "-c",
            f"import os, resource, sys\n"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({n}, {n}))\n"
            f"os.execv(sys.argv[1], sys.argv[1:])"]


def test_too_few_descriptors(make_node):
    code, log = exit_of(make_node(wrapper=limit_fds(20)))
    assert code == 100 and "the limit is 20" in log, log


def test_out_of_descriptors(make_node):
    """The listener pauses and goes on; nothing spins, nothing is lost."""
    n = make_node(wrapper=limit_fds(64)).start()
    router = n.router_pid()
    assert resource.prlimit(router, resource.RLIMIT_NOFILE) == (64, 64)
    conns = [n.connect() for _ in range(200)]
    try:
        wait_for("the pause", lambda: n.counter("accept_pauses") > 0)
        used = cpu_seconds(router)
        began = time.monotonic()
        wait_for("a second", lambda: time.monotonic() - began > 1)
        assert cpu_seconds(router) - used < 0.5, "it spins"
    finally:
        for conn in conns:
            conn.close()
    wait_for("answers", lambda: n.get("/health").status == 200)
    wait_for("closing", lambda: n.metrics()["cortex_connections_open"] <= 1)
    assert n.router_pid() == router


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

