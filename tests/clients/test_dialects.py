"""The checks of streams themselves: they take what the specifications say, and refuse mutants of it."""
import json

import pytest

import scripted
from dialects import BadStream, check_stream
from scripted import Answer, Call

CALLS = [Call("look", {"path": "a b", "deep": [1, {"x": None}]}), Call("wait", {"seconds": 10})]
BODY = {"model": "demo", "thinking": {"type": "enabled", "budget_tokens": 1024}}
ANSWERS = {
    "text": Answer("Hello there, this is a text."),
    "thoughtful": Answer("Hello there.", "First I think about it."),
    "calls": Answer("I look. I see.", "A file is to be read.", CALLS),
    "only calls": Answer(calls=CALLS),
}
STREAMS = {"chat": scripted.chat_stream, "messages": scripted.messages_stream,
           "responses": scripted.responses_stream}
DIALECTS = list(STREAMS)


def events_of(dialect, name="calls"):
    return list(STREAMS[dialect](BODY, ANSWERS[name]))


def check(dialect, events):
    return check_stream(dialect, b"".join(events))


def refused(dialect, events):
    try:
        check(dialect, events)
    except BadStream:
        return True
    return False


def data_of(event):
    return event.split(b"data: ", 1)[1].strip()


def renumbered(dialect, events):
    """What a server with a counter would send: a mutant must not be found by its number alone."""
    if dialect != "responses":
        return events
    changed = []
    for i, event in enumerate(events):
        data = json.loads(data_of(event))
        changed.append(scripted.event(data["type"], {**data, "sequence_number": i}))
    return changed


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_takes_what_is_right(dialect, name):
    answer = ANSWERS[name]
    found = check(dialect, [b": keep-alive\n\n", *events_of(dialect, name)])
    assert (found.text, found.reasoning, found.error) == (answer.text, answer.reasoning, None)
    assert [(call.name, call.value()) for call in found.calls] == [
        (call.name, call.arguments) for call in answer.calls]
    assert found.n_comments == 1 and found.usage and found.final
    ends = {"chat": ("tool_calls", "stop"), "messages": ("tool_use", "end_turn"),
            "responses": ("completed", "completed")}
    assert found.finish == ends[dialect][0 if answer.calls else 1]


def may_be_missing(dialect, event):
    """A piece of a text that nothing else repeats, and what is only a sign of life."""
    data = data_of(event)
    if dialect == "responses":
        return b'"type": "response.in_progress"' in data
    return any(piece in data for piece in (
        b'"ping"', b'"text_delta"', b'"thinking_delta"', b'"partial_json": ""',
        b'"delta": {"content"', b'"delta": {"reasoning_content"', b'"usage": {"prompt_tokens"'))


def is_sign_of_life(event):
    return any(piece in event for piece in (b'"ping"', b"response.in_progress"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refuses_what_is_missing(dialect):
    events = events_of(dialect)
    for i, event in enumerate(events):
        mutant = renumbered(dialect, events[:i] + events[i + 1:])
        assert refused(dialect, mutant) != may_be_missing(dialect, event), (i, event)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refuses_what_comes_twice(dialect):
    events = events_of(dialect)
    for i, event in enumerate(events):
        mutant = renumbered(dialect, events[:i] + [event] + events[i:])
        allowed = (is_sign_of_life(event) or b'"message_delta"' in event
                   or dialect != "responses" and b'"usage": {"prompt' not in event
                   and may_be_missing(dialect, event))
        assert refused(dialect, mutant) != allowed, (i, event)


def same_kind(a, b):
    """Pieces of one text: only the text shows their order."""
    kind = lambda event: {key: value if key != "delta" else dict.fromkeys(value)
                          for key, value in json.loads(data_of(event)).items()}
    return kind(a) == kind(b)


@pytest.mark.parametrize("dialect", ["messages", "responses"])
def test_refuses_what_is_swapped(dialect):
    events = events_of(dialect)
    for i, (a, b) in enumerate(zip(events, events[1:])):
        if is_sign_of_life(a) or is_sign_of_life(b) or (
                dialect == "messages" and same_kind(a, b)):
            continue
        mutant = renumbered(dialect, [*events[:i], b, a, *events[i + 2:]])
        assert refused(dialect, mutant), (i, a, b)


def test_refuses_what_is_swapped_in_chat():
    events = events_of("chat")
    role, finish = 0, len(events) - 3
    for i in [role, finish - 1, finish, finish + 1]:
        mutant = [*events[:i], events[i + 1], events[i], *events[i + 2:]]
        assert refused("chat", mutant), i
    for i, (a, b) in enumerate(zip(events, events[1:])):
        if b'"tool_calls": [' in a and b'"tool_calls": [' in b:
            assert refused("chat", [*events[:i], b, a, *events[i + 2:]]), (i, a, b)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refuses_what_is_cut(dialect):
    events = events_of(dialect)
    for n in range(len(events)):
        assert refused(dialect, events[:n]), n
    raw = b"".join(events)
    assert refused(dialect, [raw[:-1]]) and refused(dialect, [raw, b"data: {}\n\n"])


# Dialect, what is replaced (the first time), by what.
CHANGES = [
    ("chat", b'"object": "chat.completion.chunk"', b'"object": "chat.completion"'),
    ("chat", b'"id": "chatcmpl-0"', b'"id": "chatcmpl-1"'),
    ("chat", b'"created": 1700000000', b'"created": 1700000001'),
    ("chat", b'"total_tokens": 30', b'"total_tokens": 31'),
    ("chat", b'"cached_tokens": 0', b'"cached_tokens": 21'),
    ("chat", b'"finish_reason": "tool_calls"', b'"finish_reason": "stop"'),
    ("chat", b'"finish_reason": "tool_calls"', b'"finish_reason": "tool_use"'),
    ("chat", b', "finish_reason": null', b""),
    ("chat", b'"role": "assistant"', b'"role": "user"'),
    ("chat", b'"type": "function"', b'"type": "tool"'),
    ("chat", b'"id": "call_0_1"', b'"id": "call_0_0"'),
    ("chat", b'"name": "look"', b'"name": ""'),
    ("chat", b'"tool_calls": [{"index": 1', b'"tool_calls": [{"index": 2'),
    ("chat", b'"reasoning_content": ', b'"reasoning": "other", "reasoning_content": '),
    ("chat", b'"reasoning_content": ', b'"thoughts": '),
    ("chat", b'"prompt_tokens": 20', b'"prompt_tokens": "20"'),
    ("chat", b"data: {", b"event: chunk\ndata: {"),
    ("chat", b"data: {", b"data: {,"),
    ("chat", b"data: {", b"data:{"),
    ("messages", b"event: message_start", b"event: message"),
    ("messages", b'"role": "assistant"', b'"role": "user"'),
    ("messages", b'"stop_reason": null', b'"stop_reason": "end_turn"'),
    ("messages", b'"input_tokens": 20', b'"input": 20'),
    ("messages", b'"index": 0', b'"index": 1'),
    ("messages", b'"index": 1', b'"index": 0'),
    ("messages", b'"thinking": "", "signature": ""', b'"thinking": "A"'),
    ("messages", b'"type": "thinking_delta", "thinking"', b'"type": "text_delta", "text"'),
    ("messages", b'"type": "text_delta", "text"', b'"type": "thinking_delta", "thinking"'),
    ("messages", b'"type": "tool_use"', b'"type": "function"'),
    ("messages", b'"id": "toolu_0_1"', b'"id": "toolu_0_0"'),
    ("messages", b'"input": {}', b'"input": ""'),
    ("messages", b'"partial_json": "{', b'"partial_json": "'),
    ("messages", b'"stop_reason": "tool_use"', b'"stop_reason": "end_turn"'),
    ("messages", b'"stop_reason": "tool_use"', b'"stop_reason": "tool_calls"'),
    ("messages", b'"stop_reason": "tool_use", "stop_sequence": null',
     b'"stop_reason": "tool_use", "stop_sequence": "x"'),
    ("messages", b', "stop_sequence": null}', b"}"),
    ("messages", b'"type": "ping"', b'"type": "pong"'),
    ("responses", b'"sequence_number": 0', b'"sequence_number": 1'),
    ("responses", b'"sequence_number": 5', b'"sequence_number": 6'),
    ("responses", b'"status": "in_progress"', b'"status": "completed"'),
    ("responses", b'"id": "resp_0"', b'"id": "resp_1"'),
    ("responses", b'"output_index": 0', b'"output_index": 1'),
    ("responses", b'"item_id": "rs_0"', b'"item_id": "rs_1"'),
    ("responses", b'"summary_index": 0', b'"summary_index": 1'),
    ("responses", b'"content_index": 0', b'"content_index": 1'),
    ("responses", b'"delta": "I look. I se"', b'"delta": "I look! I se"'),
    ("responses", b'"text": "I look. I see.", "logprobs"', b'"text": "I look! I see.", "logprobs"'),
    ("responses", b'"text": "I look. I see.", "annotations"', b'"text": "I look! I see.", "annotations"'),
    ("responses", b'"type": "output_text", "text": ""', b'"type": "summary_text", "text": ""'),
    ("responses", b'"call_id": "call_0_1"', b'"call_id": "call_0_0"'),
    ("responses", b'"name": "look", "arguments": "{', b'"name": "see", "arguments": "{'),
    ("responses", b'"total_tokens": 30', b'"total_tokens": 31'),
    ("responses", b'"output_tokens_details": {"reasoning_tokens": 0}, ', b""),
    ("responses", b"event: response.completed", b"event: response.complete"),
    ("responses", b'"type": "response.completed"', b'"type": "response.incomplete"'),
    ("responses", b"data: ", b"id: 1\ndata: "),
]


@pytest.mark.parametrize("dialect, old, new", CHANGES)
def test_refuses_what_is_changed(dialect, old, new):
    raw = b"".join(events_of(dialect))
    assert old in raw
    assert refused(dialect, [raw.replace(old, new, 1)])


ERRORS = {
    "chat": b'data: {"error": {"message": "broken", "type": "server_error", "code": "x"}}\n\n',
    "messages": scripted.event("error", {"type": "error", "error": {
        "type": "overloaded_error", "message": "broken"}}),
    "responses": scripted.event("error", {"type": "error", "sequence_number": 6, "code": "x",
                                          "message": "broken", "param": None}),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_failure_is_an_end(dialect):
    events = events_of(dialect)
    found = check(dialect, [*events[:6], ERRORS[dialect]])
    assert found.error["message"] == "broken" and found.finish is None
    assert refused(dialect, [*events[:6], ERRORS[dialect], events[6]])
    assert refused(dialect, [*events[:6], ERRORS[dialect].replace(b"broken", b""),
                             *([] if dialect != "responses" else events[6:])])


def test_failed_response():
    events = events_of("responses")
    failed = {**json.loads(data_of(events[-1]))["response"], "status": "failed", "output": [],
              "error": {"code": "server_error", "message": "broken"}}
    end = {"type": "response.failed", "sequence_number": 6, "response": failed}
    found = check("responses", [*events[:6], scripted.event("response.failed", end)])
    assert found.error == failed["error"] and found.finish == "failed"
    del failed["error"]
    assert refused("responses", [*events[:6], scripted.event("response.failed", end)])


def test_incomplete_response():
    events = events_of("responses", "text")
    end = json.loads(data_of(events[-1]))
    end["type"] = "response.incomplete"
    end["response"].update(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    check("responses", [*events[:-1], scripted.event("response.incomplete", end)])
    end["response"]["incomplete_details"] = None
    assert refused("responses", [*events[:-1], scripted.event("response.incomplete", end)])


def test_arguments_that_were_cut():
    """An answer may end in its last call's arguments when it reached its limit, not otherwise."""
    for dialect, piece, cut in (("chat", b'"finish_reason": "tool_calls"', b'"finish_reason": "length"'),
                                ("messages", b'"stop_reason": "tool_use"',
                                 b'"stop_reason": "max_tokens"')):
        answer = Answer(calls=[Call("look", {"path": "cut here"})])
        events = [e for e in STREAMS[dialect](BODY, answer) if b'here\\"}' not in e]
        assert refused(dialect, events), dialect
        check(dialect, [b"".join(events).replace(piece, cut)])


def test_several_choices():
    def chunk(index, delta, finish=None):
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "demo",
                "choices": [choice]}
        return f"data: {json.dumps(data)}\n\n".encode()

    role = {"role": "assistant", "content": ""}
    events = [chunk(0, role), chunk(1, role), chunk(1, {"content": "b"}), chunk(0, {"content": "a"}),
              chunk(1, {}, "stop"), chunk(0, {}, "length"), b"data: [DONE]\n\n"]
    found = check("chat", events)
    assert [(c.text, c.finish) for c in found.final] == [("a", "length"), ("b", "stop")]
    for i in (0, 1, 4, 5):
        assert refused("chat", events[:i] + events[i + 1:])


def test_completions():
    def chunk(text, finish=None):
        data = {"id": "c", "object": "text_completion", "created": 1, "model": "demo", "choices": [
            {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}
        return f"data: {json.dumps(data)}\n\n".encode()

    events = [chunk("a"), chunk("b"), chunk("", "length"), b"data: [DONE]\n\n"]
    found = check("completions", events)
    assert (found.text, found.finish) == ("ab", "length")
    assert refused("completions", events[:2] + events[3:])
    assert refused("completions", [events[0].replace(b"text_", b"chat_"), *events[1:]])
    assert refused("chat", events)
