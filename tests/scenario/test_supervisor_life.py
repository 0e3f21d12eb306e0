"""Start, reload, drain, stop: what the supervisor says to systemd, to its children, and to people."""
import contextlib
import os
import re
import socket
import subprocess
from signal import SIGHUP, SIGINT, SIGKILL, SIGRTMIN, SIGSTOP, SIGTERM

import pytest

from node import BIN_DIR, SLOWNESS, wait_for
from supervisor_util import fake, kill, make_fake, now  # noqa: F401


def cortex(*arguments, env=None):
    return subprocess.run([BIN_DIR / "cortex", *arguments], capture_output=True, text=True,
                          timeout=20, env={**os.environ, **(env or {})})


# --- the command line ---

def test_version_and_help():
    assert re.fullmatch(r"cortex \d+\.\d+\.\d+\n", cortex("version").stdout)
    helped = cortex("help")
    assert helped.returncode == 0
    for command in ("serve", "check-config", "version", "help"):
        assert f"  {command}" in helped.stdout
    assert cortex("--help").stdout == helped.stdout


@pytest.mark.parametrize("arguments, text", [
    ((), ""),
    (("sevre",), 'unknown command "sevre"; did you mean "serve"?'),
    (("frobnicate",), 'unknown command "frobnicate"; `cortex help` lists them'),
    (("serve", "-x"), "usage: cortex serve [-c FILE]"),
    (("serve", "-c"), "usage: cortex serve [-c FILE]"),
    (("serve", "--reference"), "usage: cortex serve"),
    (("version", "-c", "x"), "usage: cortex version"),
    (("check-config", "x"), "too many arguments"),
])
def test_usage_errors_are_100(arguments, text):
    done = cortex(*arguments)
    assert done.returncode == 100
    assert text in done.stderr


def test_check_config(tmp_path):
    path = tmp_path / "c.ini"
    path.write_text('[gateway]\nqueue_depth = 7\n[model "a/b"]\nsimulate = yes\n')
    done = cortex("check-config", "-c", path)
    assert done.returncode == 0 and "queue_depth = 7" in done.stdout
    again = tmp_path / "d.ini"
    again.write_text(done.stdout)
    assert cortex("check-config", "-c", again).stdout == done.stdout
    env = {"CORTEX_GATEWAY__QUEUE_DEPTH": "9"}
    assert "queue_depth = 9" in cortex("check-config", "-c", path, env=env).stdout
    assert cortex("check-config", "--reference").stdout.startswith("#")


CONFIG_ERRORS = [
    ("[gateway]\nlisten = 127.0.0.1:1\nqeue_depth = 1\n", r":3: .*queue_depth"),
    ("[gatway]\n", r":1: .*gateway"),
    ("[gateway]\nqueue_depth = many\n", r":2: "),
    ("[gateway]\nlisten = 0.0.0.0:31313\n", r"key"),
    ('[model "m"]\nworkers = 1\n', r"m"),
    ('[model "m"]\nsimulate = yes\nworkers = 40\n[model "n"]\nsimulate = yes\nworkers = 40\n',
     r"80 workers together, at most 64"),
]


@pytest.mark.parametrize("text, said", CONFIG_ERRORS)
def test_configuration_errors_are_100(tmp_path, text, said):
    """One sentence; serve and check-config say the same; nothing is left."""
    path = tmp_path / "c.ini"
    path.write_text(text)
    checked, served = cortex("check-config", "-c", path), cortex("serve", "-c", path)
    assert checked.returncode == served.returncode == 100
    assert re.search(said, checked.stderr), checked.stderr
    assert checked.stderr == served.stderr and checked.stderr.count("\n") == 1


def test_missing_file_is_100(tmp_path):
    done = cortex("serve", "-c", tmp_path / "none.ini")
    assert done.returncode == 100 and "none.ini" in done.stderr


def test_missing_programs_are_100(make_fake):
    n = make_fake()
    (n.bin_dir / "cortex-worker").unlink()
    assert n.spawn().wait_exit() == 100
    assert "cortex-worker" in n.log()
    assert n.segments() == []


def test_port_in_use_is_111(make_fake):
    n = make_fake()
    with socket.create_server(n.address):
        assert n.spawn().wait_exit() == 111
    lines = [line for line in n.log().splitlines() if "listen on" in line]
    assert len(lines) == 1 and f"127.0.0.1:{n.port}" in lines[0] and "in use" in lines[0]
    assert n.segments() == []
    assert n.start().process.poll() is None


def test_the_instance_runs_already_is_111(fake, make_fake):
    first = fake()
    second = make_fake(instance={"name": first.instance})
    assert second.spawn().wait_exit() == 111
    assert f"supervisor {first.process.pid}" in second.log()
    assert first.counter("child_starts") == 2


def test_no_room_for_the_segment(make_fake):
    """A file-size limit stands in for a full /dev/shm."""
    n = make_fake(wrapper=["sh", "-c", 'ulimit -f 100; trap "" XFSZ; exec "$@"', "sh"]).spawn()
    assert n.wait_exit() in (100, 111)
    assert "/dev/shm/cortex." in n.log()
    assert n.segments() == []


# --- stopping ---

def test_sigterm_drains(fake):
    """The router gets the deadline; workers stay up, and come back, until it has drained."""
    n = fake(orders={"router": {"drain": "wait"}}, supervisor={"drain_timeout_s": 20})
    n.signal(SIGTERM)
    drain = n.wait_event("drain", "router")
    assert 19000 < int(drain.fields["ms"]) <= 20000
    at = kill(n.worker_pids()[0], SIGKILL)
    n.wait_event("link-read", "worker-0", after=at)
    assert n.process.poll() is None and n.events("stop") == []
    kill(n.router_pid(), SIGRTMIN + 1)
    assert n.wait_exit() == 0
    assert {e.role for e in n.events("stop")} == {"router", "worker-0"}


def test_the_drain_has_a_deadline(fake):
    n = fake(orders={"router": {"drain": "wait"}}, supervisor={"drain_timeout_s": 1})
    n.signal(SIGINT)
    at = n.wait_event("drain", "router").at
    assert n.wait_exit() == 0
    assert n.events("stop", "router")[0].at - at >= 0.95


def test_a_second_sigterm_is_now(fake):
    n = fake(models={"demo": {"workers": 4}},
             orders={"router": {"drain": "wait"}, "worker": {"ignore_stop": 1}},
             supervisor={"drain_timeout_s": 600, "stop_timeout_ms": 600000})
    n.signal(SIGTERM)
    n.wait_event("drain", "router")
    at = now()
    n.signal(SIGTERM)
    assert n.wait_exit() == 0
    assert now() - at < 1 * SLOWNESS
    assert n.segments() == []


def test_children_that_do_not_stop_are_killed(fake):
    n = fake(models={"demo": {"workers": 2}}, orders={"worker": {"ignore_stop": 1}},
             supervisor={"stop_timeout_ms": 300})
    at = now()
    n.signal(SIGTERM)
    assert n.wait_exit() == 0
    assert 0.3 <= now() - at < 3 * SLOWNESS
    assert len([t for t in n.texts() if "still there 300 ms after" in t]) == 2


def test_nobody_connects_to_a_node_without_a_router(fake):
    """While the last workers end a connection is refused at once instead of waiting for nobody."""
    n = fake(orders={"worker": {"ignore_stop": 1}}, supervisor={"stop_timeout_ms": 5000})
    n.signal(SIGTERM)
    wait_for("the router's end", lambda: n.router_pid() is None)
    for port in (n.port, n.metrics_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    assert n.process.poll() is None
    n.signal(SIGTERM)
    assert n.wait_exit() == 0


def test_the_router_dies_while_it_drains(fake):
    n = fake(orders={"router": {"drain": "wait"}}, supervisor={"drain_timeout_s": 600})
    n.signal(SIGTERM)
    n.wait_event("drain", "router")
    kill(n.router_pid(), SIGKILL)
    assert n.wait_exit() == 0
    assert len(n.events("started", "router")) == 1


def test_stop_while_a_worker_loads(make_fake):
    n = make_fake(orders={"worker": {"load_ms": 60000}}).start(workers=False)
    n.wait_event("started", "worker-0")
    n.signal(SIGTERM)
    assert n.wait_exit() == 0


def test_the_supervisor_dies(fake):
    n = fake(models={"demo": {"workers": 3}}, orders={"worker": {"ignore_stop": 1}})
    n.leaves_segment = True
    n.process.kill()
    n.process.wait()
    wait_for("the children's end", lambda: n.session() == [], 1)
    assert n.segments() != []  # for cortexctl
    (n.fake_dir / "events").unlink()
    n.start()
    n.leaves_segment = False
    assert len(n.segments()) == 1


# --- systemd ---

class Systemd:
    """The socket that sd_notify writes to."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.setblocking(False)
        self.env = {"NOTIFY_SOCKET": str(path)}
        self.said = []

    def read(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said += self.sock.recv(4096).decode().splitlines()
        return self.said

    def wait(self, line, n=1):
        wait_for(f"{line} to systemd", lambda: self.read().count(line) >= n)


def test_what_systemd_hears(make_fake, tmp_path):
    systemd = Systemd(tmp_path / "notify")
    n = make_fake(models={"demo": {"workers": 2}}, supervisor={"drain_timeout_s": 7},
                  env={**systemd.env, "WATCHDOG_USEC": "400000"})
    n.start()
    systemd.wait("READY=1")
    systemd.wait("STATUS=router ready, 2 of 2 workers ready")
    systemd.wait("WATCHDOG=1", n=4)
    n.signal(SIGHUP)
    systemd.wait("READY=1", n=2)
    assert "RELOADING=1" in systemd.said
    stamps = [line for line in systemd.said if line.startswith("MONOTONIC_USEC=")]
    assert abs(int(stamps[0].split("=")[1]) / 1e6 - now()) < 10
    n.stop()
    systemd.read()
    assert "STOPPING=1" in systemd.said
    # drain 7 s + stop 5 s + reaping 10 s + 5 s
    assert "EXTEND_TIMEOUT_USEC=27000000" in systemd.said
    environments = {e.text for e in n.events("environment")}
    assert environments == {""}, environments


def test_ready_does_not_wait_for_models(make_fake, tmp_path):
    systemd = Systemd(tmp_path / "notify")
    make_fake(orders={"worker": {"load_ms": 60000}}, env=systemd.env).start(workers=False)
    systemd.wait("READY=1")
    systemd.wait("STATUS=router ready, 0 of 1 workers ready")


# --- reload ---

def reload(n, changes=None, text="reload: took effect"):
    """SIGHUP and wait for its line; changes: section -> keys, None removes a section."""
    for section, keys in (changes or {}).items():
        if keys is None:
            n.sections.pop(section)
        else:
            n.sections.setdefault(section, {}).update(keys)
    n.write_config()
    count = len([t for t in n.texts("config") if t.startswith("reload")])
    at = now()
    n.signal(SIGHUP)
    line = n.wait_log("reload", tag="config", n=count + 1)
    assert text in line, line
    return at


def test_an_invalid_file_keeps_the_old_configuration(fake):
    n = fake()
    n.config_path.write_text(n.config_path.read_text() + "\n[gateway]\nqeue_depth = 3\n")
    n.signal(SIGHUP)
    line = n.wait_log("reload refused")
    number = len(n.config_path.read_text().splitlines())
    assert re.search(rf"{re.escape(str(n.config_path))}:({number}|{number - 1}): ", line), line
    assert n.counter("config_reload_errors") == 1 and n.counter("config_reloads") == 0
    assert n.events("config") == []
    reload(n)
    assert n.counter("config_reloads") == 1


def test_too_many_workers_keep_the_old_configuration(fake):
    n = fake()
    reload(n, {'model "demo"': {"workers": 64}, 'model "more"': {"simulate": "yes"}},
           "reload refused, the configuration stays as it was: models: 65 workers")
    assert len(n.worker_pids()) == 1


def test_live_keys_reach_the_router(fake):
    n = fake()
    at = reload(n, {"gateway": {"queue_depth": 5}})
    n.wait_event("config", "router", after=at)
    assert len(n.events("started")) == 2
    # A router that starts later gets the same.
    sizes = {e.fields["bytes"] for e in n.events("config", "router")}
    at = kill(n.router_pid(), SIGKILL)
    n.wait_event("ready", "router", after=at)
    n.wait_linked(1)
    assert {e.fields["bytes"] for e in n.events("heritage", "router") if e.at > at} == sizes


def test_supervisor_keys_are_live(fake):
    n = fake(supervisor={"hang_ms": 600000})
    reload(n, {"supervisor": {"hang_ms": 300}})
    at = kill(n.worker_pids()[0], SIGSTOP)
    assert n.wait_event("link-down", "router").at - at < 1 * SLOWNESS


def test_keys_that_need_a_restart_are_named(fake):
    n = fake()
    reload(n, {"gateway": {"max_requests": 99, "listen": "127.0.0.1:1"},
               "instance": {"log_level": "debug"}},
           "but these keys need a restart: ")
    line = n.wait_log("need a restart")
    for key in ("listen", "max_requests", "log_level"):
        assert key in line


def test_a_kept_address_still_needs_its_key(make_fake):
    """New keys and kept ones are checked together: no open door by way of a reload."""
    digest = "ab" * 32
    n = make_fake(keys={"k": {"sha256": digest}})
    n.sections["gateway"]["listen"] = f"0.0.0.0:{n.port}"
    n.start()
    reload(n, {'key "k"': None, "gateway": {"listen": f"127.0.0.1:{n.port}"}}, "reload refused")
    reload(n, {'key "k"': {"sha256": digest}}, "need a restart")


def test_more_and_fewer_workers(fake):
    """Nobody else is touched."""
    n = fake(models={"demo": {"workers": 2}})
    first = n.worker_pids()
    reload(n, {'model "demo"': {"workers": 4}})
    n.wait_linked(4)
    assert n.model_record("demo")["workers"] == 4
    assert {s: p for s, p in n.worker_pids().items() if s in first} == first
    reload(n, {'model "demo"': {"workers": 1}})
    n.wait_linked(1)
    assert len(n.events("link-drain", "router")) == 3
    wait_for("one worker", lambda: len(n.worker_pids()) == 1)
    assert n.counter("child_deaths") == 0


def test_models_come_and_go_and_keep_their_index(fake):
    n = fake(models={"a": {}, "b": {}})
    reload(n, {'model "a"': None, 'model "c"': {"simulate": "yes"}})
    n.wait_event("link-read", "worker-2")
    assert n.wait_event("link-write", "router", slot=2).fields["model"] == "2"
    n.wait_model("a", "absent")
    assert n.model_record("b")["state"] == "ready"
    drained = n.wait_event("link-drain", "router", slot=0)
    assert n.wait_event("stop", "worker-0").at >= drained.at
    at = reload(n, {'model "a"': {"simulate": "yes"}})
    again = n.wait_event("link-write", "router", after=at)
    assert again.fields["model"] == "0"
    names = [row["name"] for row in n.segment().records("model")[:4]]
    assert names == ["a", "b", "c", ""]


def test_a_removed_model_drains(fake):
    n = fake(models={"a": {}, "b": {}}, orders={"router": {"drain": "wait"}},
             supervisor={"drain_timeout_s": 600})
    reload(n, {'model "a"': None})
    drain = n.wait_event("link-drain", "router", slot=0)
    assert 590000 < int(drain.fields["ms"]) <= 600000
    assert n.model_record("a")["state"] == "draining"
    assert n.process_record("a#0")["state"] == "draining"
    kill(n.router_pid(), SIGRTMIN + 1)
    n.wait_model("a", "absent")
    n.wait_event("stop", "worker-0")
    assert n.process_record("a#0") is None
    n.signal(SIGTERM)
    n.wait_event("drain", "router")
    kill(n.router_pid(), SIGRTMIN + 1)
    assert n.wait_exit() == 0


def test_a_drain_that_takes_too_long_is_cut(fake):
    n = fake(models={"a": {}, "b": {}}, orders={"router": {"drain": "wait"}},
             supervisor={"drain_timeout_s": 1})
    at = reload(n, {'model "a"': None})
    stop = n.wait_event("stop", "worker-0", after=at)
    assert 0.9 < stop.at - at < 2 * SLOWNESS


def test_a_router_death_ends_the_drain(fake):
    n = fake(models={"a": {}, "b": {}}, orders={"router": {"drain": "wait"}},
             supervisor={"drain_timeout_s": 600})
    reload(n, {'model "a"': None})
    n.wait_event("link-drain", "router", slot=0)
    n.order("router")
    kill(n.router_pid(), SIGKILL)
    n.wait_event("stop", "worker-0")
    n.wait_linked(1)


def test_changed_workers_are_replaced_new_ones_first(fake):
    n = fake(models={"demo": {"workers": 2}}, orders={"worker": {"load_ms": 300}})
    first = set(n.worker_pids().values())
    at = reload(n, {'model "demo"': {"seats": 9}})
    new = [n.wait_event("link-read", f"worker-{slot}", after=at) for slot in (2, 3)]
    wait_for("the old ones' end", lambda: not first & set(n.worker_pids().values()))
    stops = n.events("stop", "worker-0") + n.events("stop", "worker-1")
    assert len(stops) == 2
    # Never fewer than two that serve.
    ready = sorted(n.wait_event("ready", f"worker-{slot}", after=at).at for slot in (2, 3))
    assert sorted(e.at for e in stops)[0] >= ready[0] and sorted(e.at for e in stops)[1] >= ready[1]
    assert n.model_record("demo")["state"] == "ready" and new
    assert n.counter("child_deaths") == 0


def test_a_replacement_that_fails_leaves_the_old_one_serving(fake):
    n = fake()
    first = n.worker_pids()[0]
    n.order("worker", refuse="no such checkpoint")
    reload(n, {'model "demo"': {"seats": 9}})
    n.wait_log("no such checkpoint")
    assert n.worker_pids() == {0: first}
    assert n.model_record("demo")["state"] == "ready"
    n.order("worker")
    at = reload(n)
    n.wait_event("link-read", "worker-1", after=at)
    wait_for("the old one's end", lambda: first not in n.worker_pids().values())


def test_replacement_without_a_free_slot(fake):
    """64 of 64 slots: one by one."""
    n = fake(models={"demo": {"workers": 63}, "other": {}})
    first = set(n.worker_pids().values())
    reload(n, {'model "demo"': {"seats": 9}})
    wait_for("63 new workers", lambda: len(set(n.worker_pids().values()) - first) == 63, 30)
    wait_for("the old ones' end", lambda: len(n.worker_pids()) == 64)
    n.wait_linked(64)
    assert n.counter("child_deaths") == 0


def test_a_changed_model_closes_its_circuit(make_fake):
    n = make_fake(orders={"worker": {"die": "segv"}},
                  supervisor={"fault_budget": 1, "circuit_open_ms": 600000}).start(workers=False)
    n.wait_log("circuit open")
    n.order("worker")
    reload(n)
    assert n.process_record("demo#0")["state"] == "circuit-open"
    reload(n, {'model "demo"': {"seats": 9}})
    n.wait_linked(1)
    assert n.events("link-read", "worker-0")[-1].fields["canary"] == "0"


def test_reload_while_stopping_is_ignored(fake):
    n = fake(orders={"router": {"drain": "wait"}})
    n.signal(SIGTERM)
    n.wait_event("drain", "router")
    n.signal(SIGHUP)
    n.wait_log("reload ignored: stopping")
    n.signal(SIGTERM)
    assert n.wait_exit() == 0


def test_nothing_is_left_after_reloads_and_deaths(fake):
    """Descriptors of the supervisor are back at the baseline."""
    n = fake(models={"demo": {"workers": 2}})
    count = lambda: len(os.listdir(f"/proc/{n.process.pid}/fd"))
    before = count()
    for i in range(10):
        at = reload(n, {'model "demo"': {"seats": 10 + i}})
        n.wait_event("link-read", "router", n=2, after=at)
        wait_for("two workers", lambda: len(n.worker_pids()) == 2)
        kill(n.router_pid(), SIGKILL)
        n.wait_event("link-read", "router", n=4, after=at)
    wait_for("the baseline", lambda: count() == before)
