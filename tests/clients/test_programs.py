"""Claude Code, Codex and opencode, unchanged, mend a file: with a scripted server and with Cortex."""
import pytest

from capture import capture
from programs import MEND, PROGRAMS, TASKS
from recorded import all_requests, in_order

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.name)
def program(request):
    if not request.param.path:
        pytest.skip(f"{request.param.name} is not installed: tools/install clients")
    return request.param


def shape(value):
    """What stays the same from run to run: names and types."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_asks_as_recorded(program, task, tmp_path):
    """The program takes the scripted answers for real ones, and recorded/ is what it asks."""
    with capture(program.answers(task, tmp_path / "work")) as server:
        program.do(task, tmp_path, server.url)
    assert {request.path for request in server.requests} == {PATHS[program.dialect]}
    recorded = [request for request in all_requests()
                if (request.client, request.task) == (program.name, task.name)]
    assert [shape(request.body) for request in in_order(server.requests)] == [
        shape(request.body) for request in recorded]


def test_mends_with_cortex(program, cortex, tmp_path):
    n = cortex(program.answers(MEND, tmp_path / "work"))
    program.do(MEND, tmp_path, n.url)
    assert n.metrics()["cortex_request_errors_total"] == 0


def test_mends_with_a_worker_that_dies(program, cortex, tmp_path):
    """Silence before each answer, so that there are signs of life, and a worker that is killed in the
    middle of the first one: the program minds neither."""
    n = cortex(program.answers(MEND, tmp_path / "work"), model={
        "simulate_prefill_ms": 1500, "simulate_fault": "kill@token:4@once"})
    program.do(MEND, tmp_path, n.url)
    metrics = n.metrics()
    assert metrics["cortex_child_deaths_total"] == 1
    assert metrics["cortex_request_errors_total"] == 0


def test_prompt_too_long(program, cortex, tmp_path):
    """Each knows what it means, Claude Code by the words themselves."""
    if program.package.startswith("opencode"):
        pytest.skip("opencode makes the conversation shorter and asks again, without end")
    n = cortex(program.answers(MEND, tmp_path / "work"), model={"limit_context": 1000})
    done = program.run(MEND, tmp_path, n.url)
    assert done.returncode != 0
    assert any(words in done.stdout for words in (
        "Prompt is too long", "prompt is too long: ", "context window")), done


def test_wrong_key(program, cortex, tmp_path):
    """Said, and the end."""
    n = cortex(program.answers(MEND, tmp_path / "work"), keys={"other": {"sha256": "0" * 64}})
    done = program.run(MEND, tmp_path, n.url)
    assert done.returncode != 0
    assert "401" in done.stdout, done


def test_every_program_is_recorded():
    assert {request.client for request in all_requests()} == {program.name for program in PROGRAMS}
