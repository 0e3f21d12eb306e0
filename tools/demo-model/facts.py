"""What the demo model shall know about Cortex: facts read from docs/, with questions to train and others to judge."""
import re
from dataclasses import dataclass, field
from pathlib import Path

from facts_core import CORE, KEY_WORDS

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Fact:
    kind: str
    answer: str
    must: list  # what a right answer contains
    train: list = field(default_factory=list)
    heldout: list = field(default_factory=list)
    why: str = ""  # a sentence to think


def expand(pattern):
    """All texts of a pattern: "(What|Which) port is it?" is two."""
    m = re.search(r"\(([^()]*\|[^()]*)\)", pattern)
    if not m:
        return [" ".join(pattern.split())]
    return [t for part in m.group(1).split("|") for t in expand(pattern[:m.start()] + part + pattern[m.end():])]


def expand_all(patterns, **names):
    out = [t for p in patterns for t in expand(p)]
    for name, value in names.items():
        out = [t.replace("{" + name + "}", value) for t in out]
    return out


def tables(path):
    """The tables of a Markdown page: (heading above, rows of cells)."""
    heading, rows = "", []
    for line in (ROOT / path).read_text().splitlines() + [""]:
        if line.startswith("|"):
            rows.append([re.sub(r"\\(.)", r"\1", c.strip()) for c in re.split(r"(?<!\\)\|", line.strip("|"))])
            continue
        if rows:
            yield heading, rows[2:]
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


def bare(text):
    return text.replace("`", "")


def lower_first(text):
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def config_keys():
    for heading, rows in tables("docs/reference/configuration.md"):
        section = re.sub(r' "name"', "", heading)
        for key, default, value_range, effect, meaning in rows:
            yield bare(key), section, bare(default), value_range, effect, bare(meaning)


DEFAULT_TRAIN = [
    "What is the default (of|for) {k}?", "(Which|What) default does {k} have?", "What is {k} by default?",
    "What value does {k} have (if I do not set it|when it is not set|unless I set it)?", "{k}: what is the default?",
    "Default of {k}?", "Tell me the default (value of|of) {k}.", "How (large|big) is {k} by default?",
    "I did not set {k}. What (is used|applies)?", "What is the standard value of {k}?",
    "If {k} is not in the file, what is it?", "What is the default setting (of|for) {k}?",
    "I have not set {k}. What value (is it|has it)?", "My file does not have {k}. What is used?", "There is no {k} in my file; what is the value?", "What does Cortex take for {k} (when|if) it is missing?", "Give me the default of {k}.", "I need the default of {k}.", "Which value is {k} when it is not configured?", "How much is {k} by default?", "Can you tell me the default of {k}?", "{k} default",
]
DEFAULT_HELDOUT = [
    "I left {k} out of my configuration. Which value applies then?", "Could you tell me what {k} is set to by default?",
    "Without any setting, how much is {k}?", "What does Cortex use for {k} if nothing is configured?",
    "Please give me the default value for the key {k}.",
]
MEANING_TRAIN = [
    "What (does|is) {k}?", "What does {k} do?", "What is {k} (for|good for)?", "Explain (the key|) {k}.",
    "What does (the key|the setting) {k} (mean|do)?", "Describe {k}.", "What is the meaning of {k}?",
    "{k}: what does it do?", "Why is there {k}?", "What can I set with {k}?",
    "What is {k} about?", "I see {k} in the file. What is it for?", "What is controlled by {k}?", "(Which|What) purpose has {k}?", "I do not understand {k}.", "Can you explain {k}?", "What does {k} (control|determine|limit)?", "Tell me (about|more about) {k}.", "Tell me what {k} (does|means|is).", "Say what {k} means.", "There is a key {k}. What does it do?",
]
MEANING_HELDOUT = [
    "I found {k} in the configuration. What is it about?", "Can you explain to me what {k} controls?",
    "What happens to be the purpose of {k}?", "Tell me what {k} stands for.", "Which thing does {k} determine?",
]
SECTION_TRAIN = [
    "(In which|In what) section is {k}?", "Which section has {k}?", "Where (do I put|do I set|does one set|goes) {k}?",
    "Which section does {k} belong to?", "Where does {k} belong?", "{k}: which section?",
    "In which part of the configuration is {k}?",
    "I want to set {k}. (Where|In which section)?", "Tell me the section (of|for) {k}.", "Which section of the file holds {k}?", "Where in the INI file is {k}?", "(Under|Into) which section (do I write|goes|does one write) {k}?", "section of {k}",
]
SECTION_HELDOUT = [
    "Under which section of the INI file do I write {k}?", "Tell me the section that {k} has to go into.",
    "I want to configure {k}. In which section must it be?",
]
EFFECT_TRAIN = [
    "When does a change of {k} take effect?", "Does {k} need a restart?", "Can {k} be (reloaded|changed live)?",
    "Do I have to restart after changing {k}?", "What happens when I change {k} and reload?",
    "Is a reload enough for {k}?",
    "I (changed|edited) {k}. (Is a reload enough|Do I have to restart|What now)?", "Must Cortex restart for a new {k}?", "Is SIGHUP enough for {k}?", "When is (a new|the new) {k} used?", "Does {k} take effect at once?", "Is a restart needed for {k}?", "What must I do after a change of {k}?",
]
EFFECT_HELDOUT = [
    "I changed {k}; must I restart Cortex?", "Is SIGHUP enough after an edit of {k}?",
    "At what moment is a new value of {k} used?",
]
WORDS_TRAIN = [
    "Which key (sets|limits|controls|is for) {w}?", "How (do|can) I (set|configure|change) {w}?",
    "What do I set for {w}?", "Where is {w} configured?", "(What|Which) setting is (for|about) {w}?",
    "I want to (change|set|limit) {w}. (Which key|How|What do I set)?", "Which (key|setting) has to do with {w}?", "(Name|Tell me|Give me) the key for {w}.", "I need to (set|change) {w}.", "Is there a key for {w}?", "How is {w} (set|changed)?", "What is the key for {w}?", "key for {w}",
]
WORDS_HELDOUT = [
    "I would like to adjust {w}. Which key is that?", "Name the configuration key that governs {w}.",
    "Is there a setting for {w}?",
]


def effect_sentence(key, effect):
    if effect == "restart":
        return f"A change of `{key}` needs a restart of Cortex.", ["restart"]
    if "workers" in effect:
        return f"A change of `{key}` takes effect at a reload (SIGHUP), which replaces the model's workers.", ["reload", "workers"]
    return f"A change of `{key}` takes effect at a reload (SIGHUP).", ["reload"]


def key_facts():
    for key, section, default, value_range, effect, meaning in config_keys():
        if key == "models":  # of [key]; the name is no use in a question
            continue
        unit = value_range.rsplit(" ", 1)[1] if re.fullmatch(r"\d+ to \d+ \S+", value_range) else ""
        unit = {"s": " seconds", "ms": " milliseconds", "MiB": " MiB", "tokens": " tokens", "tok/s": " tokens a second"}.get(unit, "")
        if default:
            yield Fact("default", f"The default of `{key}` is {default}{unit}.", [key, default],
                       expand_all(DEFAULT_TRAIN, k=key), expand_all(DEFAULT_HELDOUT, k=key),
                       f"The question is about the default of {key}. The reference of [{section.strip('[]')}] says {default}.")
        yield Fact("meaning", f"`{key}` in {section}: {meaning}.", [key, meaning],
                   expand_all(MEANING_TRAIN, k=key), expand_all(MEANING_HELDOUT, k=key),
                   f"{key} is a key of {section}. I say what it means.")
        yield Fact("section", f"`{key}` belongs to the section {section}.", [key, section],
                   expand_all(SECTION_TRAIN, k=key), expand_all(SECTION_HELDOUT, k=key),
                   f"Which section has {key}? It is {section}.")
        answer, must = effect_sentence(key, effect)
        must = [key, *must]
        yield Fact("effect", answer, must, expand_all(EFFECT_TRAIN, k=key), expand_all(EFFECT_HELDOUT, k=key),
                   f"It depends on the reload class of {key}.")
        answer = f"The key is `{key}` in {section}."
        words = KEY_WORDS.get(key, [])
        if words:
            yield Fact("words", answer, [key], [q for w in words for q in expand_all(WORDS_TRAIN, w=w)],
                       expand_all(WORDS_HELDOUT, w=words[0]), f"I look for the key in {section}. It is {key}.")


def row_fact(kind, name, answer, must, train, heldout):
    return Fact(kind, answer, [name, *must], expand_all(train, x=name), expand_all(heldout, x=name), f"The question is about {name}.")


STATES = ("down", "starting", "ready", "draining", "stopping", "backoff", "circuit-open", "failed")


def table_facts():
    """Facts that stand in the tables of the pages."""
    for heading, rows in tables("docs/user-guide.md"):
        if heading == "Look inside":
            for command, shows in rows:
                command = bare(command.split(",")[0])
                yield row_fact("command", command, f"`{command}` shows {lower_first(bare(shows))}.", [bare(shows).split(",")[0].split(" of ")[0]],
                               ["What does {x} (show|do|print)?", "What (do I see|is shown) with {x}?", "Explain {x}.", "What is {x} (for|good for)?", "Why should I run {x}?", "(I ran|I typed) {x}. What is this?", "What (will|can) {x} tell me?", "Which information is in {x}?", "When do I use {x}?", "Tell me about {x}."],
                               ["I typed {x}. What will it tell me?", "Which information does {x} give?"])
    for heading, rows in tables("docs/operations.md"):
        if heading == "States of a child":
            for state, meaning, leaves in rows:
                yield row_fact("state", state, f"The state {state} means: {bare(meaning)}.", [bare(meaning)],
                               ["What does (the state|state) {x} mean?", "A worker is {x}. What does (that|it) mean?", "Explain the state {x}.", "cortexctl (says|shows) {x}. What is that?", "What is the state {x}?", "My worker is {x}. (Why|What now|What is going on)?", "The state is {x}. What is (it|going on)?", "Tell me (about|what means) the state {x}.", "A (model|worker|process) has the state {x}.", "state {x}: meaning?", "What is meant by the state {x}?"],
                               ["My worker has the state {x}; what is going on?", "Tell me the meaning of the state {x}."])
        if heading == "Exit codes":
            for code, meaning in rows:
                yield row_fact("exit", code, f"Exit code {code} means: {meaning}.", [meaning.split(",")[0]],
                               ["What does exit code {x} mean?", "(Cortex|It) ended with (exit code|code) {x}. Why?", "What is exit code {x}?", "Explain exit code {x}.", "Exit code {x}?", "exit status {x}: what is it?", "It exited with {x}.", "Cortex exits with {x}. What is wrong?", "The (program|service) returned {x}. What is it?", "Tell me about exit code {x}.", "What is the reason for exit code {x}?", "It ended with the exit code {x}."],
                               ["The service exited with {x}. What does this say?", "What is the meaning of the exit code {x}?"])
        if heading == "Deaths":
            for name, what, counts, then in rows:
                count = "counts as a fault" if counts == "yes" else "does not count as a fault"
                yield row_fact("class", name, f"A death of class {name} {count}. It means: {what}.", [count],
                               ["What is a death of class {x}?", "Does a death of class {x} count as a fault?", "Explain the class {x} of a death.", "(class {x}|death class {x}): what is it?", "The class is {x}. Is it a fault?", "Is (a death of class|class) {x} a fault?", "The obituary says class {x}.", "Does class {x} count?", "Is {x} counted as a fault?"],
                               ["The log says class {x}. Is that a fault?", "Is {x} a class of death that is counted as a fault?"])
    for heading, rows in tables("docs/api.md"):
        if heading == "Errors":
            for status, codes in rows:
                first = int(status.split(",")[0]) if "," in status else int(status)
                names = re.findall(r"`([a-z_]+)`", codes)
                names = [n for n in names if "." not in n]
                if "," in status or not names:
                    continue
                yield row_fact("status", status, f"Status {status} comes with {' or '.join(f'`{n}`' for n in names)}.", names[:1],
                               ["What does (status|HTTP|HTTP status|error) {x} mean?", "I get (a|an HTTP) {x}. What is it?", "Which (code|error) (comes with|belongs to|has) {x}?", "Why do I get (a|status) {x}?", "I received (a|status) {x}. Which error is (that|it)?", "My client gets (a|status) {x}. (Why|What is wrong)?", "The server says {x}. What is it?", "Which error code is status {x}?", "What went wrong when I get a {x}?", "The status is {x}. Which code?"],
                               ["The server answered {x}. What is wrong?", "My client received the status {x}; which error code is it?"])
                for n in names:
                    if n != "request_timeout":
                        yield row_fact("code", n, f"`{n}` has the HTTP status {status}.", [status],
                                       ["Which status (has|comes with) {x}?", "What is the (status|HTTP status) of {x}?", "{x}: which HTTP status?", "Which HTTP status belongs to {x}?", "What number goes with {x}?", "Which status code belongs to the error {x}?", "The error is {x}. Which status is it?", "Tell me the status of (the error|) {x}.", "With which (number|status) comes {x}?", "status of {x}", "I got {x}. Which HTTP status has it?"],
                                       ["With what HTTP status is {x} sent?", "Tell me the status code of the error {x}."])
    for heading, rows in tables("docs/reference/counters.md"):
        for row in rows if "histogram" not in heading.lower() else []:
            name, metric, meaning = bare(row[0]), bare(row[1]), row[-1]
            if len(row) == 5 and heading.startswith("Supervisor"):
                yield row_fact("counter", name, f"The counter `{name}` says: {meaning}. In /metrics it is `{metric}`.", [meaning],
                               ["What does the counter {x} (count|mean|say)?", "What is (the counter|the metric) {x}?", "Explain the counter {x}.", "counter {x}: what does it count?", "I see (the counter|) {x}. What is counted?", "What is counted by (the counter|) {x}?", "Which events are in the counter {x}?", "The counter {x} grows. What is it?", "Tell me about the counter {x}."],
                               ["I see the counter {x} growing. What is counted there?", "Which events does the counter {x} stand for?"])


def core_facts():
    for answer, must, train, heldout in CORE:
        yield Fact("core", answer, must, expand_all(train), expand_all(heldout), "This is about Cortex. I know it.")


def all_facts():
    return [*core_facts(), *key_facts(), *table_facts()]


if __name__ == "__main__":
    import collections
    facts = all_facts()
    print(len(facts), dict(collections.Counter(f.kind for f in facts)))
    print("questions to train:", sum(len(set(f.train)) for f in facts), "held out:", sum(len(f.heldout) for f in facts))
    for f in facts:
        assert f.train and f.heldout, f
        assert all(m.lower() in f.answer.lower() for m in f.must), f
        assert not set(f.train) & set(f.heldout), f
