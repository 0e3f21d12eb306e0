"""cortexctl reads shared memory: with the router alive, stopped, or everything dead."""
import os
import random
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

import streams
from node import read_json, wait_for

COMMANDS = ["status", "models", "workers", "requests", "counters", "log", "layout"]


@pytest.mark.parametrize("command", COMMANDS)
def test_text_and_json(node, command):
    n = node(models={"demo": {"workers": 2, "simulate_rate": 5}})
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 1000))
        wait_for("tokens", lambda: n.metrics()["cortex_completion_tokens_total"] > 0)
        text = n.ctl(command)
        assert text.strip() and all(line.isprintable() for line in text.splitlines()), text
        assert n.ctl(command, "--json")


def test_status_names_everything(node):
    n = node(models={"demo": {"workers": 2}, "other": {}})
    text = n.ctl("status")
    for word in ("supervisor", "router", "demo", "other", "ready", str(n.router_pid())):
        assert word in text, text


def test_loading_is_shown(make_node):
    """How far it is, how fast it goes; afterwards the time it took."""
    n = make_node(models={"slow": {"simulate_load_ms": 60000}, "quick": {"simulate_load_ms": 50}})
    n.start(workers=False)
    worker = lambda name: next(w for w in n.ctl("workers", "--json")["workers"]
                               if w["model"] == name)
    first = wait_for("some bytes", lambda: (lambda w: w if w["load_bytes"] else None)(worker("slow")))
    assert first["load_bytes"] < first["load_bytes_total"] and first["loaded_percent"] < 100
    wait_for("the rate", lambda: worker("slow")["load_gb_s"] is not None)
    wait_for("more bytes", lambda: worker("slow")["load_bytes"] > first["load_bytes"])
    done = wait_for("the end", lambda: (lambda w: w if w["phase"] == "serving" else None)(
        worker("quick")))
    assert done["loaded_percent"] == 100 and done["load_s"] >= 0.05
    lines = {line.split()[2]: line for line in n.ctl("workers").splitlines()}
    assert " MB " in lines["slow"] and " MB " not in lines["quick"], lines


def test_a_failed_model_says_why(make_node):
    n = make_node(models={"good": {}, "bad": {"simulate_fault": 'refuse:"no such checkpoint"'}})
    n.start(workers=False)
    wait_for("the refusal", lambda: "bad has failed: no such checkpoint" in n.ctl("status"))
    models = {m["name"]: m for m in n.ctl("models", "--json")["models"]}
    assert models["bad"]["state"] == "failed" and models["bad"]["reason"] == "no such checkpoint"
    assert "no such checkpoint" in n.ctl("models")


def test_requests_follow_a_stream(node):
    n = node(models={"demo": {"simulate_rate": 20}})
    with n.connect() as conn:
        conn.send(streams.chat_request("demo", 1, 1000))
        wait_for("it to be listed as running", lambda: "running" in n.ctl("requests"))
    wait_for("it to vanish", lambda: "running" not in n.ctl("requests"))


def test_router_stopped(node):
    n = node(supervisor={"hang_ms": 60000})
    os.kill(n.router_pid(), SIGSTOP)
    for command in COMMANDS:
        assert n.ctl(command, "--json") is not None
    os.kill(n.router_pid(), SIGCONT)


def test_everything_dead(node):
    n = node(models={"demo": {"workers": 2}})
    n.chat(max_tokens=3)
    n.leaves_segment = True
    for pid in [n.process.pid, n.router_pid(), *n.worker_pids().values()]:
        os.kill(pid, SIGKILL)
    n.process.wait()
    for command in COMMANDS:
        assert n.ctl(command, "--json") is not None
    status = n.ctl("status", "--json")
    assert status["is_alive"] is False and status["totals"]["completion_tokens"] == 3
    assert n.process.pid == status["supervisor_pid"]


def test_no_such_instance(make_node):
    n = make_node()
    done = n.ctl("status", check=False)
    assert done.returncode == 1 and n.instance in done.stderr and not done.stdout


def test_unknown_command_and_option(make_node):
    n = make_node()
    assert n.ctl("stauts", check=False).returncode == 2
    assert "status" in n.ctl("stauts", check=False).stderr
    assert n.ctl("status", "--jsno", check=False).returncode == 2


def test_segment_of_another_program(make_node, tmp_path):
    """Not a segment of ours: a reason, never a crash."""
    n = make_node()
    path = f"/dev/shm/cortex.{n.instance}"
    n.leaves_segment = True
    for content in (b"", b"x" * 100, os.urandom(1 << 20)):
        with open(path, "wb") as file:
            file.write(content)
        for command in COMMANDS:
            done = n.ctl(command, check=False)
            assert 0 < done.returncode < 128 and n.instance in done.stderr, (command, done)


def test_damaged_segments(node):
    """Bytes of a live segment changed at random: text or a refusal, never a crash."""
    n = node()
    n.chat(max_tokens=3)
    good = open(f"/dev/shm/cortex.{n.instance}", "rb").read()
    random.seed(5)
    instance, n.instance = n.instance, n.instance + "x"
    try:
        for _ in range(60):
            data = bytearray(good)
            for _ in range(random.choice((1, 10, 1000))):
                data[random.randrange(min(len(data), random.choice((128, 40000, len(data)))))] = \
                    random.randrange(256)
            with open(f"/dev/shm/cortex.{n.instance}", "wb") as file:
                file.write(data[:random.choice((len(data), random.randrange(len(data))))])
            for command in COMMANDS:
                done = n.ctl(command, "--json", check=False)
                assert 0 <= done.returncode < 128, (command, done)
                if done.returncode == 0:
                    read_json(done.stdout)
    finally:
        os.unlink(f"/dev/shm/cortex.{n.instance}")
        n.instance = instance
