"""pytest tools/demo-model: needs torch, transformers, tokenizers (requirements.txt)."""
import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3_5ForCausalLM

import corpus
import heldout
import train
from facts import all_facts
from make_tokenizer import SPLIT
from model import CHUNK, CONFIG, Model, hf_config, unit_lower_inverse


def make_pair():
    torch.manual_seed(1)
    ours = Model()
    with torch.no_grad():
        for p in ours.parameters():  # zero-centred norms and equal biases would hide mistakes
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.3)
    theirs = Qwen3_5ForCausalLM(hf_config()).float().eval()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing == ["lm_head.weight"] and not unexpected
    theirs.tie_weights()
    return ours, theirs


@pytest.mark.parametrize("tokens", [CHUNK, 5 * CHUNK])
def test_logits_are_those_of_transformers(tokens):
    ours, theirs = make_pair()
    ids = torch.randint(0, CONFIG["vocab_size"], (3, tokens))
    with torch.no_grad():
        a, b = ours.logits(ours(ids)), theirs(ids).logits
    assert b.std() > 0.1
    assert (a - b).abs().max() < 2e-4 * b.abs().max()


def test_packed_conversations_do_not_see_each_other():
    ours, theirs = make_pair()
    lengths = [1, 2, 45, 3, 61, CHUNK + 16]
    parts = [torch.randint(0, CONFIG["vocab_size"], (1, n)) for n in lengths]
    position = torch.cat([torch.arange(n) for n in lengths])[None]
    with torch.no_grad():
        a = ours.logits(ours(torch.cat(parts, 1), position))
        b = torch.cat([theirs(p).logits for p in parts], 1)
    assert (a - b).abs().max() < 2e-4 * b.abs().max()


def test_pieces_are_the_texts():
    for i in range(300):
        pieces = corpus.pieces(5, i)
        assert "".join(text for text, _ in pieces) == "".join(corpus.texts(5, i))
        assert pieces[-1] == (corpus.texts(5, i)[1], True)


def test_inverse_of_correlated_keys():
    k = torch.nn.functional.normalize(torch.ones(CHUNK, 8) + 0.01 * torch.randn(CHUNK, 8), dim=-1)
    lower = (0.999 * k @ k.T).tril(-1)
    product = unit_lower_inverse(lower[None])[0].double() @ (lower.double() + torch.eye(CHUNK))
    assert (product - torch.eye(CHUNK)).abs().max() < 1e-4


def test_pre_tokeniser_is_that_of_qwen3_5():
    from transformers.models.qwen3_5.tokenization_qwen3_5 import PRETOKENIZE_REGEX
    assert SPLIT == PRETOKENIZE_REGEX


def test_same_seed_same_corpus():
    assert corpus.texts(1, 77) == corpus.texts(1, 77) != corpus.texts(2, 77)


def as_template_renders(s):
    """The conversation with its answer in it, by the template alone."""
    target = dict(s["target"])
    if not s["thinking"]:
        target["reasoning_content"] = ""
    return corpus.TEMPLATE.render(messages=s["messages"] + [target], tools=s["tools"])


def test_corpus_is_what_the_template_renders():
    for i in range(400):
        s = corpus.sample(3, i)
        text = corpus.render_prompt(s["messages"], s["tools"], s["thinking"]) + corpus.render_answer(s["target"], s["thinking"]) + "\n"
        assert text == as_template_renders(s)


def test_template_in_transformers(tmp_path):
    from tokenizers import Tokenizer, models
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=(corpus.HERE / "chat_template.jinja").read_text())
    for i in range(100):
        s = corpus.sample(4, i)
        theirs = tokenizer.apply_chat_template(s["messages"], tools=s["tools"], tokenize=False, add_generation_prompt=True, enable_thinking=s["thinking"])
        assert theirs == corpus.render_prompt(s["messages"], s["tools"], s["thinking"])


def test_heldout_phrasings_are_not_in_the_corpus():
    trained = {q.lower().rstrip("?.!") for f in all_facts() for q in f.train}
    questions = list(heldout.questions())
    assert len(questions) == 100
    for _, question, must in [*questions, *heldout.questions_afterwards()]:
        assert question.lower().rstrip("?.!") not in trained
        assert must


def test_judge():
    assert heldout.is_right("The API is on port 31313.", ["31313"])
    assert not heldout.is_right("The API is on port 313131.", ["31313"])
    assert not heldout.is_right("The key is `simulate_rate`.", ["simulate"])
    assert heldout.is_right("It belongs to [gateway].", ["[gateway]"])
    assert heldout.loops("no no no no no no no no no no")
    assert not heldout.loops("apple, pear, cherry, plum, orange")


def test_calls_are_read_back():
    for prompt in heldout.tool_prompts():
        text = corpus.render_answer(prompt["target"], False).removesuffix("<|im_end|>")
        calls = heldout.calls_of(text)
        assert heldout.is_valid(calls, prompt["tools"]) and heldout.is_as_asked(calls, prompt["tasks"])
        assert heldout.calls_of(text + " and more") is None
        assert not heldout.is_valid(heldout.calls_of(text.replace("</function>", "")), prompt["tools"])


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Three steps in one go and in two give the same weights."""
    import make_tokenizer
    monkeypatch.setattr(make_tokenizer, "SAMPLES", 2000)
    monkeypatch.setattr(train, "POOL", 64)
    monkeypatch.setattr(train, "ROWS", 2)
    tokenizer = make_tokenizer.make()
    weights = []
    for runs in ([3], [2, 3]):
        out = tmp_path / str(len(runs))
        out.mkdir()
        tokenizer.save(str(out / "tokenizer.json"))
        for steps in runs:
            # The rate of a step depends on --steps only within --decay of the end.
            monkeypatch.setattr("sys.argv", ["train.py", str(out), "--steps", str(steps), "--decay", "1", "--threads", "1"])
            train.main()
        weights.append(torch.load(out / "checkpoint.pt", weights_only=True)["model"])
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
