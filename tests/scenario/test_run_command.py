"""`cortex run`: questions and conversations, with a node that runs or with one of its own."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

import words
from node import BIN_DIR, ROOT, SLOWNESS, processes, wait_for
from terminal import Terminal

pytestmark = pytest.mark.sanitized

ANSWER = [{"pieces": [{"text": "Let me think.", "channel": "reasoning"}, "Hel", "lo\x1b[2J"]}]


@pytest.fixture
def chat(tmp_path):
    """chat(node, arguments...) -> the finished process; chat.terminal(...) -> a Terminal. Both ask the
    node by its configuration, unless it is None."""
    terminals = []

    class Chat:
        bin_dir = BIN_DIR

        def arguments(self, node, arguments):
            return [self.bin_dir / "cortex", "run", *(["-c", node.config_path] if node else []),
                    *arguments]

        def environment(self, node, env):
            base = {k: v for k, v in os.environ.items() if not k.startswith("CORTEX_")}
            for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
                base[name] = f"{base.get(name, '')}:log_path={tmp_path}/chat.sanitizer"
            return {**(node.environment() if node else base), **(env or {})}

        def popen(self, node, *arguments, env=None, stdin=subprocess.DEVNULL, **options):
            return subprocess.Popen(self.arguments(node, arguments), text=True, stdin=stdin,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=self.environment(node, env), start_new_session=True,
                                    **options)

        def __call__(self, node, *arguments, input=None, **options):
            process = self.popen(node, *arguments, **options,
                                 stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
            process.out, process.err = process.communicate(input, timeout=30 * SLOWNESS)
            return process

        def terminal(self, node, *arguments, env=None, cwd=None):
            terminals.append(Terminal(self.arguments(node, arguments),
                                      self.environment(node, env), cwd))
            return terminals[-1]

        def close(self):
            while terminals:
                terminals.pop().close()

    made = Chat()
    yield made
    made.close()
    left = list(tmp_path.glob("chat.sanitizer*"))
    assert left == [], "\n".join(path.read_text() for path in left)


def scripted(node, answers, **keys):
    """A node whose model says what is written."""
    def make(tmp_path):
        path = tmp_path / "script.json"
        path.write_text(json.dumps(answers))
        return node(models={"demo": {"simulate_script": path, **keys}})
    return make


# --- questions ---

def test_a_question_in_a_pipe(node, chat):
    n = node()
    done = chat(n, "demo", "Hello", "--seed", "7", "--max-tokens", "20")
    assert (done.returncode, done.out, done.err) == (0, words.text(7, 20) + "\n", "")


def test_the_question_comes_through_standard_input(node, chat, tmp_path):
    n = scripted(node, [{"match": "line two", "pieces": ["both lines"]}])(tmp_path)
    done = chat(n, "demo", input="line one\nline two\n")
    assert (done.returncode, done.out) == (0, "both lines\n")
    done = chat(n, "demo", input="")
    assert done.returncode == 100 and "expected a prompt" in done.err and done.out == ""


def test_what_the_options_ask_for(node, chat, tmp_path):
    n = scripted(node, [{"match": "pirate", "pieces": ["Arr"]}, {"pieces": ["Good ", "day"]}])(
        tmp_path)
    assert chat(n, "demo", "Hi").out == "Good day\n"
    assert chat(n, "demo", "Hi", "--system", "you are a pirate").out == "Arr\n"
    assert chat(n, "demo", "Hi", "--max-tokens", "1").out == "Good \n"
    assert chat(n, "demo", "Hi", "--temperature", "0.5", "--no-think").out == "Good day\n"


def test_reasoning_is_for_terminals(node, chat, tmp_path):
    """And a terminal gets nothing that commands it."""
    n = scripted(node, ANSWER)(tmp_path)
    assert chat(n, "demo", "Hi").out == "Hello\x1b[2J\n"
    terminal = chat.terminal(n, "demo", "Hi")
    assert terminal.wait_exit() == 0
    assert terminal.shown == "\x1b[2mLet me think.\n\x1b[0mHello?[2J\n"


def test_a_cut_answer_says_so_on_a_terminal(node, chat):
    n = node()
    terminal = chat.terminal(n, "demo", "Hi", "--max-tokens", "2")
    assert terminal.wait_exit() == 0
    assert "limit of tokens" in terminal.shown


@pytest.mark.parametrize("arguments, code, text", [
    (["dmeo", "Hi"], 100, 'did you mean "demo"?'),
    (["./demo", "Hi"], 100, "no such directory"),
    (["demo", "Hi", "more"], 100, "one PROMPT"),
    (["--url", "http://127.0.0.1:1"], 100, "no MODEL"),
    (["demo", "Hi", "--temperature", "3"], 100, "expected X: 0 to 2"),
    (["demo", "Hi", "--max-tokens", "1.5"], 100, "expected N"),
    (["demo", "Hi", "--seed", "-1"], 100, "expected N"),
    (["demo", "Hi", "--nonsense"], 100, "--nonsense: unknown option"),
    (["demo", "Hi", "--url", "ftp://x"], 100, "expected http://"),
    (["demo", "Hi", "--url", "http://127.0.0.1:1"], 111, "nobody answers at http://127.0.0.1:1"),
    (["demo", "Hi", "--key-file", "/nowhere"], 100, "/nowhere"),
])
def test_what_goes_wrong_is_one_sentence(node, chat, arguments, code, text):
    n = node()
    done = chat(n, *arguments)
    assert done.returncode == code and done.out == "", (done.returncode, done.out, done.err)
    assert text in done.err and done.err.startswith("cortex: ") and done.err.count("\n") == 1


def test_its_page(chat):
    done = chat(None, "--help")
    assert done.returncode == 0 and done.out.startswith("cortex run: ")
    page = subprocess.run([BIN_DIR / "cortex", "help", "run"], capture_output=True, text=True)
    assert page.stdout == done.out


def test_a_model_that_has_failed(make_node, chat):
    n = make_node(models={"demo": {"simulate_fault": 'refuse:"no such checkpoint"'}})
    n.start(workers=False)
    wait_for("the refusal", lambda: "failed" in n.ctl("models"))
    done = chat(n, "demo", "Hi")
    assert done.returncode == 111 and "no such checkpoint" in done.err, done.err


def test_a_key(node, chat, tmp_path):
    key = "sk-" + "5" * 64
    n = node(keys={"k": {"sha256": subprocess.run(
        ["sha256sum"], input=key, capture_output=True, text=True).stdout.split()[0]}})
    (tmp_path / "key").write_text(key + "\n")
    done = chat(n, "demo", "Hi")
    assert done.returncode == 100 and "key" in done.err
    done = chat(n, "demo", "Hi", "--key-file", tmp_path / "key", "--seed", "1", "--max-tokens", "3")
    assert done.returncode == 0 and done.out == words.text(1, 3) + "\n", done.err


def test_over_tls(make_node, chat, certificate):
    """The certificate of the configuration is what the node is known by."""
    cert, key = certificate
    n = make_node(gateway={"tls_cert": cert, "tls_key": key}, scheme="https").spawn()
    wait_for("the node", lambda: '"ready"' in n.log())
    n.wait_workers()
    done = chat(n, "demo", "Hi", "--seed", "1", "--max-tokens", "3")
    assert done.returncode == 0 and done.out == words.text(1, 3) + "\n", done.err
    done = chat(None, "demo", "Hi", "--url", n.url)
    assert done.returncode == 111 and "certificate" in done.err, done.err


def test_proxies_are_not_asked(node, chat):
    n = node()
    done = chat(n, "demo", "Hi", "--max-tokens", "2",
                env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})
    assert done.returncode == 0, done.err


def test_a_port_that_the_kernel_chose(make_node, chat):
    n = make_node(gateway={"listen": "127.0.0.1:0"})
    n.spawn()
    wait_for("the node", lambda: "ready" in n.log() and n.ctl("status", check=False).returncode == 0)
    wait_for("the model", lambda: n.ctl("models", "--json")["models"][0]["state"] == "ready")
    assert chat(n, "demo", "Hi", "--max-tokens", "2").returncode == 0
    n.stop()
    done = chat(n, "demo", "Hi")
    assert done.returncode == 111 and "does not run" in done.err, done.err


def test_a_worker_dies_and_nobody_notices(node, chat):
    n = node(models={"demo": {"workers": 2, "simulate_rate": 100}})
    process = chat.popen(n, "demo", "Hi", "--seed", "3", "--max-tokens", "200")
    wait_for("the answer", lambda: n.metrics()["cortex_completion_tokens_total"] > 20)
    for slot in list(n.worker_pids()):
        n.kill_worker(slot)
    out, err = process.communicate(timeout=30 * SLOWNESS)
    assert (process.returncode, out, err) == (0, words.text(3, 200) + "\n", "")


def test_the_router_dies(node, chat):
    """What was said is shown; that it broke off is said."""
    n = node(models={"demo": {"simulate_rate": 100}})
    process = chat.popen(n, "demo", "Hi", "--seed", "3", "--max-tokens", "10000")
    wait_for("the answer", lambda: n.metrics()["cortex_completion_tokens_total"] > 20)
    os.kill(n.router_pid(), signal.SIGKILL)
    out, err = process.communicate(timeout=30 * SLOWNESS)
    assert process.returncode == 111 and err.startswith("cortex: ") and err.count("\n") == 1, err
    assert len(out) > 40 and words.text(3, 10000).startswith(out.rstrip("\n"))


def test_interrupted_like_any_program(node, chat):
    n = node(models={"demo": {"simulate_rate": 20}})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = chat.popen(n, "demo", "Hi")
        wait_for("the answer", lambda: n.metrics()["cortex_requests_open"] == 1)
        process.send_signal(number)
        out, err = process.communicate(timeout=10 * SLOWNESS)
        assert process.returncode == -number and err == ""
        wait_for("its end at the node", lambda: n.metrics()["cortex_requests_open"] == 0)


def test_nobody_reads_the_answer(node, chat):
    n = node(models={"demo": {"simulate_rate": 100}})
    process = chat.popen(n, "demo", "Hi")
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(10 * SLOWNESS) == -signal.SIGPIPE
    assert process.stderr.read() == ""
    wait_for("its end at the node", lambda: n.metrics()["cortex_requests_open"] == 0)


# --- conversations ---

MEMORY = [{"match": "Arr", "pieces": ["You said Arr"]},
          {"match": "first-answer", "pieces": ["I remember"]},
          {"match": "alpha", "pieces": ["first-", "answer"]},
          {"match": "pirate", "pieces": ["Arr"]},
          {"match": "/etc", "pieces": ["a path"]},
          {"pieces": ["never heard"]}]


def test_a_conversation(node, chat, tmp_path):
    n = scripted(node, MEMORY)(tmp_path)
    t = chat.terminal(n, "demo")
    t.wait("demo. /help tells more.\n>>> ")
    for line, answer in [("next", "never heard\n>>> "), ("alpha", "first-answer\n>>> "),
                         ("", ">>> "), ("next", "I remember\n>>> "),
                         ("/clear", "(a new conversation)\n>>> "), ("next", "never heard\n>>> "),
                         ("/system you are a pirate", "(from now on)\n>>> "),
                         ("next", "Arr\n>>> "), ("next", "You said Arr\n>>> "),
                         ("/system", "(no system text from now on)\n>>> "),
                         ("/clear", ">>> "), ("next", "never heard\n>>> "),
                         ("/claer", "did you mean /clear?)\n>>> "), ("/help", "/exit "),
                         ("//etc", "a path\n>>> ")]:
        t.type(line + "\n")
        t.wait(answer)
    t.type("/exit\n")
    assert t.wait_exit() == 0


def test_control_d_ends(node, chat):
    n = node()
    t = chat.terminal(n, "demo")
    t.wait(">>> ")
    t.type("\x04")
    assert t.wait_exit() == 0


def test_control_c_ends_the_answer_alone(node, chat, tmp_path):
    """What was said until then is part of the conversation."""
    n = scripted(node, [{"match": "first", "pieces": ["I remember"]},
                        {"pieces": ["first", {"text": " second", "delay_ms": 600000}]}])(tmp_path)
    t = chat.terminal(n, "demo")
    t.wait(">>> ")
    t.type("go\n")
    t.wait("first")
    t.type("\x03")
    t.wait("\n>>> ")
    wait_for("its end at the node", lambda: n.metrics()["cortex_requests_open"] == 0)
    t.type("half a line\x03")
    t.wait("\n>>> ")
    t.type("and\n")
    t.wait("I remember\n>>> ")
    t.type("/exit\n")
    assert t.wait_exit() == 0


def test_an_error_ends_no_conversation(make_node, chat):
    """The question that got no answer is forgotten, so that it can be asked again."""
    n = make_node(models={"demo": {"limit_context": 8}}).start()
    t = chat.terminal(n, "demo", "--max-tokens", "2")
    t.wait(">>> ")
    t.type("one two three four five six seven eight nine\n")
    t.wait("cortex: ")
    t.wait("\n>>> ")
    t.type("hi\n")
    t.wait("\n>>> ")
    assert n.metrics()["cortex_completion_tokens_total"] == 2
    t.type("\x04")
    assert t.wait_exit() == 0


def test_told_to_end(node, chat):
    n = node()
    t = chat.terminal(n, "demo")
    t.wait(">>> ")
    os.kill(t.pid, signal.SIGTERM)
    assert t.wait_exit() == -signal.SIGTERM


def test_a_long_conversation_leaves_nothing_behind(node, chat):
    n = node()
    t = chat.terminal(n, "demo", "--max-tokens", "3")

    def used():
        status = Path(f"/proc/{t.pid}/status").read_text()
        return (len(os.listdir(f"/proc/{t.pid}/fd")),
                int(re.search(r"VmRSS:\s+(\d+)", status).group(1)))

    t.wait(">>> ")
    before = None
    for i in range(150):
        t.type("/clear\n" if i % 10 == 9 else f"question {i}\n")
        t.wait("\n>>> ")
        if i == 20:
            before = used()
    after = used()
    assert after[0] == before[0] and after[1] <= before[1] + 2048 * SLOWNESS ** 4, (before, after)
    t.type("\x04")
    assert t.wait_exit() == 0


# --- a node of its own ---

@pytest.fixture
def own(chat, tmp_path):
    """chat whose own nodes are real but for the worker, which is a simulated one; and a model's
    directory. Afterwards nothing may be left."""
    chat.bin_dir = tmp_path / "bin"
    chat.bin_dir.mkdir()
    for name in ("cortex", "cortex-router", "cortex-chat"):
        shutil.copy(BIN_DIR / name, chat.bin_dir / name)
    worker = chat.bin_dir / "cortex-worker"
    worker.write_text(f'#!/bin/sh\nexec {BIN_DIR}/cortex-worker "$@" --simulate\n')
    worker.chmod(worker.stat().st_mode | stat.S_IXUSR)
    chat.model = tmp_path / "tiny"
    chat.model.mkdir()
    before = set(os.listdir("/dev/shm"))
    yield chat
    chat.close()
    wait_for("the end of all", lambda: not of_own(chat), 10)
    left = {name for name in set(os.listdir("/dev/shm")) - before if "cortex.run-" in name}
    assert left == set()


def delay_worker(chat):
    """It loads for a while."""
    worker = chat.bin_dir / "cortex-worker"
    worker.write_text("#!/bin/sh\nsleep 0.5\n" + worker.read_text().split("\n", 1)[1])


def of_own(chat):
    """Process ids of its nodes: all of them have this test's folder in their memory map."""
    found = []
    for pid, _, _, state, arguments in processes():
        try:
            path = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if state != "Z" and (path.startswith(str(chat.bin_dir)) or
                             any(str(chat.bin_dir) in a for a in arguments)):
            found.append(pid)
    return found


def test_a_node_of_its_own(own):
    done = own(None, own.model, "Hello", "--seed", "7", "--max-tokens", "20")
    assert (done.returncode, done.out, done.err) == (0, words.text(7, 20) + "\n", "")
    assert of_own(own) == []


@pytest.mark.parametrize("place", ["../share/cortex/models", "../../../models"])
def test_the_demo_model_when_none_is_named(chat, tmp_path, place):
    """It is found from the program: beside it when installed, in the tree when built there."""
    chat.bin_dir = tmp_path / "a" / "b" / "bin"
    chat.bin_dir.mkdir(parents=True)
    for program in BIN_DIR.iterdir():
        if program.is_file():
            shutil.copy(program, chat.bin_dir / program.name)
    done = chat(None, input="What is Cortex?")
    assert done.returncode == 100 and "the demo model is neither" in done.err, done.err
    models = chat.bin_dir / place
    models.mkdir(parents=True)
    shutil.copytree(ROOT / "models" / "demo", models / "demo")
    done = chat(None, "--temperature", "0", input="What is Cortex?")
    assert done.returncode == 0 and "service" in done.out, (done.out, done.err)


def test_the_users_node_is_another_one(own, node):
    """The environment that configures it does not move ours."""
    n = node()
    done = own(None, own.model, "Hello", "--max-tokens", "2",
               env={"CORTEX_INSTANCE__NAME": n.instance,
                    "CORTEX_GATEWAY__LISTEN": f"127.0.0.1:{n.port}",
                    "CORTEX_GATEWAY__METRICS_LISTEN": f"127.0.0.1:{n.metrics_port}",
                    "CORTEX_GATEWAY__TLS_CERT": "/x", "CORTEX_GATEWAY__TLS_KEY": "/x"})
    assert done.returncode == 0, done.err


def test_a_directory_with_an_equals_sign(own):
    strange = own.model.parent / "a=b"
    strange.mkdir()
    done = own(None, "a=b", "Hello", "--max-tokens", "2", cwd=strange.parent)
    assert done.returncode == 0, done.err


def test_a_conversation_with_a_node_of_its_own(own):
    """Its progress is shown; Ctrl-C is for the answer, not for the node."""
    delay_worker(own)
    t = own.terminal(None, "tiny", "--max-tokens", "500000", cwd=own.model.parent)
    t.wait("tiny. /help tells more.\n>>> ")
    assert "loading tiny" in t.shown
    for _ in range(3):
        t.type("go\n")
        t.wait(" ")
        t.type("\x03")
        t.wait("\n>>> ")
    t.type("\x04")
    assert t.wait_exit() == 0


def test_it_is_quiet_in_a_pipe(own):
    delay_worker(own)
    done = own(None, own.model, "Hello", "--max-tokens", "2")
    assert done.returncode == 0 and done.err == ""


def test_no_model_in_the_directory(chat, tmp_path):
    """The worker's own sentence."""
    (tmp_path / "empty").mkdir()
    done = chat(None, tmp_path / "empty", "Hello")
    assert done.returncode == 100 and done.err.startswith("cortex: empty: "), done.err
    assert done.err.count("\n") == 1 and done.out == ""


def test_a_node_that_cannot_start(own):
    (own.bin_dir / "cortex-worker").unlink()
    done = own(None, own.model, "Hello")
    assert done.returncode == 100, done
    assert "side by side" in done.err and done.err.count("\n") == 1, done.err


def test_the_node_dies(own):
    t = own.terminal(None, own.model)
    t.wait(">>> ")
    supervisor = next(pid for pid, _, _, _, a in processes()
                      if pid in of_own(own) and "serve" in a)
    os.kill(supervisor, signal.SIGKILL)
    t.wait("cortex: the node of our own has ended")
    assert t.wait_exit() == 111
    for path in Path("/dev/shm").glob(f"cortex.run-{t.pid}*"):
        path.unlink()  # a killed supervisor leaves it for cortexctl


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_the_node_starts(own, number):
    """Properly: with its node."""
    (own.bin_dir / "cortex-worker").write_text("#!/bin/sh\nexec sleep 600\n")
    process = own.popen(None, own.model, "Hello")
    wait_for("the node", lambda: len(of_own(own)) >= 3)
    process.send_signal(number)
    process.communicate(timeout=20 * SLOWNESS)
    assert process.returncode == -number


def test_killed(own):
    """Its node does not outlive it."""
    process = own.popen(None, own.model, "Hello", "--max-tokens", "500000")
    process.stdout.read(1)
    process.kill()
    process.communicate()
    wait_for("the end of its node", lambda: of_own(own) == [], 10)
