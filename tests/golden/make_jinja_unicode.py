#!/usr/bin/env python3
"""Writes worker/text/jinja_unicode_data.c: what Python's str methods know about characters."""
import contextlib
import sys
import unicodedata
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "worker/text/jinja_unicode_data.c"
EVERY = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(test):
    found = []
    for c in EVERY:
        if not test(chr(c)):
            continue
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def is_case_ignorable(s):
    """Seen through the rule for a final sigma."""
    return ("A" + s + "\u03a3").lower().endswith("\u03c2") and \
        not ("1" + s + "\u03a3").lower().endswith("\u03c2")


def print_ranges(name, test):
    rows = [f"{{{a:#x}, {b:#x}}}" for a, b in ranges(test)]
    print_table(f"const struct juni_range {name}[]", rows)
    print(f"const size_t {name}_n = {len(rows)};\n")


def print_table(head, rows):
    print(f"{head} = {{")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            print(line)
            line = "   "
        line += f" {row},"
    print(line)
    print("};")


def runs(mapped):
    """(first, last, stride, delta) of (character, its image)."""
    found = []
    for c, image in mapped:
        delta = image - c
        if found and found[-1][3] == delta:
            first, last, stride, _ = found[-1]
            step = c - last
            if step <= 2 and (first == last or step == stride):
                found[-1] = (first, c, step, delta)
                continue
        found.append((c, c, 1, delta))
    return found


def print_case(name, change, like=None):
    """Characters whose image differs from themselves, or from that of another change."""
    single, several = [], []
    for c in EVERY:
        image = change(chr(c))
        if image == (like(chr(c)) if like else chr(c)):
            continue
        if len(image) == 1:
            single.append((c, ord(image)))
        else:
            several.append((c, [ord(x) for x in image] + [0] * (3 - len(image))))
    rows = [f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in runs(single)]
    print_table(f"const struct juni_run {name}[]", rows)
    print(f"const size_t {name}_n = {len(rows)};\n")
    rows = ["{%#x, {%s}}" % (c, ", ".join(f"{x:#x}" for x in to)) for c, to in several] or ["{0, {0}}"]
    print_table(f"const struct juni_special {name}_special[]", rows)
    print(f"const size_t {name}_special_n = {len(several)};\n")


def main():
    print(f"/* Unicode {unicodedata.unidata_version} as Python {sys.version_info[0]}."
          f"{sys.version_info[1]} sees it.\n * Written by tests/golden/make_jinja_unicode.py. */")
    print("/* clang-format off */")
    print('#include "worker/text/jinja_unicode_data.h"\n')
    print_ranges("juni_space", str.isspace)
    print_ranges("juni_printable", str.isprintable)
    print_ranges("juni_alpha", str.isalpha)
    print_ranges("juni_decimal", str.isdecimal)
    print_ranges("juni_digit", str.isdigit)
    print_ranges("juni_numeric", str.isnumeric)
    print_ranges("juni_upper", str.isupper)
    print_ranges("juni_lower", str.islower)
    print_ranges("juni_title", lambda s: unicodedata.category(s) == "Lt")
    print_ranges("juni_ignorable", is_case_ignorable)
    print_case("juni_to_upper", str.upper)
    print_case("juni_to_lower", str.lower)
    print_case("juni_to_title", str.title, like=str.upper)


if __name__ == "__main__":
    with OUT.open("w", encoding="utf-8") as f, contextlib.redirect_stdout(f):
        main()
