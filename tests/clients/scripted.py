"""A scripted model in three dialects, written from the published specifications: what an answer looks
like to a client that asked in the words of OpenAI's chat or Responses, or Anthropic's Messages."""
import itertools
import json
from dataclasses import dataclass, field, replace

PIECE = 12
CREATED = 1_700_000_000


@dataclass
class Call:
    name: str
    arguments: dict


@dataclass
class Answer:
    text: str = ""
    reasoning: str = ""
    calls: list = field(default_factory=list)
    # Given to a request that contains this text.
    match: str = ""
    # Turns before it. Part of every id: clients take what has the same id for the same thing.
    number: int = 0


def pieces(text):
    return [text[i:i + PIECE] for i in range(0, len(text), PIECE)]


def choose(answers, body):
    """The first answer whose match occurs in the request, as docs/simulate.md has it; what it calls only
    where the request has that tool."""
    said = list(strings({key: body.get(key) for key in ("messages", "input")}))
    answer = next(a for a in answers if any(a.match in text for text in said))
    offered = tool_names(body)
    calls = [call for call in answer.calls if call.name in offered]
    turns = body.get("messages") or body.get("input")
    return replace(answer, calls=calls, number=len(turns))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)


def tool_names(body):
    """Hosted tools (web_search, …) have none."""
    named = (tool.get("function", tool).get("name") for tool in body.get("tools") or [])
    return {name for name in named if name}


def event(name, data):
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


# --- POST /v1/chat/completions ---

def chat_usage(answer):
    return {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(pieces(answer.reasoning))}}


def chat_calls(answer):
    return [{"id": f"call_{answer.number}_{i}", "type": "function",
             "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for i, call in enumerate(answer.calls)]


def chat_finish(answer):
    return "tool_calls" if answer.calls else "stop"


def chat_stream(body, answer):
    def chunk(choices, **more):
        data = {"id": f"chatcmpl-{answer.number}", "object": "chat.completion.chunk", "created": CREATED,
                "model": body["model"], "choices": choices, **more}
        return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()

    def delta(value, finish=None):
        return chunk([{"index": 0, "delta": value, "logprobs": None, "finish_reason": finish}])

    yield delta({"role": "assistant", "content": ""})
    for piece in pieces(answer.reasoning):
        yield delta({"reasoning_content": piece})
    for piece in pieces(answer.text):
        yield delta({"content": piece})
    for index, call in enumerate(chat_calls(answer)):
        arguments = call["function"].pop("arguments")
        call["function"]["arguments"] = ""
        yield delta({"tool_calls": [{"index": index, **call}]})
        for piece in pieces(arguments):
            yield delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield delta({}, chat_finish(answer))
    yield chunk([], usage=chat_usage(answer))
    yield b"data: [DONE]\n\n"


def chat_whole(body, answer):
    message = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = chat_calls(answer)
    return {"id": f"chatcmpl-{answer.number}", "object": "chat.completion", "created": CREATED,
            "model": body["model"], "usage": chat_usage(answer),
            "choices": [{"index": 0, "message": message, "logprobs": None,
                         "finish_reason": chat_finish(answer)}]}


# --- POST /v1/messages ---

SIGNATURE = "c2NyaXB0ZWQtc2lnbmF0dXJl"


def thinks(body):
    return (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def messages_blocks(body, answer):
    blocks = []
    if answer.reasoning and thinks(body):
        # An omitted thought is in its signature alone.
        is_shown = body["thinking"].get("display") != "omitted"
        blocks.append({"type": "thinking", "thinking": answer.reasoning if is_shown else "",
                       "signature": SIGNATURE})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    for i, call in enumerate(answer.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{answer.number}_{i}", "name": call.name,
                       "input": call.arguments})
    return blocks


def messages_usage(output):
    return {"input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": output}


def messages_whole(body, answer):
    return {"id": f"msg_{answer.number}", "type": "message", "role": "assistant", "model": body["model"],
            "content": messages_blocks(body, answer), "stop_sequence": None,
            "stop_reason": "tool_use" if answer.calls else "end_turn", "usage": messages_usage(10)}


def messages_stream(body, answer):
    whole = messages_whole(body, answer)
    yield event("message_start", {"type": "message_start", "message": {
        **whole, "content": [], "stop_reason": None, "usage": messages_usage(1)}})
    yield event("ping", {"type": "ping"})
    for index, block in enumerate(whole["content"]):
        start, deltas = messages_deltas(block)
        yield event("content_block_start", {"type": "content_block_start", "index": index,
                                            "content_block": start})
        for delta in deltas:
            yield event("content_block_delta", {"type": "content_block_delta", "index": index,
                                                "delta": delta})
        yield event("content_block_stop", {"type": "content_block_stop", "index": index})
    yield event("message_delta", {
        "type": "message_delta", "usage": whole["usage"],
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}})
    yield event("message_stop", {"type": "message_stop"})


def messages_deltas(block):
    """What the block is at its start, and what is added to it."""
    if block["type"] == "thinking":
        return ({**block, "thinking": "", "signature": ""},
                [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"])]
                + [{"type": "signature_delta", "signature": block["signature"]}])
    if block["type"] == "text":
        return ({**block, "text": ""},
                [{"type": "text_delta", "text": p} for p in pieces(block["text"])])
    return ({**block, "input": {}},
            [{"type": "input_json_delta", "partial_json": p}
             for p in ["", *pieces(json.dumps(block["input"]))]])


# --- POST /v1/responses ---

def responses_items(answer):
    items = []
    if answer.reasoning:
        items.append({"id": f"rs_{answer.number}", "type": "reasoning", "summary": [
            {"type": "summary_text", "text": answer.reasoning}], "encrypted_content": None})
    if answer.text:
        items.append({"id": f"msg_{answer.number}", "type": "message", "role": "assistant",
                      "status": "completed", "content": [
                          {"type": "output_text", "text": answer.text, "annotations": [],
                           "logprobs": []}]})
    for i, call in enumerate(answer.calls):
        items.append({"id": f"fc_{answer.number}_{i}", "type": "function_call", "status": "completed",
                      "call_id": f"call_{answer.number}_{i}", "name": call.name,
                      "arguments": json.dumps(call.arguments)})
    return items


def responses_whole(body, answer, status="completed", output=None):
    done = status == "completed"
    return {"id": f"resp_{answer.number}", "object": "response", "created_at": CREATED, "status": status,
            "error": None, "incomplete_details": None, "model": body["model"],
            "instructions": body.get("instructions"), "metadata": body.get("metadata") or {},
            "output": responses_items(answer) if output is None else output,
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
            "store": body.get("store", True), "temperature": 1.0, "top_p": 1.0,
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice", "auto"), "tools": body.get("tools") or [],
            "truncation": "disabled", "max_output_tokens": body.get("max_output_tokens"),
            "usage": {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 0},
                      "output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 0},
                      "total_tokens": 30} if done else None}


def responses_stream(body, answer):
    numbers = itertools.count()

    def send(kind, **more):
        return event(kind, {"type": kind, "sequence_number": next(numbers), **more})

    begun = responses_whole(body, answer, "in_progress", [])
    yield send("response.created", response=begun)
    yield send("response.in_progress", response=begun)
    for index, item in enumerate(responses_items(answer)):
        at = {"item_id": item["id"], "output_index": index}
        start, parts = RESPONSES_PARTS[item["type"]](item, at)
        yield send("response.output_item.added", output_index=index, item=start)
        for kind, more in parts:
            yield send(kind, **more)
        yield send("response.output_item.done", output_index=index, item=item)
    yield send("response.completed", response=responses_whole(body, answer))


def reasoning_parts(item, at):
    text = item["summary"][0]["text"]
    at = {**at, "summary_index": 0}
    parts = [("response.reasoning_summary_part.added",
              {**at, "part": {"type": "summary_text", "text": ""}})]
    parts += [("response.reasoning_summary_text.delta", {**at, "delta": p}) for p in pieces(text)]
    parts += [("response.reasoning_summary_text.done", {**at, "text": text}),
              ("response.reasoning_summary_part.done", {**at, "part": item["summary"][0]})]
    return {**item, "summary": []}, parts


def message_parts(item, at):
    part = item["content"][0]
    at = {**at, "content_index": 0}
    parts = [("response.content_part.added", {**at, "part": {**part, "text": ""}})]
    parts += [("response.output_text.delta", {**at, "delta": p, "logprobs": []})
              for p in pieces(part["text"])]
    parts += [("response.output_text.done", {**at, "text": part["text"], "logprobs": []}),
              ("response.content_part.done", {**at, "part": part})]
    return {**item, "status": "in_progress", "content": []}, parts


def function_call_parts(item, at):
    parts = [("response.function_call_arguments.delta", {**at, "delta": p})
             for p in pieces(item["arguments"])]
    parts += [("response.function_call_arguments.done",
               {**at, "name": item["name"], "arguments": item["arguments"]})]
    return {**item, "status": "in_progress", "arguments": ""}, parts


RESPONSES_PARTS = {"reasoning": reasoning_parts, "message": message_parts,
                   "function_call": function_call_parts}

# Path -> (streamed, whole)
DIALECTS = {
    "/v1/chat/completions": (chat_stream, chat_whole),
    "/v1/messages": (messages_stream, messages_whole),
    "/v1/responses": (responses_stream, responses_whole),
}
