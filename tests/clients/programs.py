"""The programs that people use Cortex with, as tools/install clients puts them here: how each is told
where its server is, and a conversation in which it looks at a file, edits it and says so."""
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripted import Answer, Call

CACHE = Path(os.environ.get("CORTEX_TEST_CACHE") or Path(
    os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cortex-test")
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
KEY = "sk-test-client"

FILE = "greeting.txt"
WRONG, RIGHT = "Hello, wrld.\n", "Hello, world.\n"
TASK = f"There is a typing mistake in {FILE}. Mend it."
DONE = "Mended: one letter was missing."


def conversation(look, edit, edited):
    """The answers of the model. look and edit are the calls it makes, edited is what a client says only
    once the edit is done."""
    return [
        Answer(DONE, match=edited),
        Answer("One letter is missing.", "The word should be a planet.", edit, match="wrld"),
        Answer("I look at it first.", "A file is to be read.", look, match=TASK),
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

    def mend(self, folder, url):
        """Run it in folder/work; the file must be mended then, and the model's last words be shown."""
        done = self.run(folder, url)
        assert done.returncode == 0, done
        assert (folder / "work" / FILE).read_text() == RIGHT, done
        assert self.said(done) == DONE, done

    def run(self, folder, url, timeout=60):
        """Give it the task in folder/work, away from the caller's home and settings. No proxy answers
        on port 9: what it would send anywhere but here fails at once."""
        home, work = folder / "home", folder / "work"
        for path in (home, work):
            path.mkdir(parents=True, exist_ok=True)
        (work / FILE).write_text(WRONG)
        arguments, env = self.prepare(home, url)
        nowhere = "http://127.0.0.1:9"
        return subprocess.run(
            [self.path, *arguments], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb",
                 "TMPDIR": str(home), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere,
                 "NO_PROXY": "127.0.0.1,localhost", **env})


class ClaudeCode(Program):
    executable = f"@anthropic-ai/claude-code-linux-{MACHINE}/claude"

    def prepare(self, home, url):
        return (["-p", TASK, "--model", "demo", "--output-format", "json",
                 "--dangerously-skip-permissions"],
                {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY,
                 "CLAUDE_CONFIG_DIR": str(home / ".claude"), "IS_SANDBOX": "1",
                 "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
                 "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1"})

    def answers(self, work):
        path = str(work / FILE)
        return conversation(
            [Call("Read", {"file_path": path})],
            [Call("Edit", {"file_path": path, "old_string": "wrld", "new_string": "world"})],
            f"{path} has been updated")

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
        return (["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json",
                 TASK],
                {"CODEX_HOME": str(folder), "CORTEX_API_KEY": KEY})

    def answers(self, work):
        def run(line):
            if self.package == "codex-0.79.0":
                return [Call("shell", {"command": ["sh", "-c", line]})]
            return [Call("exec_command", {"cmd": line})]

        return conversation(run(f"cat {FILE}"), run(f"sed -i s/wrld/world/ {FILE}; cat {FILE}"),
                            RIGHT.strip())

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
        return (["run", "--format", "json", TASK],
                {**xdg, **{f"OPENCODE_DISABLE_{name}": "1" for name in (
                    "AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE")}})

    def answers(self, work):
        path = str(work / FILE)
        return conversation(
            [Call("read", {"filePath": path})],
            [Call("edit", {"filePath": path, "oldString": "wrld", "newString": "world"})],
            "Edit applied successfully")

    def said(self, done):
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [event["part"]["text"] for event in events if event["type"] == "text"][-1]


PROGRAMS = [
    ClaudeCode("claude-code-2.1.332", "messages"),
    Codex("codex-0.171.0", "responses"),
    Codex("codex-0.79.0", "chat", "chat"),
    OpenCode("opencode-1.18.33", "chat", "chat"),
    OpenCode("opencode-1.18.33", "messages", "messages"),
    OpenCode("opencode-1.18.33", "responses", "responses"),
]
