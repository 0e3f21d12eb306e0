#!/usr/bin/env python3
"""Checks of the source tree itself.

check_tree.py includes            dependency directions and the places of foreign headers
check_tree.py paths               no path of one machine in a tracked file
check_tree.py docs                links and commands in the Markdown pages point at something
check_tree.py reference BIN_DIR   docs/reference says what the programs say
check_tree.py update BIN_DIR      write docs/reference from the programs
"""
import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Folder -> folders whose headers it may include.
ALLOWED = {
    "base": {"base"},
    "shm": {"base", "shm"},
    "kernels": {"kernels"},
    "supervisor": {"base", "shm", "supervisor"},
    "router": {"base", "shm", "router"},
    "worker": {"base", "shm", "kernels", "worker"},
    "tools": {"base", "shm", "kernels", "tools"},
    "tests": {"base", "shm", "kernels", "supervisor", "router", "worker", "tools", "tests"},
}
# What a file may include beyond its folder's row.
EXCEPTIONS = {
    "tools/bench/*": {"worker/sim/words.h"},  # it knows the expected words
    "tools/bench/engine.c": {"worker/io/root.h", "worker/io/safetensors.h",
                             "worker/model/config.h", "worker/model/forward.h",
                             "worker/model/weights.h"},  # it measures them
    "tools/bench/grammar.c": {"worker/text/grammar.h"},
    "tools/bench/tokenizer.c": {"worker/text/tokenizer.h"},
    "tools/bench/grammar.c": {"worker/text/grammar.h"},
}
# Foreign headers -> the files that may see them.
FOREIGN = {
    "event2/*": ["router/*", "tests/unit/dispatch_test.c", "tools/bench/echo.c"],
    "http_parser.h": ["router/http/*", "tests/fuzz/*"],  # the fuzzers compare with it
    "json-c/*": ["base/json.c"],
    "ini.h": ["base/config_parse.c"],
    "openssl/*": ["base/hash.c", "router/http/tls.[ch]"],
    "xxhash.h": ["base/hash.c"],
    "systemd/*": ["supervisor/notify.c"],
    "liburing.h": ["worker/io/reader_uring.c"],
    "llama.h": ["tools/bench/llama_peer.c"],
    "ggml-backend.h": ["tools/bench/llama_peer.c"],
    "pcre2.h": ["worker/text/regex.c"],
    "utf8proc.h": ["worker/text/unicode.c"],
    "curl/*": ["tools/chat/client.c"],
    "cmocka.h": ["tests/*"],
}
# Of the C library and the kernel.
SYSTEM = re.compile(
    r"^(sys|linux|netinet|arpa|net|bits|asm)/\w+\.h$"
    r"|^(assert|complex|ctype|dirent|dlfcn|elf|endian|err|errno|execinfo|fcntl|fenv|float|ftw|getopt"
    r"|glob|grp|inttypes|iso646|libgen|limits|link|locale|malloc|math|netdb|poll|pthread|pwd|sched"
    r"|semaphore|setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib"
    r"|stdnoreturn|string|strings|syslog|termios|threads|time|uchar|ucontext|unistd|wchar|wctype"
    r"|byteswap|immintrin|nmmintrin|arm_acle|arm_neon)\.h$"
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def tracked(*patterns):
    out = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, check=True, capture_output=True).stdout
    return sorted(name for name in out.decode().split("\0") if name and (ROOT / name).is_file())


def matches(name, patterns):
    return any(fnmatch.fnmatch(name, p) for p in patterns)


def check_include(name, kind, header):
    """The complaint about one include, or None."""
    if kind == "<":
        if SYSTEM.match(header):
            return None
        for pattern, places in FOREIGN.items():
            if fnmatch.fnmatch(header, pattern):
                return None if matches(name, places) else f"<{header}> belongs in {places}"
        return f"<{header}> is not in the table of foreign headers"
    if any(matches(name, [p]) and header in extra for p, extra in EXCEPTIONS.items()):
        return None
    if not (ROOT / header).is_file():
        return f'"{header}" does not exist seen from the root of the tree'
    folder = name.split("/")[0]
    if header.split("/")[0] not in ALLOWED.get(folder, set()):
        return f'"{header}": {folder}/ may include only {sorted(ALLOWED.get(folder, set()))}'
    return None


def check_includes():
    for name in tracked("*.c", "*.h"):
        for kind, header in INCLUDE.findall((ROOT / name).read_text()):
            complaint = check_include(name, kind, header)
            if complaint:
                yield f"{name}: {complaint}"


# Where people and machines keep their files; written so that this line does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work|opt|mnt)/[\w.-]+")


def check_paths():
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" in data or name.startswith("tests/fuzz/corpus/") or name == "LICENSE":
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            found = MACHINE_PATH.search(line)
            if found:
                yield f"{name}:{number}: a path of one machine: {found.group()}"


LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
BUILT = re.compile(r"^build/\w+/bin/(cortex|cortexctl|cortex-router|cortex-worker|streams)$")


def commands(text):
    """First words of the lines in sh blocks: what a reader would type."""
    for language, body in FENCE.findall(text):
        if language not in ("sh", "bash"):
            continue
        for line in re.sub(r"\\\n", " ", body).splitlines():
            words = line.split("#")[0].split()
            if words:
                yield words[0]


def check_docs():
    for name in tracked("*.md"):
        text = (ROOT / name).read_text()
        for link in LINK.findall(text):
            if "://" not in link and not ((ROOT / name).parent / link).exists():
                yield f"{name}: link to {link}, which does not exist"
        for word in commands(text):
            if "/" in word and not BUILT.match(word) and not os.access(ROOT / word, os.X_OK):
                yield f"{name}: command {word}, which does not exist"


# Page -> the command that prints it.
REFERENCE = {
    "docs/reference/configuration.md": ["cortex", "check-config", "--reference"],
    "docs/reference/counters.md": ["cortexctl", "counters", "--reference"],
}


def generate(bin_dir, command):
    program = Path(bin_dir) / command[0]
    return subprocess.run([program, *command[1:]], check=True, capture_output=True).stdout


def check_reference(bin_dir):
    for page, command in REFERENCE.items():
        said = generate(bin_dir, command)
        path = ROOT / page
        if not path.is_file() or path.read_bytes() != said:
            yield (f"{page} is not what `{' '.join(command)}` prints; "
                   f"tests/tree/check_tree.py update {bin_dir}")


def update_reference(bin_dir):
    for page, command in REFERENCE.items():
        (ROOT / page).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / page).write_bytes(generate(bin_dir, command))
    return []


CHECKS = {
    "includes": check_includes, "paths": check_paths, "docs": check_docs,
    "reference": check_reference, "update": update_reference,
}


def main(args):
    if not args or args[0] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 100
    complaints = list(CHECKS[args[0]](*args[1:]))
    print("\n".join(complaints) if complaints else f"{args[0]}: nothing to complain about")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
