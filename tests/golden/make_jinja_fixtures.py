#!/usr/bin/env python3
"""Writes the fixtures of jinja_test: what jinja2 and transformers make of templates.

make_jinja_fixtures.py [DIRECTORY WITH CHAT TEMPLATES]

Needs jinja2 and transformers. jinja_small.json: templates of ours and their output, in the
environment that transformers compiles chat templates in. jinja_chat.json: conversations and what
apply_chat_template makes of them with the published templates, which themselves stay where they
are; written only when their directory is given.
"""
import copy
import datetime
import json
import sys
import traceback
from pathlib import Path

import jinja2
import transformers
from tokenizers import Tokenizer, models
from transformers.utils import chat_template_utils

from jinja_cases import CONTEXT, REFUSED, SMALL
from jinja_chats import ARGUMENTS, CHATS

HERE = Path(__file__).resolve().parent
NOW = 1753500845  # 26 Jul 2025, 03:34:05 UTC


class FrozenClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = FrozenClock


def line_of(error):
    """The line of the template that a failure names."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == "<template>"]
    return lines[-1] if lines else None


def run(template, context):
    try:
        out = chat_template_utils._compile_jinja_template(template).render(**copy.deepcopy(context))
        out.encode("utf-8")
    except Exception as e:  # every failure of a template is one
        return {"error": f"{type(e).__name__}: {e}"[:200], "line": line_of(e)}
    if " at 0x" in out:
        return {"refused": True}  # an address, another one each time
    return {"output": out}


def make_small():
    cases, names = [], set()
    for case in SMALL:
        template, extra = case if isinstance(case, tuple) else (case, {})
        key = (template, json.dumps(extra))
        if key in names or template in REFUSED:
            continue
        names.add(key)
        row = {"template": template}
        if extra:
            row["context"] = extra
        cases.append(row | run(template, {**CONTEXT, **extra}))
    for template in REFUSED:
        cases.append({"template": template, "refused": True})
    failed = sum("error" in c for c in cases)
    print(f"jinja_small.json: {len(cases)} templates, {failed} that fail, {len(REFUSED)} refused")
    write("jinja_small.json", {"now": NOW, "context": CONTEXT, "cases": cases})


def make_tokenizer(template, tokens):
    tok = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **tokens)
    tok.chat_template = template
    return tok


def apply(tokenizer, chat, options, arguments):
    try:
        out = tokenizer.apply_chat_template(chat["messages"], tools=chat.get("tools"),
                                            documents=chat.get("documents"), tokenize=False,
                                            add_generation_prompt=options["add_generation_prompt"],
                                            **arguments)
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"[:200]}
    return {"output": out}


def make_chats(folder):
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    results = []
    for path in sorted(folder.glob("*.jinja")):
        tokenizer = make_tokenizer(path.read_bytes().decode(), tokens)
        for number, chat in enumerate(CHATS):
            for arguments in [{}] + [a for a in ARGUMENTS if number in (0, 3) or chat.get("all")]:
                for prompt in (True, False):
                    row = apply(tokenizer, chat, {"add_generation_prompt": prompt}, arguments)
                    results.append({"template": path.name, "chat": number, "arguments": arguments,
                                    "add_generation_prompt": prompt, **row})
    failed = sum("error" in r for r in results)
    print(f"jinja_chat.json: {len(CHATS)} conversations, {len(results)} prompts, {failed} refused")
    write("jinja_chat.json", {"now": NOW, "tokens": tokens, "chats": CHATS, "results": results})


def write(name, data):
    with open(HERE / name, "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    make_small()
    if len(sys.argv) > 1:
        make_chats(Path(sys.argv[1]))
