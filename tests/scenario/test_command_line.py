"""`cortex`: its commands, models of the command line, pages."""
import re
import subprocess

import pytest

from node import BIN_DIR
from supervisor_util import fake, make_fake  # noqa: F401
from test_supervisor_life import reload

COMMANDS = ["serve", "check-config", "version", "help"]


def cortex(node, *arguments, **options):
    return subprocess.run([BIN_DIR / "cortex", *arguments], capture_output=True, text=True,
                          timeout=20, env=node.environment(), cwd=node.folder, **options)


@pytest.fixture
def place(make_node):
    """A node that is never started: its folder and environment."""
    return make_node()


def test_every_command_has_a_page(place):
    listed = cortex(place, "help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        page = cortex(place, "help", name)
        assert page.returncode == 0 and page.stdout.startswith(f"cortex {name}: "), page
        assert page.stdout == cortex(place, name, "--help").stdout
    # Every option that a usage line speaks of is explained below it.
    for name in COMMANDS:
        page = cortex(place, "help", name).stdout
        usage = page[page.index("usage:"):].splitlines()[0]
        for option in re.findall(r"(?<!\w)--?[a-z]+", usage):
            assert re.search(rf"^  (-c, )?{option}\b", page, re.M), (option, page)


def test_wrong_command_lines(place):
    for arguments, text in [
        ((), "usage: cortex COMMAND"),
        (("srve",), 'did you mean "serve"?'),
        (("serve", "x"), "too many arguments"),
        (("serve", "--reference"), "unknown option"),
        (("serve", "-c"), "its value is missing"),
        (("version", "--model", "x"), "unknown option"),
        (("help", "nonsense"), 'unknown command "nonsense"'),
        (("serve", "--model", "nowhere"), "--model: nowhere: No such file or directory"),
        (("check-config", "--listen", "nonsense"), "gateway.listen"),
    ]:
        done = cortex(place, *arguments)
        assert done.returncode == 100, (arguments, done)
        assert text in done.stdout + done.stderr, (arguments, done)


def models_in(text):
    return dict(re.findall(r'^\[model "(.*)"\]\n(?:.*\n)*?path =(.*)\n', text, re.M))


def test_models_of_the_command_line(place):
    """Without a file, and beside one."""
    for name in ("qwen", "other"):
        (place.folder / name).mkdir()
    found = models_in(cortex(place, "check-config", "--model", "qwen", "--model",
                             "o/t=other").stdout)
    assert found == {"qwen": f" {place.folder}/qwen", "o/t": f" {place.folder}/other"}
    place.write_config()
    found = models_in(cortex(place, "check-config", "-c", place.config_path, "--model",
                             "qwen").stdout)
    assert found == {"demo": "", "qwen": f" {place.folder}/qwen"}
    done = cortex(place, "check-config", "-c", place.config_path, "--model", "demo=qwen")
    assert done.returncode == 100 and '[model "demo"] is there already' in done.stderr, done


def test_a_hub_snapshot_is_called_as_on_the_hub(place):
    path = place.folder / "hub" / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc123"
    path.mkdir(parents=True)
    found = models_in(cortex(place, "check-config", "--model", path).stdout)
    assert found == {"Qwen/Qwen3-0.6B": f" {path}"}


def test_served_and_kept_by_a_reload(make_fake, tmp_path):
    """Models and address of the command line, with a file; SIGHUP changes neither."""
    (tmp_path / "more").mkdir()
    n = make_fake()
    n.spawn(["--model", "more", "--listen", "127.0.0.1:0"], cwd=tmp_path)
    n.wait_log("ready", tag="system")
    n.wait_linked(2)
    listen = n.segment().records("gateway")[0]["listen"]
    assert listen.startswith("127.0.0.1:") and listen != f"127.0.0.1:{n.port}"
    assert f"client API on {listen}" in n.log()
    pids = n.worker_pids()
    reload(n)
    reload(n, {'model "third"': {"simulate": "yes"}})
    n.wait_linked(3)
    assert {slot: pid for slot, pid in n.worker_pids().items() if slot in pids} == pids
    names = [row["name"] for row in n.segment().records("model")[:4]]
    assert names == ["demo", "more", "third", ""]
    assert n.segment().records("gateway")[0]["listen"] == listen


def test_where_it_listens_is_in_the_segment(fake):
    n = fake()
    assert n.segment().records("gateway") == [
        {"listen": f"127.0.0.1:{n.port}", "metrics_listen": f"127.0.0.1:{n.metrics_port}"}]
