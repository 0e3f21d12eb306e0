"""SIGHUP and the circuit breaker, as clients see them; the supervisor's own rules are tested in
test_supervisor_*.py."""
from signal import SIGHUP

import http1
import streams
import words
from node import wait_for


def reload(n, counter="cortex_config_reloads_total"):
    before = n.metrics()[counter]
    n.write_config()
    n.signal(SIGHUP)
    wait_for("the reload", lambda: n.metrics()[counter] == before + 1)


def models_of(n):
    return [model["id"] for model in n.get("/v1/models").json()["data"]]


def test_models_come_and_go(node):
    n = node()
    n.sections['model "new"'] = dict(n.sections['model "demo"'])
    n.sections["alias"] = {"fast": "new"}
    reload(n)
    wait_for("the new model", lambda: models_of(n) == ["demo", "new", "fast"])
    n.wait_workers(2)
    assert n.chat("fast", seed=1).json()["choices"][0]["message"]["content"] == words.text(1, 16)
    del n.sections['model "demo"']
    reload(n)
    wait_for("one worker", lambda: len(n.worker_pids()) == 1)
    assert models_of(n) == ["new", "fast"]
    got = n.chat("demo")
    assert got.status == 404 and got.error()["code"] == "model_not_found"


def test_an_invalid_file_changes_nothing(node):
    n = node()
    good = n.sections["gateway"]["queue_depth"] = 10
    reload(n)
    n.sections["gateway"]["queue_depth"] = "many"
    reload(n, "cortex_config_reload_errors_total")
    line = n.log_lines()[-1]["text"]
    assert "queue_depth" in line and "many" in line and n.config_path.name in line
    assert n.chat().status == 200
    n.sections["gateway"]["queue_depth"] = good
    reload(n)


def test_streams_outlive_a_changed_model(node):
    """New workers take over; a stream on an old one ends there, with every byte."""
    n = node(models={"demo": {"workers": 2, "simulate_rate": 40}})
    old = set(n.worker_pids().values())
    n.models["demo"]["seats"] = 77

    async def change():
        n.sections['model "demo"']["seats"] = 77
        n.write_config()
        n.signal(SIGHUP)

    found = streams.run(n.address, [streams.chat_request("demo", seed, 80) for seed in range(20)],
                        disturb=change)
    assert [stream.text() for stream in found] == [words.text(seed, 80) for seed in range(20)]
    wait_for("new workers only", lambda: len(n.worker_pids()) == 2
             and not old & set(n.worker_pids().values()))
    assert n.metrics()["cortex_child_deaths_total"] == 0


def test_the_circuit_opens_and_closes(make_node):
    """A worker that cannot live: clients are told why; when its reason goes, it serves again."""
    n = make_node(models={"demo": {"simulate_fault": "segv@load"}},
                  supervisor={"fault_budget": 3, "circuit_open_ms": 500})
    n.start(workers=False)
    wait_for("the circuit", lambda: n.metrics()["cortex_circuit_opens_total"] >= 1)
    got = n.chat()
    assert got.status == 503 and int(got.field("retry-after")) >= 1, got
    assert n.get("/health").json()["status"] == "degraded"
    del n.sections['model "demo"']["simulate_fault"]
    n.write_config()
    n.signal(SIGHUP)
    n.wait_workers()
    assert n.chat(seed=1).json()["choices"][0]["message"]["content"] == words.text(1, 16)


def test_keys_change_at_once(node):
    n = node()
    with n.connect() as conn:  # on the same connection
        conn.send(http1.request_bytes("GET", "/v1/models"))
        assert conn.read_response().status == 200
        n.sections['key "k"'] = {"sha256": "ab" * 32}
        reload(n)
        conn.send(http1.request_bytes("GET", "/v1/models"))
        assert conn.read_response().status == 401
