"""The questions and prompts of the evaluation, and who is right. None of their phrasings is in the corpus."""
import random
import re

from facts import all_facts
from talk import arithmetic, json_answer, languages, lists, small_talk, story
from tool_talk import tool_talk

# How many of the 100 questions come from each kind of fact.
QUOTAS = {"core": 42, "default": 13, "meaning": 9, "section": 4, "effect": 4, "words": 10, "command": 3, "state": 3,
          "class": 2, "exit": 2, "status": 3, "code": 3, "counter": 2}
# Written after the training, when no phrasing of the corpus could be made to fit them.
AFTERWARDS = [
    ("If I point curl at Cortex, on which port will it answer?", ["31313"]),
    ("Our Grafana wants to fetch figures. Which port?", ["31314"]),
    ("How would I boot up Cortex from this folder?", ["tools/run"]),
    ("Which subcommand of cortex validates the INI file?", ["check-config"]),
    ("Which cortexctl command is best to see the pids of workers?", ["cortexctl workers"]),
    ("What shows me the requests that are in flight at the moment?", ["cortexctl requests"]),
    ("Which command follows the log continuously?", ["cortexctl log"]),
    ("Where is cortex.ini expected to be?", ["/etc/cortex/cortex.ini"]),
    ("What do I send to the process so that it rereads its configuration?", ["SIGHUP"]),
    ("Is it dangerous to kill a worker while it answers?", ["byte for byte"]),
    ("What happens to clients if the router process is killed?", ["quarter of a second"]),
    ("Which process restarts dead workers?", ["starts, watches and replaces"]),
    ("Which endpoint should a load balancer probe?", ["/health"]),
    ("What path do I use for chat requests?", ["/v1/chat/completions"]),
    ("How can I get a list of available models over HTTP?", ["/v1/models"]),
    ("Is the software GPL licensed?", ["GNU General Public License"]),
    ("Which programming language was it programmed in?", ["in C"]),
    ("Do I get the same words again when I repeat a seed?", ["same answer"]),
    ("Which settings turn on encryption?", ["tls_cert", "tls_key"]),
    ("How do I run a model without any weights?", ["simulate = yes"]),
    ("How many faults are tolerated by default, and what is the key?", ["fault_budget"]),
    ("Who or what are you, exactly?", ["demo model"]),
    ("Which files are the executables of Cortex?", ["cortex-router", "cortex-worker"]),
    ("Does it run under Ubuntu 22.04?", ["Ubuntu 22.04"]),
    ("How large is the default of queue_depth?", ["queue_depth", "1024"]),
    ("hang_ms is not in my file. So what is it?", ["hang_ms", "1000"]),
    ("What number do I get for seats when I leave it alone?", ["seats", "256"]),
    ("By default, what is drain_timeout_s?", ["drain_timeout_s", "30"]),
    ("limit_context: how many tokens unless configured?", ["limit_context", "32768"]),
    ("Help me understand body_max_mb.", ["body_max_mb", "Largest request body"]),
    ("And what exactly is decode_stall_ms?", ["decode_stall_ms", "How long the reading of a prompt"]),
    ("Would you explain hosts?", ["hosts", "Further names accepted in Host"]),
    ("In what part of the file does threads live?", ["threads", "[model]"]),
    ("Where exactly do I place hang_ms?", ["hang_ms", "[supervisor]"]),
    ("After editing listen, do I have to start Cortex again?", ["listen", "restart"]),
    ("Which option decides how many requests may be queued?", ["queue_depth"]),
    ("What exit code means that a port was taken?", ["111"]),
    ("A worker is shown as draining. What is it doing?", ["draining", "gets nothing new"]),
    ("I was sent a 429. What does it stand for?", ["429", "rate_limit_exceeded"]),
    ("Which HTTP number does invalid_api_key carry?", ["invalid_api_key", "401"]),
]
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


def questions_afterwards():
    """40 more, of (kind, question, what a right answer contains)."""
    for question, must in AFTERWARDS:
        yield "afterwards", question, must


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
