"""Streams of POST /v1/chat/completions and /v1/completions, as OpenAI's API reference has them: chunks
of choices, then usage, then [DONE]; or, in place of what is missing, an error.

Reasoning is no part of it; servers and clients agree on `reasoning_content` in a delta, some on
`reasoning` as well, with the same text."""
from dataclasses import dataclass, field

from .rules import Call, Summary, is_object, need_end, read_events, read_json

DELTA = {"role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning"}
CHAT_REASONS = {"stop", "length", "tool_calls", "content_filter"}
COMPLETION_REASONS = {"stop", "length", "content_filter"}


@dataclass
class Choice:
    text: str = ""
    reasoning: str = ""
    calls: list = field(default_factory=list)
    finish: str | None = None
    has_begun: bool = False


def check_chat(raw):
    return check(raw, "chat.completion.chunk", add_delta)


def check_completions(raw):
    return check(raw, "text_completion", add_text)


def check(raw, kind, add):
    events, n_comments = read_events(raw)
    summary, choices, constants = Summary(n_comments=n_comments), {}, None
    is_done = False
    for event in events:
        event.need(event.name is None, "chunks have no event: line")
        event.need(not is_done and not summary.error, "an event after the last one")
        if event.data == "[DONE]":
            event.need(choices and all(c.finish for c in choices.values()), "a choice has not ended")
            is_done = True
            continue
        chunk = read_json(event).data
        if "error" in chunk:
            summary.error = read_error(event)
            continue
        event.need_keys(chunk, id=str, object=str, created=int, model=str, choices=list)
        event.need(chunk["object"] == kind, f"object must be {kind}")
        these = tuple(chunk[name] for name in ("id", "created", "model"))
        event.need(constants in (None, these), f"id, created or model changed from {constants}")
        constants = these
        read_usage(event, summary, choices)
        for choice in chunk["choices"]:
            read_choice(event, choice, choices, add)
    need_end(is_done or summary.error, events)
    return summarise(summary, choices)


def read_error(event):
    error = event.data["error"]
    event.need_keys(error, message=str, type=str)
    event.need(error["message"], "an error without a message")
    return error


def read_usage(event, summary, choices):
    """Once, in a chunk without choices, after all of them have ended. Null is none."""
    usage = event.data.get("usage")
    if usage is None:
        event.need(event.data["choices"], "neither choices nor usage")
        return
    event.need(not summary.usage, "usage came before")
    event.need(event.data["choices"] == [], "usage beside choices")
    event.need(choices and all(c.finish for c in choices.values()), "usage before the end of a choice")
    event.need_count(usage, "prompt_tokens", "completion_tokens", "total_tokens")
    event.need(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"],
               "the total is not the sum")
    for details, name, whole in (("prompt_tokens_details", "cached_tokens", "prompt_tokens"),
                                 ("completion_tokens_details", "reasoning_tokens",
                                  "completion_tokens")):
        if usage.get(details) is not None:
            event.need_count(usage[details], name)
            event.need(usage[details][name] <= usage[whole], f"more {name} than {whole}")
    summary.usage = usage


def read_choice(event, value, choices, add):
    event.need_keys(value, index=int)
    event.need("finish_reason" in value, "no finish_reason, not even null")
    event.need(value["index"] >= 0, "a negative index")
    choice = choices.setdefault(value["index"], Choice())
    event.need(choice.finish is None, "a choice goes on after its finish_reason")
    add(event, value, choice)
    choice.has_begun = True
    choice.finish = value["finish_reason"]


def add_text(event, value, choice):
    event.need_keys(value, text=str)
    event.need(value["finish_reason"] in {None, *COMPLETION_REASONS}, "an unknown finish_reason")
    choice.text += value["text"]


def add_delta(event, value, choice):
    event.need_keys(value, delta=dict)
    delta = value["delta"]
    event.need(set(delta) <= DELTA, f"unknown members {set(delta) - DELTA}")
    event.need(choice.has_begun == ("role" not in delta), "the role is in the first delta, only there")
    event.need(delta.get("role", "assistant") == "assistant", "a role that is not assistant")
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        event.need(type(delta.get(name, "")) in (str, type(None)), f"{name} must be a string")
    if "reasoning" in delta:
        event.need(delta["reasoning"] == delta.get("reasoning_content"),
                   "reasoning and reasoning_content differ")
    choice.reasoning += delta.get("reasoning_content") or ""
    choice.text += delta.get("content") or ""
    for call in delta.get("tool_calls") or []:
        add_call(event, call, choice.calls)
    if value["finish_reason"] is not None:
        check_finish(event, value["finish_reason"], choice.calls)


def add_call(event, value, calls):
    """A call's first piece has its id and name, all have some of its arguments, one call at a time."""
    event.need_keys(value, index=int, function=dict)
    function = value["function"]
    event.need(type(function.get("arguments", "")) is str, "arguments must be a string")
    if value["index"] == len(calls):
        event.need_keys(value, id=str, type=str)
        event.need_keys(function, name=str)
        event.need(value["type"] == "function" and value["id"] and function["name"],
                   "a call needs an id, a type and a name")
        event.need(value["id"] not in {call.id for call in calls}, "two calls with one id")
        calls.append(Call(value["id"], function["name"], function.get("arguments", "")))
        return
    event.need(value["index"] == len(calls) - 1, f"call {value['index']} is not the current one")
    event.need(value.get("id") in (None, calls[-1].id), "the id of a call changed")
    event.need(function.get("name") is None, "the name comes once")
    calls[-1].arguments += function.get("arguments", "")


def check_finish(event, reason, calls):
    """Only an answer that was cut may end in the middle of its arguments."""
    event.need(reason in CHAT_REASONS, "an unknown finish_reason")
    event.need(reason != "tool_calls" or calls, "tool_calls without a call")
    event.need(reason != "stop" or not calls, "calls, and stop for a reason")
    whole = calls if reason != "length" else calls[:-1]
    for call in whole:
        event.need(is_object(call.arguments), f"the arguments of {call} are no object")


def summarise(summary, choices):
    summary.final = [choices[index] for index in sorted(choices)]
    if choices:
        first = summary.final[0]
        summary.text, summary.reasoning = first.text, first.reasoning
        summary.calls, summary.finish = first.calls, first.finish
    return summary
