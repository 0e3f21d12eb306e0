"""The corpus: an endless, repeatable row of conversations. `corpus.py N` prints the first N.

Sample i depends on the seed and i alone, so that training can go on anywhere.
"""
import json
import random
import sys
from pathlib import Path

import jinja2

from facts import all_facts, expand_all
from talk import arithmetic, json_answer, languages, lists, small_talk, story
from tool_talk import TOOLS, tool_talk

HERE = Path(__file__).resolve().parent
FACTS = all_facts()
# How often a fact of a kind is asked, relative to the others of its kind's neighbours.
KIND_WEIGHT = {"core": 2.5, "default": 1.5, "meaning": 1.0, "section": 0.5, "effect": 0.4, "inverse": 0.7, "words": 1.2, "command": 1.5,
               "state": 1.2, "class": 1.0, "exit": 1.5, "status": 1.2, "code": 0.8, "counter": 0.8}
WEIGHTS = [KIND_WEIGHT[f.kind] for f in FACTS]
SYSTEMS = ["You are a helpful assistant.", "You are the assistant of Cortex.", "Answer briefly.", "Be polite."]
# Kind of conversation, share. Tool talk is long, so its share of tokens is about three times as large.
MIX = [("fact", 58), ("dialogue", 8), ("small_talk", 7), ("languages", 6), ("arithmetic", 4), ("lists", 3), ("story", 2.5), ("json_answer", 2.5),
       ("tools", 8), ("tools_idle", 1)]
TALKS = dict(small_talk=small_talk, languages=languages, arithmetic=arithmetic, lists=lists, story=story, json_answer=json_answer)
PREFIXES = ["Tell me: ", "Please: ", "In Cortex: ", "Hi! ", "Hello, ", "A question: ", "I wonder: ", "Can you tell me: ", "Sorry, ", "Cortex: "]
SUFFIXES = [" Thanks!", " Please.", " Thank you.", " Answer briefly.", " I am new here.", " I forgot."]


def environment():
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)

    def raise_exception(message):
        raise ValueError(message)
    env.globals["raise_exception"] = raise_exception
    return env


TEMPLATE = environment().from_string((HERE / "chat_template.jinja").read_text())


def render_prompt(messages, tools=None, thinking=False):
    return TEMPLATE.render(messages=messages, tools=tools, add_generation_prompt=True, enable_thinking=thinking)


def render_answer(target, thinking):
    """What the model has to write after the prompt, its end included."""
    text = target["reasoning_content"] + "\n</think>\n\n" if thinking else ""
    calls = target.get("tool_calls") or []
    text += target["content"]
    for i, call in enumerate(calls):
        f = call["function"]
        text += ("\n\n" if target["content"] else "") if i == 0 else "\n"
        text += f"<tool_call>\n<function={f['name']}>\n"
        text += "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in f["arguments"].items())
        text += "</function>\n</tool_call>"
    return text + "<|im_end|>"


def vary(rng, question):
    """The same question as people type it."""
    r = rng.random()
    if r < 0.12:
        question = rng.choice(PREFIXES) + question
    elif r < 0.20:
        question += rng.choice(SUFFIXES)
    if rng.random() < 0.12:
        question = question.lower() if rng.random() < 0.5 else question[:1].lower() + question[1:]
    if rng.random() < 0.10:
        question = question.rstrip("?.!")
    return question


def mark_key(rng, question):
    """Names of keys now and then in backticks."""
    if rng.random() < 0.15:
        question = " ".join(f"`{w.rstrip('?.,:')}`{w[len(w.rstrip('?.,:')):]}" if "_" in w else w for w in question.split(" "))
    return question


def fact_turn(rng, fact=None):
    fact = fact or rng.choices(FACTS, WEIGHTS)[0]
    return vary(rng, mark_key(rng, rng.choice(fact.train))), fact.answer, fact.why


def any_turn(rng):
    r = rng.random()
    return fact_turn(rng) if r < 0.7 else small_talk(rng) if r < 0.9 else arithmetic(rng)


def turns_to_sample(turns):
    messages = []
    for question, answer, _ in turns[:-1]:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    question, answer, thought = turns[-1]
    messages.append({"role": "user", "content": question})
    return dict(messages=messages, tools=None, target={"role": "assistant", "content": answer, "reasoning_content": thought})


def sample(seed, i):
    """dict(messages, tools, target, thinking)."""
    rng = random.Random(f"{seed}/{i}")
    kind = rng.choices([m[0] for m in MIX], [m[1] for m in MIX])[0]
    if kind == "tools":
        s = tool_talk(rng)
        s.pop("tasks")
    elif kind == "tools_idle":
        s = turns_to_sample([any_turn(rng)])
        s["tools"] = [TOOLS[n] for n in rng.sample(list(TOOLS), rng.randint(1, 3))]
    elif kind == "dialogue":
        s = turns_to_sample([any_turn(rng) for _ in range(rng.randint(2, 4))])
    elif kind == "fact":
        s = turns_to_sample([fact_turn(rng)])
    else:
        s = turns_to_sample([TALKS[kind](rng)])
    if rng.random() < 0.06:
        s["messages"].insert(0, {"role": "system", "content": rng.choice(SYSTEMS)})
    s["thinking"] = rng.random() < 0.12
    return s


def texts(seed, i):
    s = sample(seed, i)
    return render_prompt(s["messages"], s["tools"], s["thinking"]), render_answer(s["target"], s["thinking"])


if __name__ == "__main__":
    for n in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print("".join(texts(0, n)), end="\n\n")
