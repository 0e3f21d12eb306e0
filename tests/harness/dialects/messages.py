"""Streams of POST /v1/messages, as Anthropic's API reference has them: message_start, blocks one after
another with a start, deltas and a stop each, message_delta, message_stop; ping anywhere; or an error
in place of what is missing."""
import json

from .rules import Call, Summary, is_object, need_end, read_typed

STOP_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal",
                "model_context_window_exceeded"}
ERRORS = {"invalid_request_error", "authentication_error", "billing_error", "permission_error",
          "not_found_error", "request_too_large", "rate_limit_error", "timeout_error", "api_error",
          "overloaded_error"}
# Type of a block -> what it is at its start, and the deltas that it may have.
BLOCKS = {
    "text": ({"text": ""}, {"text_delta"}),
    "thinking": ({"thinking": "", "signature": ""}, {"thinking_delta", "signature_delta"}),
    "redacted_thinking": ({}, set()),
    "tool_use": ({"input": {}}, {"input_json_delta"}),
}
# Type of a delta -> the member of it, and of the block, that it adds to.
DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
}


def check(raw):
    events, n_comments = read_typed(raw)
    reader = Reader()
    for event in events:
        if event.name == "ping":
            event.need(event.data == {"type": "ping"}, "a ping has nothing but its type")
            reader.summary.n_pings += 1
            continue
        event.need(not reader.has_ended, "an event after the last one")
        handle = HANDLERS.get(event.name)
        event.need(handle, "an unknown event")
        event.need(reader.message or handle in (Reader.start, Reader.error), "before message_start")
        handle(reader, event)
    need_end(reader.has_ended, events)
    return reader.finish(n_comments)


class Reader:
    def __init__(self):
        self.summary = Summary()
        self.message = self.block = None
        self.json = ""
        self.has_ended = False

    def start(self, event):
        event.need(self.message is None, "message_start came before")
        event.need_keys(event.data, message=dict)
        message = event.data["message"]
        event.need_keys(message, id=str, type=str, role=str, model=str, content=list, usage=dict)
        event.need((message["type"], message["role"], message["content"]) == ("message", "assistant", []),
                   "not the start of an assistant's message")
        for name in ("stop_reason", "stop_sequence"):
            event.need(message.get(name, "missing") is None, f"{name} must be null")
        event.need_count(message["usage"], "input_tokens", "output_tokens")
        self.message = {**message, "content": []}

    def block_start(self, event):
        event.need_keys(event.data, index=int, content_block=dict)
        event.need(self.block is None, "a block begins in another one")
        event.need(self.message["stop_reason"] is None, "a block after message_delta")
        event.need(event.data["index"] == len(self.message["content"]), "not the next index")
        block = event.data["content_block"]
        event.need(block.get("type") in BLOCKS, "an unknown type of block")
        begins, _ = BLOCKS[block["type"]]
        event.need({name: block.get(name) for name in begins} == begins, "a block begins empty")
        self.check_start(event, block)
        self.block, self.json = dict(block), ""

    def check_start(self, event, block):
        if block["type"] == "redacted_thinking":
            event.need_keys(block, data=str)
        if block["type"] == "tool_use":
            event.need_keys(block, id=str, name=str)
            event.need(block["id"] and block["name"], "a call needs an id and a name")
            event.need(block["id"] not in {b.get("id") for b in self.message["content"]},
                       "two calls with one id")

    def block_delta(self, event):
        event.need_keys(event.data, index=int, delta=dict)
        event.need(self.block, "a delta of no block")
        event.need(event.data["index"] == len(self.message["content"]), "a delta of another block")
        delta = event.data["delta"]
        kind = delta.get("type")
        event.need(kind in BLOCKS[self.block["type"]][1], f"not a delta of {self.block['type']}")
        of_delta, of_block = DELTAS[kind]
        event.need_keys(delta, **{of_delta: str})
        if kind == "input_json_delta":
            self.json += delta[of_delta]
            return
        event.need(not self.block.get("signature"), "a delta after the signature")
        self.block[of_block] += delta[of_delta]

    def block_stop(self, event):
        event.need_keys(event.data, index=int)
        event.need(self.block and event.data["index"] == len(self.message["content"]),
                   "no such block is open")
        block = self.block
        event.need(block["type"] != "text" or block["text"], "an empty text, which may not be sent back")
        event.need(block["type"] != "thinking" or block["signature"], "thinking without a signature")
        if block["type"] == "tool_use":
            block["input"] = self.json
        self.message["content"].append(block)
        self.block = None

    def delta(self, event):
        """Of the message; its usage is that of all so far, and may come several times."""
        event.need_keys(event.data, delta=dict, usage=dict)
        event.need(self.block is None, "message_delta in a block")
        event.need_count(event.data["usage"], "output_tokens")
        event.need(event.data["usage"]["output_tokens"] >= self.message["usage"]["output_tokens"]
                   or self.message["stop_reason"] is None, "usage is cumulative")
        delta = event.data["delta"]
        reason = delta.get("stop_reason")
        event.need(reason in STOP_REASONS, "an unknown stop_reason")
        event.need("stop_sequence" in delta, "no stop_sequence, not even null")
        event.need((reason == "stop_sequence") == (delta["stop_sequence"] is not None),
                   "stop_reason and stop_sequence disagree")
        self.check_calls(event, reason)
        self.message.update(stop_reason=reason, stop_sequence=delta["stop_sequence"],
                            usage={**self.message["usage"], **event.data["usage"]})

    def check_calls(self, event, reason):
        """Only an answer that was cut may end in the middle of its input."""
        calls = [b for b in self.message["content"] if b["type"] == "tool_use"]
        event.need((reason == "tool_use") <= bool(calls), "tool_use without a call")
        event.need(not calls or reason not in ("end_turn", "stop_sequence"), f"calls, and {reason}")
        for call in calls if reason == "tool_use" else calls[:-1]:
            event.need(is_object(call["input"] or "{}"), f"the input of {call} is no object")

    def stop(self, event):
        event.need(self.block is None, "message_stop in a block")
        event.need(self.message["stop_reason"], "message_stop before message_delta")
        event.need(event.data == {"type": "message_stop"}, "message_stop has nothing but its type")
        self.has_ended = True

    def error(self, event):
        event.need_keys(event.data, error=dict)
        event.need_keys(event.data["error"], type=str, message=str)
        event.need(event.data["error"]["type"] in ERRORS, "an unknown type of error")
        event.need(event.data["error"]["message"], "an error without a message")
        self.summary.error = event.data["error"]
        self.has_ended = True

    def finish(self, n_comments):
        summary, message = self.summary, self.message or {"content": [], "stop_reason": None}
        for block in message["content"]:
            if block["type"] == "text":
                summary.text += block["text"]
            elif block["type"] == "thinking":
                summary.reasoning += block["thinking"]
            elif block["type"] == "tool_use":
                summary.calls.append(Call(block["id"], block["name"], block["input"] or "{}"))
                if is_object(block["input"] or "{}"):
                    block["input"] = json.loads(block["input"] or "{}")
        summary.finish, summary.usage = message["stop_reason"], message.get("usage")
        summary.final, summary.n_comments = message, n_comments
        return summary


HANDLERS = {
    "message_start": Reader.start,
    "content_block_start": Reader.block_start,
    "content_block_delta": Reader.block_delta,
    "content_block_stop": Reader.block_stop,
    "message_delta": Reader.delta,
    "message_stop": Reader.stop,
    "error": Reader.error,
}
