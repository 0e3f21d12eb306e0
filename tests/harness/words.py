"""The answers of the simulated worker: what worker/sim/words.c makes of (seed, index)."""
import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "worker" / "sim" / "words.c"
CONSONANTS = "bdfghjklmnprstvz"
VOWELS = "aeio"
PLAIN = 4096
MASK = (1 << 64) - 1


def read_wide():
    """The list of words beyond ASCII, which is data and therefore kept in one place."""
    body = re.search(r"wide\[\] = \{(.*?)\};", SOURCE.read_text(), re.S).group(1)
    return re.findall(r'"([^"]+)"', body)


WIDE = read_wide()


def mix(seed, index):
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def word(seed, index):
    token = mix(seed, index) % (PLAIN + len(WIDE))
    space = " " if index else ""
    if token >= PLAIN:
        return space + WIDE[token - PLAIN]
    syllables = (token >> 6 & 63, token & 63)
    return space + "".join(CONSONANTS[s >> 2] + VOWELS[s & 3] for s in syllables)


def text(seed, n):
    """The whole answer of n tokens."""
    return "".join(word(seed, i) for i in range(n))
