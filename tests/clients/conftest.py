"""Fixtures of the clients' tests: two servers that say the same."""
import json

import pytest

import conversation
from capture import capture


@pytest.fixture
def cortex(node, tmp_path):
    """cortex(answers=..., gateway=..., ...) -> a started Node whose model says what the script has."""
    def start(answers=conversation.ANSWERS, model=(), **options):
        script = tmp_path / "script.json"
        script.write_text(json.dumps(conversation.simulated(answers)))
        return node(models={"demo": {"simulate_script": script, **dict(model)}}, **options)

    return start


@pytest.fixture(params=["scripted", "cortex"])
def server(request):
    """Something with a .url. The scripted one shows that the test is right, Cortex is what is tested."""
    if request.param == "cortex":
        yield request.getfixturevalue("cortex")()
    else:
        with capture(conversation.ANSWERS) as scripted:
            yield scripted
