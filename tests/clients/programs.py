"""The programs that people use Cortex with, as tools/install clients puts them here: how each is told
where its server is, and a conversation in which it looks at a file, edits it and says so."""
import base64
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripted import Answer, Call

CACHE = Path(os.environ.get("CORTEX_TEST_CACHE") or Path(
    os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cortex-test")
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
KEY = "sk-test-client"

FILE, PICTURE = "greeting.txt", "picture.png"
WRONG, RIGHT = "Hello, wrld.\n", "Hello, world.\n"
# One red pixel.
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSu"
                       "QmCC")


@dataclass(frozen=True)
class Task:
    name: str
    text: str
    files: dict
    # The model's last words.
    done: str


MEND = Task("mend", f"There is a typing mistake in {FILE}. Mend it.", {FILE: WRONG.encode()},
            "Mended: one letter was missing.")
# Several calls at once, one of which fails and one of which gives a picture.
LOOK = Task("look", "What is in this folder?", {FILE: RIGHT.encode(), PICTURE: PNG},
            "A greeting and a picture.")
TASKS = [MEND, LOOK]


@dataclass(frozen=True)
class Calls:
    """How the model of a client reads, edits, fails and sees, and what says that the edit is done."""
    read: Call
    edit: Call
    fail: Call
    see: Call
    edited: str


def answers(task, calls):
    if task is MEND:
        return [
            Answer(task.done, match=calls.edited),
            Answer("One letter is missing.", "The word should be a planet.", [calls.edit], match="wrld"),
            Answer("I look at it first.", "A file is to be read.", [calls.read], match=task.text),
            Answer("Fine."),
        ]
    return [
        Answer(task.done, match=RIGHT.strip()),
        Answer("I look at all of it.", "Three things at once.", [calls.read, calls.fail, calls.see],
               match=task.text),
        Answer("Fine."),
    ]


@dataclass(frozen=True)
class Program:
    """A client with the package of tests/clients/npm it comes from and the dialect it speaks."""
    package: str
    dialect: str
    variant: str = ""

    @property
    def name(self):
        return self.package + (f"-{self.variant}" if self.variant else "")

    @property
    def path(self):
        """The program itself, or None where it is not installed."""
        folder = CACHE / self.package
        found = sorted(folder.glob(f"node_modules/{self.executable}")) if (
            folder / "installed.json").exists() else []
        return found[0] if found else None

    def prepare(self, home, url):
        """Write what it reads from its home; its arguments and environment."""
        raise NotImplementedError

    def answers(self, task, work):
        return answers(task, self.calls(work))

    def do(self, task, folder, url):
        """Run it in folder/work; the file must be right then, and the model's last words be shown."""
        done = self.run(task, folder, url)
        assert done.returncode == 0, done
        assert (folder / "work" / FILE).read_text() == RIGHT, done
        assert self.said(done) == task.done, done

    def run(self, task, folder, url, timeout=60):
        """Give it the task in folder/work, away from the caller's home and settings. No proxy answers
        on port 9: what it would send anywhere but here fails at once."""
        home, work = folder / "home", folder / "work"
        for path in (home, work):
            path.mkdir(parents=True, exist_ok=True)
        for name, data in task.files.items():
            (work / name).write_bytes(data)
        arguments, env = self.prepare(home, url)
        path = dict.fromkeys([str(Path(shutil.which("node") or "/usr/bin/node").parent), "/usr/bin", "/bin"])
        nowhere = "http://127.0.0.1:9"
        return subprocess.run(
            [self.path, *arguments, task.text], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, start_new_session=True,
            env={"PATH": ":".join(path), "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb",
                 "TMPDIR": str(home), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere,
                 "NO_PROXY": "127.0.0.1,localhost", **env})


class ClaudeCode(Program):
    @property
    def executable(self):
        return {"claude-code-2.0.77": "@anthropic-ai/claude-code/cli.js"}.get(
            self.package, f"@anthropic-ai/claude-code-linux-{MACHINE}/claude")

    def prepare(self, home, url):
        return (["-p", "--model", "demo", "--output-format", "json",
                 "--dangerously-skip-permissions"],
                {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY,
                 # What it uses for subagents and titles.
                 "ANTHROPIC_DEFAULT_SONNET_MODEL": "demo", "ANTHROPIC_DEFAULT_HAIKU_MODEL": "demo",
                 "MAX_THINKING_TOKENS": "2000", "CLAUDE_CONFIG_DIR": str(home / ".claude"), "IS_SANDBOX": "1",
                 "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
                 "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1"})

    def calls(self, work):
        path = str(work / FILE)
        return Calls(
            Call("Read", {"file_path": path}),
            Call("Edit", {"file_path": path, "old_string": "wrld", "new_string": "world"}),
            Call("Bash", {"command": "exit 3", "description": "Fail"}),
            Call("Read", {"file_path": str(work / PICTURE)}), f"{path} has been updated")

    def said(self, done):
        return json.loads(done.stdout)["result"]


class Codex(Program):
    @property
    def executable(self):
        return {"codex-0.79.0": f"@openai/codex/vendor/{platform.machine()}-*-linux-*/codex/codex"}.get(
            self.package, f"codex-linux-{MACHINE}/vendor/*/bin/codex")

    def prepare(self, home, url):
        folder = home / ".codex"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(f"""\
model = "demo"
model_provider = "cortex"
check_for_update_on_startup = false

[model_providers.cortex]
name = "Cortex"
base_url = "{url}/v1"
env_key = "CORTEX_API_KEY"
wire_api = "{self.dialect}"

[analytics]
enabled = false
""")
        return (["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json"],
                {"CODEX_HOME": str(folder), "CORTEX_API_KEY": KEY})

    def calls(self, work):
        def run(line):
            if self.package == "codex-0.79.0":
                return Call("shell", {"command": ["sh", "-c", line]})
            return Call("exec_command", {"cmd": line})

        return Calls(run(f"cat {FILE}"), run(f"sed -i s/wrld/world/ {FILE}; cat {FILE}"), run("exit 3"),
                     Call("view_image", {"path": str(work / PICTURE)}), RIGHT.strip())

    def said(self, done):
        items = [json.loads(line).get("item", {}) for line in done.stdout.splitlines()]
        return [item["text"] for item in items if item.get("type") == "agent_message"][-1]


class OpenCode(Program):
    executable = f"opencode-linux-{MACHINE}/bin/opencode"
    adapters = {"chat": "@ai-sdk/openai-compatible", "messages": "@ai-sdk/anthropic",
                "responses": "@ai-sdk/openai"}

    def prepare(self, home, url):
        folder = home / ".config" / "opencode"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "opencode.json").write_text(json.dumps({
            "autoupdate": False, "share": "disabled", "model": "cortex/demo",
            "permission": {"*": "allow"},
            "provider": {"cortex": {
                "npm": self.adapters[self.dialect], "name": "Cortex",
                "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
                "models": {"demo": {"name": "demo", "tool_call": True, "reasoning": True,
                                    "limit": {"context": 32768, "output": 4096}}}}}}))
        xdg = {f"XDG_{name}_HOME": str(home / f".{name.lower()}")
               for name in ("DATA", "CACHE", "STATE", "CONFIG")}
        return (["run", "--format", "json"],
                {**xdg, **{f"OPENCODE_DISABLE_{name}": "1" for name in (
                    "AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE")}})

    def calls(self, work):
        path = str(work / FILE)
        return Calls(
            Call("read", {"filePath": path}),
            Call("edit", {"filePath": path, "oldString": "wrld", "newString": "world"}),
            Call("bash", {"command": "exit 3", "description": "Fail"}),
            Call("read", {"filePath": str(work / PICTURE)}), "Edit applied successfully")

    def said(self, done):
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [event["part"]["text"] for event in events if event["type"] == "text"][-1]


PROGRAMS = [
    ClaudeCode("claude-code-2.1.332", "messages"),
    ClaudeCode("claude-code-2.0.77", "messages"),
    Codex("codex-0.171.0", "responses"),
    Codex("codex-0.79.0", "chat", "chat"),
    OpenCode("opencode-1.18.33", "chat", "chat"),
    OpenCode("opencode-1.18.33", "messages", "messages"),
    OpenCode("opencode-1.18.33", "responses", "responses"),
]
