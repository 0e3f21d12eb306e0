"""The official SDKs for Node, unchanged; node/*.mjs has the cases, this file what they must find."""
import hashlib
import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

import streams
from conversation import CITY, HELLO, PERSON, THOUGHT, WEATHER
from node import SLOWNESS, wait_for
from programs import CACHE

CASES = Path(__file__).resolve().parent / "node"
SDK = CACHE / "sdk"
ROME = {"city": "Rome", "days": 1}


@pytest.fixture
def run(tmp_path):
    """run(file, case, server) -> what the case found."""
    if not (SDK / "installed.json").exists():
        pytest.skip("the SDKs for Node are not installed: tools/install clients")
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    # A module's packages are looked for beside it.
    folder = tmp_path / "node"
    shutil.copytree(CASES, folder)
    (folder / "node_modules").symlink_to(SDK / "node_modules")

    def run_case(file, case, server):
        done = subprocess.run(["node", "run.mjs", file, case, server.url], cwd=folder, text=True,
                              capture_output=True, timeout=60 * SLOWNESS)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    return run_case


# --- OpenAI ---

def test_chat(run, server):
    found = run("openai.mjs", "chat", server)
    assert found["text"] == HELLO and found["usage"]["total_tokens"] > 0


def test_chat_stream(run, server):
    found = run("openai.mjs", "chatStream", server)
    assert found["text"] == HELLO == "".join(found["deltas"]) and found["finish"] == "stop"


def test_chat_tools(run, server):
    assert run("openai.mjs", "runTools", server) == {"text": WEATHER, "asked": [CITY]}


def test_chat_parse(run, server):
    assert run("openai.mjs", "chatParse", server) == {"person": PERSON, "call": CITY}


def test_responses(run, server):
    found = run("openai.mjs", "responses", server)
    assert (found["text"], found["status"]) == (HELLO, "completed")


def test_responses_stream(run, server):
    found = run("openai.mjs", "responsesStream", server)
    assert found["calls"] == [CITY, ROME] and found["status"] == "completed"
    assert found["kinds"][0] == "response.created" and found["kinds"][-1] == "response.completed"


def test_responses_parse(run, server):
    assert run("openai.mjs", "responsesParse", server) == {"person": PERSON}


def test_responses_stored(run, cortex):
    assert run("openai.mjs", "responsesStored", cortex()) == {
        "text": "You are called Grace.", "found": "You are called Grace.", "gone": "NotFoundError"}


# --- Anthropic ---

def test_message(run, server):
    found = run("anthropic.mjs", "message", server)
    assert (found["text"], found["reason"]) == (HELLO, "end_turn")


def test_message_stream(run, server):
    found = run("anthropic.mjs", "messageStream", server)
    assert found["text"] == HELLO == "".join(found["deltas"]) and found["reason"] == "end_turn"


def test_message_thinking(run, server):
    assert run("anthropic.mjs", "thinking", server) == {
        "thought": THOUGHT, "signed": True, "again": "text"}


def test_message_streamed_calls(run, server):
    assert run("anthropic.mjs", "streamedCalls", server) == {
        "calls": [CITY, ROME], "reason": "tool_use"}


def test_message_tools(run, server):
    assert run("anthropic.mjs", "toolRunner", server) == {"text": WEATHER, "asked": [CITY]}


def test_message_parse(run, server):
    assert run("anthropic.mjs", "parse", server) == {"person": PERSON}


def test_message_count(run, server):
    found = run("anthropic.mjs", "count", server)
    assert found["counted"] == found["used"] > 0


# --- errors ---

KEYS = {"sdk": {"sha256": hashlib.sha256(b"none").hexdigest()}}


@pytest.mark.parametrize("file, case, expected", [
    ("openai.mjs", "unknownModel", ("NotFoundError", 404, "model_not_found")),
    ("openai.mjs", "badRequest", ("BadRequestError", 400, "invalid_request_error")),
    ("openai.mjs", "wrongKey", ("AuthenticationError", 401, "invalid_api_key")),
    ("openai.mjs", "unknownResponse", ("NotFoundError", 404, "invalid_request_error")),
    ("anthropic.mjs", "unknownModel", ("NotFoundError", 404, "not_found_error")),
    ("anthropic.mjs", "badRequest", ("BadRequestError", 400, "invalid_request_error")),
    ("anthropic.mjs", "wrongKey", ("AuthenticationError", 401, "authentication_error")),
])
def test_errors(run, cortex, file, case, expected):
    found = run(file, case, cortex(keys=KEYS))
    name, status, word = expected
    assert (found["error"], found["status"]) == (name, status), found
    assert word in (found.get("code"), found.get("type")), found
    assert found["request"], found


@pytest.mark.parametrize("file", ["openai.mjs", "anthropic.mjs"])
def test_retries_a_full_queue(run, node, file):
    """429 with retry-after: the SDK waits and comes again, and then there is room."""
    n = node(models={"demo": {"seats": 1, "simulate_rate": 10}}, gateway={"queue_depth": 0})
    holder = n.connect()
    holder.send(streams.chat_request("demo", 1, 10_000))
    wait_for("a busy worker", lambda: n.metrics()["cortex_model_in_flight"] == 1)
    assert run(file, "fullQueue", n)["error"] == "RateLimitError"
    found = []
    retry = threading.Thread(target=lambda: found.append(run(file, "retry", n)))
    retry.start()
    wait_for("a refusal", lambda: n.metrics()["cortex_requests_rejected_total"] >= 2, 20)
    holder.close()
    retry.join()
    assert found == [{"tokens": 3}]
