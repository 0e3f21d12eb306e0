"""What real clients ask (recorded/), sent as it is: Cortex takes all of it, and its streams are as their
specifications say. For where no client is installed, and for each request by itself."""
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

import http1
import scripted
from capture import capture
from dialects import PATHS, check_stream
from node import SLOWNESS
from programs import PROGRAMS, TASKS
from recorded import all_requests

ANSWERS = {(program.name, task.name): program.answers(task, Path("/scratch"))
           for program in PROGRAMS for task in TASKS}
IGNORED = {"authorization", "x-api-key"}


@pytest.fixture(params=["scripted", "cortex"])
def ask(request):
    """ask(recorded) -> the answer of a server with the client's script."""
    def send(url, recorded):
        query = f"?{urlencode(recorded.query)}" if recorded.query else ""
        headers = {k: v for k, v in recorded.headers.items() if k not in {*IGNORED, "content-type"}}
        host, port = url.removeprefix("http://").split(":")
        with http1.Connection((host, int(port)), timeout=20 * SLOWNESS) as conn:
            conn.send(http1.request_bytes(recorded.method, recorded.path + query, recorded.body, headers))
            return conn.read_response()

    def with_cortex(recorded):
        return send(request.getfixturevalue("cortex")(ANSWERS[recorded.client, recorded.task]).url, recorded)

    def with_script(recorded):
        with capture(ANSWERS[recorded.client, recorded.task]) as server:
            return send(server.url, recorded)

    return with_cortex if request.param == "cortex" else with_script


def has_picture(value):
    if isinstance(value, dict):
        return value.get("type") in ("image", "image_url", "input_image") or has_picture(
            list(value.values()))
    return isinstance(value, list) and any(map(has_picture, value))


@pytest.mark.parametrize("recorded", all_requests(), ids=str)
def test_answers(ask, recorded):
    response = ask(recorded)
    if has_picture(recorded.body) and response.status == 400:
        # A model without eyes: said, rather than the picture left out.
        assert any(word in response.error()["message"] for word in ("image", "only text")), response.body
        return
    assert response.status == 200, response.body
    assert response.field("content-type").startswith("text/event-stream")
    found = check_stream(PATHS[recorded.path], response.body)
    assert found.error is None, found.error
    expected = scripted.choose(ANSWERS[recorded.client, recorded.task], recorded.body)
    assert [(call.name, call.value()) for call in found.calls] == [
        (call.name, call.arguments) for call in expected.calls]
    if scripted.tool_names(recorded.body):
        assert found.text.strip() == expected.text
    assert found.usage, response.body


def test_recorded_requests_keep_their_size():
    """Long texts are filled up again: the largest request is what a coding agent really sends."""
    sizes = [len(json.dumps(recorded.body)) for recorded in all_requests()]
    assert 30_000 < max(sizes) < 200_000, sizes
