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
KIND_WEIGHT = {"core": 4.0, "default": 1.5, "meaning": 1.0, "section": 0.6, "effect": 0.5, "words": 1.5, "command": 1.5,
               "state": 1.2, "class": 1.0, "exit": 1.5, "status": 1.2, "code": 0.8, "counter": 0.8}
WEIGHTS = [KIND_WEIGHT[f.kind] for f in FACTS]
SYSTEMS = ["You are a helpful assistant.", "You are the assistant of Cortex.", "Answer briefly.", "Be polite."]
# Kind of conversation, share. Tool talk is long, so its share of tokens is about three times as large.
MIX = [("fact", 50), ("dialogue", 19), ("small_talk", 6), ("languages", 6), ("arithmetic", 4), ("lists", 2.5), ("story", 1.5), ("json_answer", 2.5),
       ("tools", 8), ("tools_idle", 1)]
# From sample LATE on: copying the arguments of tools is learnt last, and what came before has to stay.
LATE = 36 * 1024
LATE_MIX = [("fact", 40), ("dialogue", 13), ("small_talk", 5), ("languages", 5), ("arithmetic", 3), ("lists", 2), ("story", 1.5), ("json_answer", 2.5),
            ("tools", 26), ("tools_idle", 2)]
TALKS = dict(small_talk=small_talk, languages=languages, arithmetic=arithmetic, lists=lists, story=story, json_answer=json_answer)
PREFIXES = ["Tell me: ", "Please: ", "In Cortex: ", "Hi! ", "Hello, ", "A question: ", "I wonder: ", "Can you tell me: ", "Sorry, ", "Cortex: ",
            "I am new here. ", "I have a question. ", "We run Cortex at work. ", "My colleague asks: ", "I am setting up a server. ", "One more thing: ",
            "Now I want to know: ", "I would like to know: ", "Good morning. ", "Excuse me, ", "So, ", "And ", "I read the docs. ", "Quickly: ",
            "I have a machine with Linux. ", "Maybe you know: ", "This is about Cortex. ", "I try Cortex. ", "Then: ", "OK. "]
SUFFIXES = [" Thanks!", " Please.", " Thank you.", " Answer briefly.", " I am new here.", " I forgot.", " I need it for work.", " Do you know?",
            " Tell me, please.", " I could not find it.", " It is not clear to me."]
FILLERS = {"a", "an", "the", "do", "does", "is", "are", "of", "for", "to", "it", "i", "my", "me", "please", "in", "on", "with", "has", "have", "there"}


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
    words = question.split(" ")
    r = rng.random()
    if r < 0.05:  # key words only
        words = [w for w in words if w.lower() not in FILLERS]
    elif r < 0.20:  # a filler less
        fillers = [k for k, w in enumerate(words) if w.lower() in FILLERS]
        if fillers:
            del words[rng.choice(fillers)]
    question = " ".join(words)
    if rng.random() < 0.12:
        question = question.lower() if rng.random() < 0.5 else question[:1].lower() + question[1:]
    r = rng.random()
    if r < 0.25:
        prefix = rng.choice(PREFIXES)
        question = prefix + (question if rng.random() < 0.5 or prefix.endswith(". ") else question[:1].lower() + question[1:])
    elif r < 0.35:
        question += rng.choice(SUFFIXES)
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
    mix = MIX if i < LATE else LATE_MIX
    kind = rng.choices([m[0] for m in mix], [m[1] for m in mix])[0]
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
    s["thinking"] = rng.random() < 0.10
    return s


def texts(seed, i):
    s = sample(seed, i)
    return render_prompt(s["messages"], s["tools"], s["thinking"]), render_answer(s["target"], s["thinking"])


def pieces(seed, i):
    """The same as (text, is an answer): those of earlier turns are trained, too."""
    prompt, answer = texts(seed, i)
    start = "<|im_start|>assistant\n"
    *earlier, last = prompt.split(start)
    out = [(earlier[0] + start, False)] if earlier else []
    for part in earlier[1:]:
        said, rest = part.split("<|im_end|>", 1)
        if said.startswith("<think>"):  # before the results of its tools
            out.append((part + start, False))
        else:
            out += [(said + "<|im_end|>", True), (rest + start, False)]
    return [*out, (last, False), (answer, True)]


if __name__ == "__main__":
    for n in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print("".join(texts(0, n)), end="\n\n")
