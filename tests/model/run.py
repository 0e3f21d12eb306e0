#!/usr/bin/env python3
"""Check the protocol models with spin: the design has no error, every mutant has one.

One row of CASES per exploration: spin -a, gcc, the generated verifier in a folder of its own.
Exit status: 0 all as expected, 1 a row is not, 2 wrong arguments, 77 spin or gcc is missing.
"""

import argparse
import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEPTH = 100_000
MEMORY_MB = 1900
LIMIT_S = 120

# What an exploration may end with. A mutant must fail in the way it is meant to.
CLEAN, ASSERT, DEADLOCK, CYCLE = "clean", "assertion", "deadlock", "cycle"
ERROR_TEXT = {
    "assertion violated": ASSERT,
    "invalid end state": DEADLOCK,
    "acceptance cycle": CYCLE,
}

Case = collections.namedtuple("Case", "model defines expect ltl fair collapse")


def case(model, defines, expect, ltl=None, fair=False, collapse=False):
    """defines: names, with a value perhaps, for -D. ltl: the property to check instead of
    assertions and deadlocks (spin looks for those only in runs without one); fair: under weak
    fairness; collapse: less memory, more time."""
    return Case(model, tuple(defines.split()), expect, ltl, fair, collapse)


CASES = [
    case("ring", "", CLEAN, collapse=True),
    case("ring", "LATE N=2", CLEAN),
    case("ring", "CRASHES=1", CLEAN, ltl="finishes"),
    case("ring", "NOREAP", ASSERT),
    case("ring", "BLIND", ASSERT),
    case("ring", "EARLYTAIL", ASSERT),
    case("ring", "HOSTILE", ASSERT),
    case("ring", "SHARED NORESET", ASSERT),
    case("ring", "SHARED LATE", ASSERT),

    case("wake", "", CLEAN),
    case("wake", "CRASH", CLEAN),
    case("wake", "", CLEAN, ltl="no_sleep"),
    case("wake", "CRASH", CLEAN, ltl="no_sleep"),
    case("wake", "NOFENCE_TAIL", DEADLOCK),
    case("wake", "NOFENCE_HEAD", DEADLOCK),
    case("wake", "NOFENCE_SLEEP", DEADLOCK),
    case("wake", "NORECHECK", DEADLOCK),
    case("wake", "LATECLEAR", DEADLOCK),
    case("wake", "NODATA", DEADLOCK),
    case("wake", "NOSPACE", DEADLOCK),
    case("wake", "ONEBIT", DEADLOCK),
    case("wake", "BLOCKING", DEADLOCK),
    case("wake", "NORELEASE", ASSERT),
    case("wake", "NOACQUIRE", ASSERT),
    case("wake", "CRASH NODEADMSG", DEADLOCK),

    case("seq", "", CLEAN),
    case("seq", "", CLEAN, ltl="ends", fair=True),
    case("seq", "PLUSONE", ASSERT),
    case("seq", "NOFENCE", ASSERT),
    case("seq", "NORELEASE", ASSERT),
    case("seq", "NORECHECK", ASSERT),
    case("seq", "EARLYCHECK", ASSERT),
    case("seq", "UNBOUNDED", CYCLE, ltl="ends", fair=True),

    case("slot", "", CLEAN),
    case("slot", "", CLEAN, ltl="ends"),
    case("slot", "FREEATONCE", ASSERT),
    case("slot", "NOGEN", ASSERT),
    case("slot", "LATEFREE", ASSERT),
    case("slot", "NOANSWER", DEADLOCK),
    case("slot", "DOUBLE", ASSERT),
    case("slot", "NODEADFREE", DEADLOCK),

    case("credit", "", CLEAN),
    case("credit", "CRASHES=0", CLEAN, ltl="ends"),
    case("credit", "NOTIMER", CLEAN, ltl="other"),
    case("credit", "NOCREDIT", ASSERT),
    case("credit", "ACKEARLY", ASSERT),
    case("credit", "FULLGRANT", ASSERT),
    case("credit", "DROPCREDIT", DEADLOCK),
    case("credit", "NOTIMER POOL CRASHES=0", CYCLE, ltl="other"),
    case("credit", "NOTIMER HOLD CRASHES=0", CYCLE, ltl="other"),

    case("rebind", "", CLEAN),
    case("rebind", "CRASHES=1 ANYLEAVES", CLEAN),
    case("rebind", "CRASHES=1", CLEAN, ltl="ends"),
    case("rebind", "NOREAP", ASSERT),
    case("rebind", "TWICE", ASSERT),
    case("rebind", "BLIND", ASSERT),
    case("rebind", "ONEJOURNAL", ASSERT),
    case("rebind", "KEEPRING", ASSERT),
    case("rebind", "LOSTSUBMIT", DEADLOCK),
    case("rebind", "GONEATONCE", ASSERT),
    case("rebind", "LEAK", DEADLOCK),
    case("rebind", "STRICT", ASSERT),

    case("drain", "", CLEAN),
    case("drain", "NODE", CLEAN),
    case("drain", "", CLEAN, ltl="ends"),
    case("drain", "", CLEAN, ltl="drains_end"),
    case("drain", "NODE", CLEAN, ltl="ends"),
    case("drain", "ACCEPT", ASSERT),
    case("drain", "NODEADLINE", DEADLOCK),
    case("drain", "NODEADLINE", CYCLE, ltl="drains_end"),
    case("drain", "NORESUME", DEADLOCK),
    case("drain", "NOREAP", ASSERT),
    case("drain", "EARLYIDLE", ASSERT),
    case("drain", "RESTART", ASSERT),
    case("drain", "NODE WAITS", DEADLOCK),

    case("link", "", CLEAN),
    case("link", "CRASHES=3", CLEAN, collapse=True),
    case("link", "", CLEAN, ltl="ends"),
    case("link", "SAMERING", ASSERT),
    case("link", "RESET", DEADLOCK),
    case("link", "NOCHECK", ASSERT),
    case("link", "KEEPBATCH", ASSERT),
    case("link", "NOWAKE", DEADLOCK),
    case("link", "NOTELL", DEADLOCK),
    case("link", "NODEAD", DEADLOCK),

    case("poison", "", CLEAN),
    case("poison", "", CLEAN, ltl="ends"),
    case("poison", "BESIDE", ASSERT),
    case("poison", "BLAMEKILL", ASSERT),
    case("poison", "NOSPLIT", ASSERT),
    case("poison", "ALLGUILTY", ASSERT),
    case("poison", "ATTEMPTS", ASSERT),
]

Result = collections.namedtuple("Result", "ending states seconds")


def call(argv, cwd):
    """Standard output and error together; a failure to finish is the text that says so."""
    try:
        done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return None, f"{argv[0]}: no end within {LIMIT_S} s"
    return done.returncode, done.stdout


def ending(output):
    """What a verifier's output says: CLEAN or a kind of error, else a sentence."""
    count = re.search(r"errors: (\d+)", output)
    if count is None:
        return "no result: " + (output.strip().splitlines() or ["no output"])[-1]
    if int(count[1]) > 0:
        error = re.search(r"^pan:\d+: (.*)", output, re.MULTILINE)
        for text, kind in ERROR_TEXT.items():
            if error and error[1].startswith(text):
                return kind
        return "another error: " + (error[1] if error else "not named")
    for sign in ("max search depth too small", "Search not completed", "MEMLIM", "Bit statespace"):
        if sign in output:
            return "not complete: " + sign
    if "Full statespace search" not in output:
        return "not a full search"
    return CLEAN


def explore(c):
    with tempfile.TemporaryDirectory(prefix="cortex-model-") as folder:
        started = time.monotonic()
        shutil.copy(os.path.join(HERE, c.model + ".pml"), folder)
        rc, output = call(["spin", "-a", *("-D" + d for d in c.defines), c.model + ".pml"], folder)
        if rc != 0 or not os.path.exists(os.path.join(folder, "pan.c")):
            return Result("spin: " + output.strip(), 0, 0)

        # A mutant fails after few states: there the compiler would take most of the time.
        flags = ["-O2" if c.expect == CLEAN else "-O0"]
        flags += ["-w", f"-DMEMLIM={MEMORY_MB}", "-DNFAIR=4"]
        flags += [] if c.ltl else ["-DSAFETY", "-DNOCLAIM"]
        flags += ["-DCOLLAPSE"] if c.collapse else []
        rc, output = call(["gcc", *flags, "-o", "pan", "pan.c"], folder)
        if rc != 0:
            return Result("gcc: " + output.strip(), 0, 0)

        options = [f"-m{DEPTH}"]
        if c.ltl:
            options += ["-a", "-N", c.ltl]
        if c.fair:
            options += ["-f"]
        rc, output = call(["./pan", *options], folder)
        seconds = time.monotonic() - started
        states = re.search(r"(\d+) states, stored", output)
        return Result(ending(output) if rc is not None else output,
                      int(states[1]) if states else 0, seconds)


def describe(c):
    text = " ".join("-D" + d for d in c.defines)
    if c.ltl:
        text += f"  ltl {c.ltl}" + (" (fair)" if c.fair else "")
    return f"{c.model:8}{text.strip():36}"


def choose(names):
    """The rows of the named models; all of them when none is named."""
    models = {c.model for c in CASES}
    files = {f[:-4] for f in os.listdir(HERE) if f.endswith(".pml")}
    if models != files:
        sys.exit("run.py: model files and CASES differ: " + " ".join(sorted(models ^ files)))
    wanted = [n[:-4] if n.endswith(".pml") else n for n in names or models]
    for name in wanted:
        if name not in models:
            print(f"run.py: no model {name}; there are: {' '.join(sorted(models))}",
                  file=sys.stderr)
            sys.exit(2)
    return [c for c in CASES if c.model in wanted]


def main():
    parser = argparse.ArgumentParser(description="Check the protocol models with spin.")
    parser.add_argument("--only", metavar="NAME", action="append",
                        help="this model (may be repeated)")
    parser.add_argument("--list", action="store_true",
                        help="print the rows and what they expect")
    parser.add_argument("--jobs", metavar="N", type=int, default=min(2, os.cpu_count() or 1),
                        help="explorations at a time, up to 1.9 GB each (default %(default)s)")
    options = parser.parse_args()
    rows = choose(options.only)

    if options.list:
        for c in rows:
            print(describe(c), c.expect)
        return 0
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed (apt-get install {tool})")
            return 77

    started = time.monotonic()
    wrong = 0
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for c, r in zip(rows, pool.map(explore, rows)):
            good = r.ending == c.expect
            wrong += not good
            print(f"{'ok   ' if good else 'WRONG'} {describe(c)} {r.ending:10} "
                  f"{r.states:9} states {r.seconds:6.1f} s"
                  + ("" if good else f"   expected: {c.expect}"), flush=True)
    print(f"{len(rows)} explorations, {wrong} not as expected, {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
