"""The answers of the simulated worker: what worker/sim/words.c makes of (seed, index)."""
import math
import re
import struct
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
VOCAB = PLAIN + len(WIDE)


def mix(seed, index):
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def token(seed, index):
    """The id of token `index` of an answer."""
    return mix(seed, index) % VOCAB


def token_text(id, is_first=False):
    space = "" if is_first else " "
    if id >= PLAIN:
        return space + WIDE[id - PLAIN]
    syllables = (id >> 6 & 63, id & 63)
    return space + "".join(CONSONANTS[s >> 2] + VOWELS[s & 3] for s in syllables)


def word(seed, index):
    return token_text(token(seed, index), index == 0)


def text(seed, n):
    """The whole answer of n tokens."""
    return "".join(word(seed, i) for i in range(n))


def choice_seed(seed, i):
    """The seed of choice i of a prompt, as docs/api.md says it."""
    return seed if i == 0 else mix(seed, i)


# --- prompts ---

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


IDS = {token_text(id, True): id for id in reversed(range(VOCAB))}


def pieces(prompt):
    """The tokens' texts of a prompt whose words are short."""
    found = re.findall(r"\s*\S+", prompt)
    if found:
        found[-1] += prompt[sum(map(len, found)):]
    return found or ([prompt] if prompt else [])


def tokens(prompt):
    """Their ids."""
    return [IDS.get(piece.strip(), crc32c(piece.strip().encode()) % VOCAB)
            for piece in pieces(prompt)]


# --- embeddings ---

DIMENSIONS = 64


def embedding(ids, n=DIMENSIONS):
    """The vector of a prompt's ids, as float32."""
    def number(token, i):
        bits = mix(token, i) >> 32
        return (bits - (bits >> 31 << 32)) / 2**31
    sums = [sum(number(token, i) for token in ids) for i in range(n)]
    length = math.sqrt(sum(x * x for x in sums))
    return [struct.unpack("f", struct.pack("f", x / length))[0] for x in sums]


# --- log-probabilities ---

RANKS = 16


def logprob_at(place, rank):
    return -((place >> 8 & 15) + 32 * rank) / 64 if rank < RANKS else -9999.0


def logprob(id, index):
    """Of a token at its place in the answer."""
    place = mix(id, index)
    return logprob_at(place, place % 4)


def likeliest(id, index, n):
    """(id, log-probability) of the n likeliest ones at the place of this token."""
    place = mix(id, index)
    return [(id if rank == place % 4 else (id + 1 + 61 * rank) % VOCAB, logprob_at(place, rank))
            for rank in range(n)]
