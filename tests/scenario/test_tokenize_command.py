"""`cortex tokenize`: what is printed, and what is refused. That the ids are right is shown elsewhere."""
import json
import subprocess

import pytest

from node import BIN_DIR, SLOWNESS

pytestmark = pytest.mark.sanitized


def byte_symbols():
    """GPT-2's letter for each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, n = {}, 0
    for byte in range(256):
        letters[byte] = chr(byte if byte in shown else 256 + n)
        n += byte not in shown
    return letters


LETTERS = byte_symbols()
HI, BOS = 256, 257


@pytest.fixture
def model(tmp_path):
    """A tokenizer of bytes, the word "hi", and a first token."""
    vocab = {letter: byte for byte, letter in LETTERS.items()}
    vocab["hi"] = HI
    (tmp_path / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": BOS, "content": "<s>", "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                      {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS],
                                                      "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": [["h", "i"]]}}))
    return tmp_path


def tokenize(*arguments, input=b""):
    return subprocess.run([BIN_DIR / "cortex", "tokenize", *arguments], input=input,
                          capture_output=True, timeout=20 * SLOWNESS)


def test_a_line_for_each_token(model):
    done = tokenize(model, "hi \\x\n\tü")
    assert done.returncode == 0 and done.stderr == b"", done
    assert done.stdout.decode().splitlines() == [
        f"{BOS}\t<s>", f"{HI}\thi", "32\t ", "92\t\\\\", "120\tx", "10\t\\n", "9\t\\t",
        "195\t\\xc3", "188\t\\xbc"]


def test_ids_alone(model):
    assert tokenize("--ids", model, "hi!").stdout == f"{BOS} {HI} 33\n".encode()
    assert tokenize("--ids", model, "").stdout == f"{BOS}\n".encode()


@pytest.mark.parametrize("last", [(), ("-",)])
def test_standard_input(model, last):
    """Byte for byte, a newline at the end included."""
    assert tokenize("--ids", model, *last, input=b"hi\n").stdout == f"{BOS} {HI} 10\n".encode()
    long = tokenize(model, *last, input=b"hi" * 200000)
    assert long.stdout.count(b"\n") == 200001 and long.stdout.endswith(b"\thi\n")


def test_what_goes_wrong_is_one_sentence(model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "tokenizer.json").write_text("{")
    for arguments, text in [((), b"expected DIR"), ((model, "a", "b"), b"expected DIR"),
                            (("--idz", model), b"unknown option"),
                            ((tmp_path / "nowhere",), b"nowhere"),
                            ((tmp_path / "empty", "x"), b"tokenizer.json"),
                            ((tmp_path / "bad", "x"), b"tokenizer.json")]:
        done = tokenize(*arguments)
        assert done.returncode == 100 and done.stdout == b"", (arguments, done)
        assert done.stderr.startswith(b"cortex: tokenize: ") and text in done.stderr, done
        assert done.stderr.count(b"\n") == 1


def test_its_page():
    page = tokenize("--help")
    assert page.returncode == 0 and page.stdout.startswith(b"cortex tokenize: ")
    assert page.stdout == subprocess.run([BIN_DIR / "cortex", "help", "tokenize"],
                                         capture_output=True).stdout
