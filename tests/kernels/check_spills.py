#!/usr/bin/env python3
"""check_spills.py [--table] REPORT...: registers, shared memory and spills of every kernel.

Reads what ptxas -v wrote for each object and target. A kernel that spills, or has a stack, fails; so
does a report without the kernels that belong into it. Exit code 0 or 1.
"""
import re
import sys
from pathlib import Path

# Object -> its kernels: what must be there, so that nothing escapes by a change of names.
KERNELS = {name: {f"{name}_kernel"} for name in (
    "conv1d", "gdn_norm", "gdn_rows", "gdn_step", "gdn_fold", "gdn_prepare", "gdn_join",
    "gdn_scan")} | {"api": {"probe_kernel"}}
ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
NAME = re.compile(r"\d((?:conv|gdn|probe)[a-z0-9_]*?_kernel)(I\w*?E)?E")


def entries(text):
    """(kernel, parameters, target, stack, spilled bytes, registers) of each entry function."""
    pieces = ENTRY.split(text)[1:]
    for mangled, target, rest in zip(pieces[::3], pieces[1::3], pieces[2::3]):
        stack, used, name = STACK.search(rest), USED.search(rest), NAME.search(mangled)
        if not (stack and used and name):
            raise ValueError(f"ptxas writes something else than expected about {mangled}")
        yield (name[1], name[2] or "", target, int(stack[1]), int(stack[2]) + int(stack[3]),
               int(used[1]))


def main(arguments):
    table = "--table" in arguments
    failed = 0
    for path in map(Path, (a for a in arguments if a != "--table")):
        text = path.read_text()
        rows = list(entries(text))
        if not len(rows) == len(STACK.findall(text)) == len(USED.findall(text)):
            raise ValueError(f"{path}: the lines of ptxas are not as many of each kind")
        missing = KERNELS[path.name.split(".")[0]] - {row[0] for row in rows}
        for name in missing:
            print(f"{path.name}: no {name} in it")
        failed += len(missing)
        for name, parameters, target, stack, spilled, registers in rows:
            bad = stack > 0 or spilled > 0
            failed += bad
            if table or bad:
                print(f"{name + parameters:40} {target:8} {registers:3} registers, "
                      f"{stack} bytes of stack, {spilled} spilled{'  FAILED' if bad else ''}")
    print(f"{failed} failed" if failed else "no kernel spills")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
