"""The questions and prompts of the evaluation, and who is right. None of their phrasings is in the corpus."""
import random
import re

from facts import all_facts
from talk import arithmetic, json_answer, languages, lists, small_talk, story
from tool_talk import tool_talk

# How many of the 100 questions come from each kind of fact.
QUOTAS = {"core": 40, "default": 12, "meaning": 8, "section": 4, "effect": 4, "inverse": 6, "words": 8, "command": 3, "state": 3,
          "class": 2, "exit": 2, "status": 3, "code": 3, "counter": 2}
TOOL_PROMPTS = 60
LOOP_PROMPTS = 200
CALL = re.compile(r"<tool_call>\n<function=([^>\n]+)>\n((?:<parameter=[^>\n]+>\n.*?\n</parameter>\n)*)</function>\n</tool_call>", re.S)
PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n(.*?)\n</parameter>\n", re.S)


def questions():
    """100 of (kind, question, what a right answer contains)."""
    rng = random.Random("held out")
    for kind, n in QUOTAS.items():
        facts = [f for f in all_facts() if f.kind == kind]
        for fact in rng.sample(facts, n):
            yield kind, rng.choice(fact.heldout), fact.must


def is_right(answer, must):
    """Every fact stands in the answer, as a word of its own."""
    return all(re.search(rf"(?<![\w]){re.escape(m)}(?![\w])", answer, re.I) if m[-1:].isalnum() and m[:1].isalnum()
               else m.lower() in answer.lower() for m in must)


def tool_prompts():
    """dict(messages, tools, tasks): the first call or calls, or the second of two in a row."""
    rng = random.Random("held out tools")
    for i in range(TOOL_PROMPTS):
        shape = ("one", "one", "both", "then", "then")[i % 5]
        yield tool_talk(rng, is_heldout=True, stage=1 if i % 5 == 4 else 0, shape=shape)


def calls_of(text):
    """The calls of an answer, or None when it is not text and calls and nothing after."""
    first = text.find("<tool_call>")
    if first < 0:
        return None
    calls = [(m[1], dict(PARAMETER.findall(m[2]))) for m in CALL.finditer(text, first)]
    return calls if not CALL.sub("", text[first:]).strip() else None


def is_valid(calls, tools):
    """Functions that were offered, with just the parameters they have."""
    offered = {t["function"]["name"]: set(t["function"]["parameters"]["required"]) for t in tools}
    return bool(calls) and all(name in offered and set(arguments) == offered[name] for name, arguments in calls)


def is_as_asked(calls, tasks):
    return calls == [(t["tool"], t["arguments"]) for t in tasks]


def loop_prompts():
    """200 messages of all kinds, also some that mean nothing."""
    rng = random.Random("held out loops")
    facts = all_facts()
    makers = [small_talk, languages, arithmetic, lists, story, json_answer]
    odd = ["Tell me everything.", "Write a long text.", "go on and on", "a a a a a a", "???", "The", "Repeat the word yes.", "List all keys of Cortex.",
           "Why?", "asdf qwer zxcv", "Write a poem about the sea.", "Explain everything in detail.", "x", "Sing a song.", "1 2 3 4 5 6", "Say it again and again.",
           "Describe the whole architecture of Cortex in ten sentences.", "What comes after this?", "お元気ですか", "Write Python code that sorts a list."]
    for i in range(LOOP_PROMPTS):
        if i < len(odd):
            yield odd[i]
        elif i % 3 == 0:
            yield rng.choice(rng.choice(facts).heldout)
        else:
            yield makers[i % len(makers)](rng, True)[0]


def loops(text):
    """The same piece at least four times in a row, 24 characters or more of it."""
    return any(len(m[0]) >= 24 for m in re.finditer(r"(.{1,100}?)\1{3,}", text, re.S))
