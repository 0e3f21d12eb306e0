#!/usr/bin/env python3
"""Writes worker/text/unicode_data.c: where the `tokenizers` library's idea of characters is not the
one of utf8proc and PCRE2, whose versions of Unicode are those of the system.

make_tokenizer_unicode.py > worker/text/unicode_data.c

Needs tokenizers==0.23.3, unicodedata2 (16.0 or newer) and a Python that knows Unicode 14.0, as 3.11
does: the oldest version that a PCRE2 of the supported systems has.
"""
import re
import unicodedata as base
from collections import defaultdict
from pathlib import Path

import tokenizers
import unicodedata2 as newest
from tokenizers import Regex, normalizers, pre_tokenizers

assert tokenizers.__version__ == "0.23.3" and base.unidata_version == "14.0.0"
EVERY = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = ["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
              "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cf"]
SCRIPTS = re.findall(r'X\("(\w+)"\)', (Path(__file__).resolve().parents[2] /
                                       "worker/text/regex_class.c").read_text())


def ranges(characters):
    found = []
    for c in sorted(characters):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def matched(pattern):
    """The characters that a pattern of the library matches; NUL is beside the point."""
    replace = normalizers.Replace(Regex(pattern), "\0")
    return {c for c in EVERY[1:] if replace.normalize_str(chr(c)) == "\0"}


def punctuation():
    split = pre_tokenizers.Punctuation("isolated")
    return {c for c in EVERY if len(split.pre_tokenize_str("a" + chr(c) + "a")) == 3}


def marks():
    strip = normalizers.StripAccents()
    return {c for c in EVERY if strip.normalize_str("a" + chr(c)) == "a"}


def forms():
    """What normalisation has to look at, a bit for each form: characters that it changes, that may
    be reordered, and, where it composes, that may be the second of two. Hangul's vowels and
    trailing consonants are of the last kind. A fifth bit: newer versions of Unicode change it, or
    compose it with what follows, the library does not."""
    of_form = [normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD()]
    nfd = of_form[1]

    def moves(c):
        return nfd.normalize_str(chr(c) + "\u0334") != chr(c) + "\u0334" or \
            nfd.normalize_str("\u0345" + chr(c)) != "\u0345" + chr(c)

    seconds = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    new = set()
    for c in EVERY:
        parts = newest.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (int(part, 16) for part in parts)
            if nfd.normalize_str(chr(c)) != chr(c):
                seconds.add(second)
            elif base.category(chr(second)) != "Cn":
                new.add(first)
        if parts and of_form[3].normalize_str(chr(c)) == chr(c):
            new.add(c)
        if newest.combining(chr(c)) and not moves(c):
            new.add(c)
    found = {}
    for c in EVERY:
        bits = 16 if c in new else 0
        for bit, form in enumerate(of_form):
            if form.normalize_str(chr(c)) != chr(c) or (c in seconds and bit in (0, 2)) or moves(c):
                bits |= 1 << bit
        if bits:
            found.setdefault(bits, set()).add(c)
    return sorted((a, b, bits) for bits, group in found.items() for a, b in ranges(group))


def proxies():
    """Characters that Unicode 14.0 did not have and the library has: for each range one of 14.0
    with the same category, length in UTF-8 and script, or with none of the scripts that patterns
    can ask for where the script has no such character."""
    new = {c for c in EVERY if base.category(chr(c)) == "Cn"}
    script = {c: name for name in SCRIPTS for c in matched(r"\p{" + name + "}")}
    groups, old = defaultdict(set), {}
    for c in sorted(set(EVERY) - new):
        old[base.category(chr(c)), len(chr(c).encode()), script.get(c)] = c
    for category in CATEGORIES:
        for c in matched(r"\p{" + category + "}") & new:
            groups[category, len(chr(c).encode()), script.get(c)].add(c)
    rows = []
    for (category, length, name), characters in groups.items():
        proxy = old.get((category, length, name)) or old[category, length, None]
        rows += [(a, b, proxy) for a, b in ranges(characters)]
    return sorted(rows)


def lowers():
    """U+0130 becomes two characters and is not in here."""
    lower = normalizers.Lowercase()
    found = []
    for c in EVERY:
        image = lower.normalize_str(chr(c))
        if image == chr(c) or len(image) > 1:
            assert len(image) == 1 or c == 0x130
            continue
        delta = ord(image) - c
        if found and found[-1][3] == delta:
            first, last, stride, _ = found[-1]
            if c - last == stride or (first == last and c - last <= 2):
                found[-1] = [first, c, c - last, delta]
                continue
        found.append([c, c, 1, delta])
    return found


def print_rows(head, rows):
    print(f"{head} = {{")
    line = "   "
    for row in rows:
        cell = " {" + ", ".join(f"{x:#x}" if x > 2 else f"{x}" for x in row) + "},"
        if len(line) + len(cell) > 100:
            print(line)
            line = "   "
        line += cell
    print(line + "\n};")


def print_table(kind, name, rows):
    print_rows(f"const struct unicode_{kind} unicode_{name}[]", rows)
    print(f"const size_t unicode_{name}_n = {len(rows)};\n")


print("/* Written by tests/golden/make_tokenizer_unicode.py. */")
print('#include "worker/text/unicode_data.h"\n')
print("/* clang-format off */")
print_table("range", "punctuation", ranges(punctuation()))
print_table("range", "marks", ranges(marks()))
print_table("form", "forms", forms())
print_table("lower", "lowers", lowers())
print_table("proxy", "proxies", proxies())
print("/* clang-format on */")
