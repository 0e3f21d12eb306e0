#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/: small tokenizers of many families, hard texts, and what the
`tokenizers` library makes of them.

make_tokenizer_fixtures.py       needs tokenizers==0.23.3, and nothing else

texts.json          "texts": [...], "bytes": [[HEX, TEXT that a decoder with replacement reads], ...]
FAMILY.json         its tokenizer.json
FAMILY.cases.json   "ids": of each text; every eighth with what the post-processor adds
                    "keep", "drop": what the ids decode to with and without special tokens, null
                    where it is the text
                    "cut": [[index of a text, its ids when no special token is recognised], ...]
                    "decode": [[ids, keep, drop], ...] of ids that no text gives
regex.json          "subjects": [...], "patterns": [[PATTERN, [[SUBJECT with a section sign for every
                    match, SUBJECT without them], ...]], ...], "refused": what the library refuses
unicode.json        of each form of normalisation the SHA-256 of all characters, each between "a" and
                    two marks that it has to order, as it leaves them
"""
import hashlib
import json
import random
from pathlib import Path

import tokenizers
from tokenizers import Regex, Tokenizer, normalizers

import tokenizer_families as families

FOLDER = Path(__file__).parent / "tokenizers"
N_RANDOM = 360
N_DECODED = 40


def texts(rng):
    found = ["", *families.PIECES]
    found += [line for line in families.SAMPLES.splitlines() if line]
    found += ["a" * 300, "ab" * 200, " " * 200, "\n" * 100 + "x", "\u4e00" * 120, "1" * 100,
              "\U0001f600" * 60, "!" * 150, "\u0301" * 90, "e" + "\u0323\u0301" * 40,
              "".join(chr(0xac00 + 7 * i) for i in range(90)), "Donaudampfschifffahrt" * 12]
    while len(found) < len(families.PIECES) + N_RANDOM:
        text = families.random_text(rng)
        if len(text) < 120:
            found.append(text)
    return found


BROKEN = [
    "80", "c3", "c3 28", "e4 bd", "e4 bd 41", "f0 9f 98", "f0 9f 98 e4 bd a0", "ff fe", "c0 80",
    "ed a0 80", "f4 90 80 80", "f8 88 80 80 80", "61 c3 62 e2 82 63", "e0 80 80", "f0 80 80 80",
    "3c 7c 69 6d 5f 65 6e 64 7c 3e c3 20", "c3 a9 cc", "e2 82 ac e2 82", "ef bf bd ff",
]


def shown(text, decoded):
    return None if decoded == text else decoded


def without(ids, special):
    """What skip_special_tokens should leave: the library keeps those that its normaliser changes."""
    return [i for i in ids if i not in special]


def decode_cases(library, rng, added, special):
    """Runs of byte tokens are those of whole characters: a broken one is shown differently here."""
    byte_ids = [library.token_to_id(f"<0x{byte:02X}>") for byte in range(256)]
    n_ids = max(library.get_vocab().values()) + 1
    plain = [i for i in range(n_ids) if i not in byte_ids] + [n_ids, n_ids + 7, 2**32 - 1]
    found = []
    for _ in range(N_DECODED):
        ids = []
        for _ in range(rng.randrange(1, 14)):
            kind = rng.random()
            if kind < 0.2 and added:
                ids.append(rng.choice(added))
            elif kind < 0.4 and byte_ids[255] is not None:
                ids += [byte_ids[byte] for byte in rng.choice("a \u00e9\u4f60\U0001f600").encode()]
            else:
                ids.append(rng.choice(plain))
        found.append([ids, library.decode(ids, skip_special_tokens=False),
                      library.decode(without(ids, special), skip_special_tokens=False)])
    return found


def cases(library, all_texts, rng):
    out = {"ids": [], "keep": [], "drop": [], "cut": [], "decode": []}
    added = library.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special}
    for i, text in enumerate(all_texts):
        ids = library.encode(text, add_special_tokens=i % 8 == 0).ids
        out["ids"].append(ids)
        out["keep"].append(shown(text, library.decode(ids, skip_special_tokens=False)))
        out["drop"].append(shown(text, library.decode(without(ids, special),
                                                      skip_special_tokens=False)))
    library.encode_special_tokens = True
    for i, text in enumerate(all_texts):
        ids = library.encode(text, add_special_tokens=False).ids
        if set(out["ids"][i]) & special and ids != out["ids"][i]:
            out["cut"].append([i, ids])
    library.encode_special_tokens = False
    out["decode"] = decode_cases(library, rng, sorted(added), special)
    return out


SUBJECTS = [
    "", "a", "The quick (brown) fox; it's 12,345.67 \u00e9t\u00e9!", "  two  spaces\t\r\n\n end \n",
    "aaa bbb ab aab abb ba 'S 'll", "\u4f60\u597d\u4e16\u754c \u3072\u3089 \u30ab\u30ca \ud55c\uae00 \u0633\u0644\u0627\u0645",
    "x\u00b2 \u00bd \u2167 \u0663 _\u203f_ \u24b6 \U0001f130 a\u0301 \u00a0\u3000\u0085|\u180e|\u200b|",
    "foo-bar foo.bar foo_bar 0x1F deadBEEF [x]{2}^$ a\\b", "line1\nline2\r\nline3\u2028line4\x0bl\x0c",
    "\u017f \u212a K k S s \U0001f600\U0001fa77\U0001fae8 \U00031350 \ua7da \U0001e4d0 \U000e0041",
]

PATTERNS = [
    families.GPT2, families.QWEN2, families.QWEN35, families.LLAMA3, families.O200K, families.KIMI,
    families.DEEPSEEK, families.BLOOM, families.SUPERBPE, "a", "a|b", "a|", "", "x*", "(a)(b)", "(?:a|b)+",
    "a{2}", "a{2,}", "a{,2}", "a{1,2}?", "a{2}?", "a{1,2}+", "a*?b", "a+?", "a??b", "a++b", "a*+", "a?+a",
    r"\w+", r"\W+", r"\d+", r"\D+", r"\s+", r"\S+", r"\h+", r"\H+", r"\R", r"\t|\n|\r|\f|\v|\a|\e",
    r"\x41|\x{e9}|\u4e16", r"\b", r"\B", r"\bf\w*\b", r"^", r"$", r"^\w", r"\w$", r"\A\w", r"\w\z",
    r"\s\Z", ".", "(?m:.)+", "(?m).+", ".+", "(?i:s)", "(?i:k)", "(?i:the)", "(?i)FOX|BAR", "q(?i)UICK|X",
    "a(?i:B)b", "(?i)a(?-i)b", "(?i:[a-z]+)", "(?i:[^a-z]+)", "(?=b)", "a(?=b)", "a(?!b)", "(?<=a)b",
    "(?<!a)b", "(?<=aa|b)b", "(?>a+)b", "(?<name>a)b", "(?#comment)a", "a(?# c )b", "[abc]", "[^abc]",
    "[a-c]", "[-a]", "[a-]", r"[\-a]", r"[a\-c]", r"[\]]", r"[\[x]", "[a[bc]]", "[^a[bc]]", "[a[^bc]]+",
    r"[^\s\p{L}]+", r"[\s\S]+", r"[^\S\n]+", r"[\d\W]+", r"[\Wa]+", r"[\h_]+", r"[\p{L}&&[^a-e]]+",
    "[a-z&&[aeiou]]+", "[^a-z&&[aeiou]]+", "[a-z&&[^aeiou]&&[^x]]+", r"\p{L}+", r"\P{L}+", r"\p{^L}+",
    r"\p{Lu}", r"\p{Ll}+", r"\p{Lt}|\p{Lm}|\p{Lo}", r"[\p{Lo}\P{M}]+", r"\p{M}", r"\p{N}", r"\p{Nd}",
    r"\p{Nl}|\p{No}", r"\p{P}+", r"\p{Pd}|\p{Pc}", r"\p{S}", r"\p{So}", r"\p{Z}", r"\p{Zs}", r"\p{C}",
    r"\p{Cc}", r"\p{Cf}", r"\p{Cn}", r"\p{Han}+", r"\p{Hiragana}+", r"\p{Katakana}+", r"\p{Hangul}+",
    r"\p{Latin}+", r"\p{Arabic}+", r"[^\p{Han}\s]+", r"\{|\}|\(|\)|\[|\]|\^|\$|\.|\\|\|", "[.^$*+?(){}|]",
    "]", "}", "{", "a{x", r"\ ", r"\-", r"\'", "\u00e9", "[\u4e00-\u9fa5]+", "[\u3040-\u30ff]+", "\n", "a b",
    r"(?:\r?\n)+", r"\s+(?!\S)", r"\s+$", r"(\w)-(?=\w)", r"[^\r\n]+", r"[\r\n/]*\z", r"(?:a|ab)(?:c|bcd|b)",
    r"[\u0041-\u005a]+", r"[\x30-\x39]+", r"[\x{1F600}-\x{1F64F}]", r"(?:(?:a|b)*c?)+", r"[0-9]{3}|[a-z&]",
]

REFUSED = ["(", ")", "[", "*", "a**b(", "a{2", "(?<=a*)b(", r"\p{Nonsense}", "[b-a]", "(?"]


def matches(pattern, subject):
    """The library says what lies between two matches when it replaces them; and where they are, by
    what is left of the subject."""
    mark = normalizers.Replace(Regex(pattern), "\u00a7").normalize_str(subject)
    keep = normalizers.Replace(Regex(f"(?:{pattern})"), "").normalize_str(subject)
    return [mark, keep]


def regex_cases():
    refused = []
    for pattern in REFUSED:
        try:
            Regex(pattern)
            normalizers.Replace(Regex(pattern), "")
        except Exception:
            refused.append(pattern)
    return {"subjects": SUBJECTS, "refused": refused,
            "patterns": [[p, [matches(p, s) for s in SUBJECTS]] for p in PATTERNS]}


def unicode_digests():
    out = {}
    for name in ("NFC", "NFD", "NFKC", "NFKD"):
        form = getattr(normalizers, name)()
        digest = hashlib.sha256()
        for c in range(0x110000):
            if not 0xd800 <= c < 0xe000:
                digest.update(form.normalize_str(f"a{chr(c)}\u0301\u0323").encode())
        out[name] = digest.hexdigest()
    return out


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (FOLDER / name).write_text(text + "\n")


def main():
    assert tokenizers.__version__ == "0.23.3"
    rng = random.Random(20)
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    all_texts = texts(rng)
    broken = [[x.replace(" ", ""), bytes.fromhex(x).decode("utf-8", "replace")] for x in BROKEN]
    write("texts.json", {"texts": all_texts, "bytes": broken})
    for family in families.families():
        text = families.make(family, 700 if family["alphabet"] or family.get("bytes") else 420)
        (FOLDER / f"{family['name']}.json").write_text(text + "\n")
        write(f"{family['name']}.cases.json", cases(Tokenizer.from_str(text), all_texts, rng))
    write("regex.json", regex_cases())
    write("unicode.json", unicode_digests())
    size = sum(f.stat().st_size for f in FOLDER.iterdir())
    print(f"{len(all_texts)} texts, {len(families.families())} families, {size} bytes")


if __name__ == "__main__":
    main()
