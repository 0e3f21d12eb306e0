"""Children that die, hang, or break the protocol; what the supervisor notices, when, and what it
tells the others. reliability.md §3."""
import resource
from signal import SIGCONT, SIGHUP, SIGKILL, SIGRTMIN, SIGSEGV, SIGSTOP, SIGUSR1, SIGUSR2
from statistics import median

import pytest

from node import SLOWNESS, wait_for
from supervisor_util import fake, kill, make_fake, now  # noqa: F401


def test_what_children_are_born_with(fake):
    """Standard descriptors, the fixed list, nothing else; no blocked signals; SIGHUP and SIGINT of
    the terminal ignored."""
    n = fake(models={"a/b": {"workers": 2}})
    # 100 is fake_child's own file of events.
    assert n.events("fds", "router")[0].text == "0,1,2,3,4,5,6,7,100"
    assert n.events("fds", "worker-1")[0].text == "0,1,2,3,4,5,100"
    assert {e.text for e in n.events("SigBlk")} == {"0" * 16}
    assert {e.text for e in n.events("SigIgn")} == {"0" * 15 + "3"}
    epoch = n.process_record("a/b#1")["epoch"]
    arguments = dict(n.session())[n.worker_pids()[1]]
    assert arguments == ["cortex-worker", "--epoch", str(epoch), "--slot", "1", "--model", "0",
                         "--simulate"]
    assert n.process_record("a/b#1")["pid"] == n.worker_pids()[1]


def test_without_metrics(fake):
    n = fake(gateway={"metrics_listen": ""})
    assert n.events("fds", "router")[0].text == "0,1,2,3,4,5,6,100"


def test_a_crash_is_noticed_at_once(fake):
    """From kill to LINK_DOWN at the router: 20 ms; to the next READY: 50 ms."""
    n = fake(models={"demo": {"workers": 2}})
    down, back = [], []
    for i in range(20):
        epoch = n.links()[i % 2]
        at = kill(n.worker_pids()[i % 2], SIGKILL)
        down.append(n.wait_event("link-down", "router", epoch=epoch).at - at)
        back.append(n.wait_event("ready", f"worker-{i % 2}", after=at).at - at)
        n.wait_linked(2)
    print(f"down {median(down) * 1e3:.2f} ms, at most {max(down) * 1e3:.2f}; "
          f"ready again {median(back) * 1e3:.2f} ms, at most {max(back) * 1e3:.2f}")
    assert median(down) <= 0.020 * SLOWNESS and max(down) <= 0.200 * SLOWNESS
    assert median(back) <= 0.050 * SLOWNESS and max(back) <= 0.500 * SLOWNESS


def test_kill_storm_opens_no_circuit(fake):
    """200 kills of a worker that had become ready: each restart immediate, no fault counted."""
    n = fake(supervisor={"fault_budget": 5, "backoff_max_ms": 30000})
    gaps = []
    for _ in range(200):
        at = kill(n.worker_pids()[0], SIGKILL)
        gaps.append(n.wait_event("ready", "worker-0", after=at).at - at)
        n.wait_linked(1)
    print(f"restarts: median {median(gaps) * 1e3:.2f} ms, at most {max(gaps) * 1e3:.2f} ms")
    assert median(gaps) <= 0.050 * SLOWNESS
    assert n.counter("circuit_opens") == 0
    assert n.counter("child_deaths") == 200
    assert n.process_record("demo#0")["faults"] == 0
    assert n.process_record("demo#0")["exit_class"] == "killed"


def test_killed_before_it_is_ready_waits(fake):
    """The kernel's memory killer while a model loads: a row of waits of its own, no fault."""
    n = fake(supervisor={"backoff_max_ms": 30000})
    n.order("worker", load_ms=60000)
    last = n.worker_pids()[0]
    for _ in range(3):
        kill(last, SIGKILL)
        last = wait_for("another worker", lambda: n.worker_pids().get(0) not in (None, last)
                        and n.worker_pids()[0])
        n.wait_event("started", "worker-0", n=1, after=0)
    kill(last, SIGKILL)
    n.wait_log("starts again in 0.")
    assert n.process_record("demo#0")["faults"] == 0
    n.order("worker")
    n.wait_linked(1)


def test_sigstop_of_a_worker(fake):
    n = fake(models={"demo": {"workers": 2}})
    epoch = n.links()[0]
    at = kill(n.worker_pids()[0], SIGSTOP)
    gap = n.wait_event("link-down", "router", epoch=epoch).at - at
    print(f"noticed after {gap:.3f} s")
    assert gap <= 1.25 * SLOWNESS
    assert "stopped by a signal" in n.wait_log("class stopped")
    n.wait_linked(2)
    assert n.counter("child_hangs") == 1
    assert n.process_record("demo#0")["faults"] == 0


def test_a_worker_that_spins(fake):
    n = fake()
    epoch = n.links()[0]
    at = kill(n.worker_pids()[0], SIGUSR1)
    assert n.wait_event("link-down", "router", epoch=epoch, **{"class": "hung"}).at - at \
        <= 1.25 * SLOWNESS
    assert "no progress for" in n.wait_log("class hung")
    n.wait_linked(1)


def test_sigstop_of_the_router(fake):
    """Watched in the same way; the workers are told and linked anew."""
    n = fake(models={"demo": {"workers": 2}})
    at = kill(n.router_pid(), SIGSTOP)
    assert n.wait_event("link-down", "worker-0").at - at <= 1.25 * SLOWNESS
    n.wait_event("link-down", "worker-1")
    n.wait_linked(2)
    assert len({e.pid for e in n.events("started", "worker-0")}) == 1


def test_router_killed_again_and_again(fake):
    """Back within 250 ms each time; the workers stay."""
    n = fake(models={"demo": {"workers": 3}}, supervisor={"backoff_max_ms": 30000})
    workers = n.worker_pids()
    gaps = []
    for _ in range(20):
        at = kill(n.router_pid(), SIGKILL)
        gaps.append(n.wait_event("ready", "router", after=at).at - at)
        n.wait_linked(3)
    print(f"back after {median(gaps) * 1e3:.2f} ms, at most {max(gaps) * 1e3:.2f} ms")
    assert max(gaps) <= 0.250 * SLOWNESS
    assert n.worker_pids() == workers


def test_router_that_faults_waits_a_second_at_most(fake):
    n = fake(supervisor={"backoff_max_ms": 30000})
    for _ in range(5):
        at = kill(n.router_pid(), SIGSEGV)
        gap = n.wait_event("ready", "router", after=at).at - at
    assert 0.7 <= gap <= 1.2 * SLOWNESS
    assert n.process_record("router")["state"] == "ready"
    n.wait_linked(1)


def test_loading_takes_as_long_as_it_takes(fake):
    """With progress: no limit but load_stall_s. hang_ms is for those that serve."""
    n = fake(orders={"worker": {"load_ms": 1500}}, supervisor={"hang_ms": 300, "load_stall_s": 1})
    assert n.counter("child_deaths") == 0


def test_loading_that_stalls(make_fake):
    n = make_fake(orders={"worker": {"load_ms": 60000, "load_stall": 1}},
                  supervisor={"load_stall_s": 1}).start(workers=False)
    n.wait_log("in phase loading")
    n.wait_log("class hung")
    assert n.model_record("demo")["state"] == "loading"


HELLOS = [  # orders of the worker, what the obituary says
    ({"hello": "epoch"}, "expected pid"),
    ({"hello": "pid"}, "expected pid"),
    ({"hello": "layout"}, "another version"),
    ({"hello": "twice"}, "hello twice"),
    ({"ready": "early"}, "ready before hello"),
    ({"seats": "0"}, "0 seats"),
    ({"seats": "20000"}, "20000 seats"),
    ({"die": "garbage"}, "7 bytes"),
    ({"die": "word"}, "the supervisor's word"),
    ({"die": "eof"}, "closed its control socket"),
]


@pytest.mark.parametrize("orders, text", HELLOS, ids=lambda v: str(v))
def test_wrong_words_end_the_incarnation(make_fake, orders, text):
    n = make_fake(orders={"worker": orders}, supervisor={"fault_budget": 1}).start(workers=False)
    assert text in n.wait_log("class violation")
    assert n.counter("protocol_violations") == 1
    n.wait_model("demo", "failed")
    assert n.process_record("demo#0")["state"] == "circuit-open"


def test_no_hello(make_fake):
    n = make_fake(orders={"worker": {"hello": "none", "ready": "never"}},
                  supervisor={"fault_budget": 1}).start(workers=False)
    assert "no hello within 10 s" in n.wait_log("class hung", timeout=13)


def test_a_link_that_is_not_mapped(make_fake):
    n = make_fake(orders={"worker": {"map": "never"}}).start(workers=False)
    assert "did not map the link of slot 0" in n.wait_log("class hung", timeout=13)


def test_a_router_that_does_not_read(make_fake):
    """Nothing waits for it: when its socket is full it is killed."""
    n = make_fake(orders={"router": {"die": "deaf"}}, models={}).start()
    n.order("router")
    for _ in range(2000):
        if "class hung" in n.log():
            break
        reloads = n.counter("config_reloads")
        n.signal(SIGHUP)
        wait_for("the reload", lambda: n.counter("config_reloads") > reloads)
    assert "it does not read its control socket" in n.wait_log("class hung")
    n.wait_event("ready", "router", n=2)


def test_violation_reported_by_the_router(fake):
    n = fake(models={"demo": {"workers": 2}})
    kill(n.router_pid(), SIGUSR2)
    n.wait_event("link-down", "router", n=2, **{"class": "violation"})
    assert "entry 7: seq 9, expected 7" in n.wait_log("class violation")
    n.wait_linked(2)
    assert n.counter("protocol_violations") == 2


def test_the_panic_slot_is_in_the_obituary(fake):
    n = fake()
    kill(n.worker_pids()[0], SIGUSR2)
    line = n.wait_log("class fault")
    assert "SIGABRT" in line and "CHECK(role[0] == 'x')" in line and "fake_child.c" in line
    assert "demo#0: pid " in line and "(slot 0)" in line
    n.wait_linked(1)
    kill(n.worker_pids()[0], SIGKILL)
    assert "CHECK" not in n.wait_log("class killed")  # the slot was cleared


def test_one_obituary_per_death(fake):
    n = fake()
    for _ in range(5):
        at = kill(n.worker_pids()[0], SIGKILL)
        n.wait_event("link-read", "worker-0", after=at)
    assert len([t for t in n.texts() if "class killed" in t]) == 5


EXITS = [("exit:0", "clean", 0), ("exit:111", "temporary", 0), ("exit:70", "fault", 1),
         ("exit:3", "fault", 1), ("segv", "fault", 1)]


@pytest.mark.parametrize("die, exit_class, faults", EXITS)
def test_exit_classes(make_fake, die, exit_class, faults):
    """Restarted: at once, then with back-off."""
    n = make_fake(orders={"worker": {"die": die}},
                  supervisor={"backoff_max_ms": 30000}).start(workers=False)
    assert "starts again at once" in n.wait_log(f"class {exit_class}")
    assert "starts again in 0.2" in n.wait_log(f"class {exit_class}", n=2) or \
        "starts again in 0.3" in n.wait_log(f"class {exit_class}", n=2)
    record = n.process_record("demo#0")
    assert record["exit_class"] == exit_class
    assert (record["faults"] > 0) == (faults > 0)


def test_the_circuit(make_fake):
    """Budget used up: open; the canary dies: open again; the canary proves: closed."""
    n = make_fake(orders={"worker": {"die": "segv", "die_at": "link"}, "router": {"canary": "ignore"}},
                  supervisor={"fault_budget": 3, "circuit_open_ms": 300}).start(workers=False)
    n.wait_log("circuit open for 0.3 s")
    assert [e.fields["canary"] for e in n.events("link-read", "worker-0")[:3]] == ["0"] * 3
    n.wait_model("demo", "failed")
    assert n.model_record("demo")["reason"] != ""
    assert n.model_record("demo")["retry_ns"] > 0
    n.wait_log("circuit open for", n=2)  # the canary died
    n.order("worker")
    wait_for("a canary that lives", lambda: [
        e for e in n.events("link-read", "worker-0", canary=1)
        if e.pid == n.worker_pids().get(0)])
    n.wait_model("demo", "ready")
    assert n.counter("circuit_opens") == 1
    assert n.process_record("demo#0")["faults"] >= 3
    kill(n.router_pid(), SIGRTMIN)
    n.wait_log("the canary came back; circuit closed")
    assert n.process_record("demo#0")["faults"] == 0
    kill(n.worker_pids()[0], SIGKILL)
    wait_for("an ordinary link", lambda: n.events("link-read", "worker-0")[-1].fields["canary"] == "0")


def test_an_unproved_canary_is_one_after_a_router_death_too(make_fake):
    n = make_fake(orders={"worker": {"die": "segv"}, "router": {"canary": "ignore"}},
                  supervisor={"fault_budget": 1, "circuit_open_ms": 200}).start(workers=False)
    n.wait_log("circuit open")
    n.order("worker")
    n.wait_event("link-read", "worker-0", canary=1)
    at = kill(n.router_pid(), SIGKILL)
    n.wait_event("link-read", "worker-0", canary=1, after=at)
    wait_for("the router's proof", lambda: (
        kill(n.router_pid(), SIGRTMIN), "circuit closed" in n.log())[1], every=0.1)


def test_faults_of_suspects_are_not_the_workers(fake):
    """While the router runs suspects there a fault costs nothing; its successor knows of none."""
    n = fake(supervisor={"fault_budget": 3, "backoff_max_ms": 30000})

    def fault(on_trial, router_dies=False):
        at = now()
        if on_trial:
            kill(n.router_pid(), SIGRTMIN + 2)
            n.wait_event("said", "router", word="trial", after=at)
        if router_dies:
            at = kill(n.router_pid(), SIGKILL)
            n.wait_event("link-read", "router", after=at)
        at = kill(n.router_pid(), SIGUSR2)
        n.wait_event("link-read", "router", after=at)

    for _ in range(5):
        fault(on_trial=True)
    assert n.process_record("demo#0")["faults"] == 0
    fault(on_trial=True, router_dies=True)
    assert n.process_record("demo#0")["faults"] == 1
    fault(on_trial=False)
    assert n.process_record("demo#0")["faults"] == 2


def test_refused_model(make_fake):
    """Permanent: not started again; the model says why; a reload tries again."""
    n = make_fake(models={"a": {}, "b": {}},
                  orders={"worker-0": {"refuse": "model.bin: 7 layers, expected 8"}})
    n.start(workers=False)
    record = n.wait_model("a", "failed")
    assert record["reason"] == "model.bin: 7 layers, expected 8"
    n.wait_model("b", "ready")
    assert n.process_record("a#0")["state"] == "failed"
    assert n.process_record("a#0")["exit_class"] == "permanent"
    n.order("worker-0")
    n.signal(SIGHUP)
    n.wait_model("a", "ready")


def test_router_that_refuses_ends_the_start(make_fake):
    n = make_fake(orders={"router": {"refuse": "tls_cert /x.pem: no such file"}}).spawn()
    assert n.wait_exit() == 100
    assert "tls_cert /x.pem: no such file" in n.wait_log("the router refuses")


def test_a_late_supervisor_kills_nobody(fake):
    """The whole machine stood still: after its own absence it gives everybody a fresh period."""
    n = fake(models={"demo": {"workers": 2}})
    children = [n.router_pid(), *n.worker_pids().values()]
    for pid in children:
        kill(pid, SIGSTOP)
    at = now()
    wait_for("ticks that saw their last progress", lambda: now() - at > 0.3)
    kill(n.process.pid, SIGSTOP)
    wait_for("two seconds", lambda: now() - at > 2)
    kill(n.process.pid, SIGCONT)
    wait_for("the late tick", lambda: n.counter("late_ticks") == 1)
    for pid in children:
        kill(pid, SIGCONT)
    at = now()
    wait_for("a second and a half more", lambda: now() - at > 1.5)
    assert n.counter("child_deaths") == 0


def test_out_of_descriptors(fake):
    """A worker that cannot be started is tried again; the others serve on."""
    n = fake(models={"demo": {"workers": 2}})
    limits = resource.prlimit(n.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(n.process.pid, resource.RLIMIT_NOFILE, (10, limits[1]))
    kill(n.worker_pids()[0], SIGKILL)
    assert "Too many open files" in n.wait_log("demo#0: not started")
    n.wait_log("demo#0: not started", n=2)
    assert len(n.texts()) < 100
    assert n.process_record("demo#0")["state"] == "backoff"
    assert n.model_record("demo")["workers_ready"] == 1
    resource.prlimit(n.process.pid, resource.RLIMIT_NOFILE, limits)
    n.wait_linked(2)


def test_too_few_descriptors_to_start(make_fake):
    """Said at once, and exact: with as many as it asks for, every worker is linked."""
    limited = lambda limit: ["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh"]
    n = make_fake(models={"demo": {"workers": 16}}, wrapper=limited(120)).spawn()
    assert n.wait_exit() == 100
    assert "the limit is 120, these workers need 157" in n.log()
    n.wrapper = limited(157)
    n.start()
    at = kill(n.router_pid(), SIGKILL)
    n.wait_event("link-read", "router", n=16, after=at)
