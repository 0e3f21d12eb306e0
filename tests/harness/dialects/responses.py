"""Streams of POST /v1/responses, as OpenAI's API reference has them: response.created and in_progress,
items one after another, each added, filled and done, and the whole response at the end. What was
added piece by piece must be what is said to be done, and what the response has."""
from .rules import Call, Summary, is_object, need_end, read_typed

STATUS = {"response.completed": "completed", "response.incomplete": "incomplete",
          "response.failed": "failed"}
REASONS = {"max_output_tokens", "content_filter"}
# Type of an item -> what it is when it is added.
ITEMS = {
    "message": {"content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}
# Type of a part -> the member that its deltas add to.
PARTS = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
PARTS_OF = {"message": {"output_text", "refusal"}, "reasoning": {"reasoning_text", "summary_text"}}


def check(raw):
    events, n_comments = read_typed(raw)
    reader = Reader()
    for event in events:
        event.need_count(event.data, "sequence_number")
        event.need(event.data["sequence_number"] == event.number, "sequence_number must rise from 0 by 1")
        event.need(not reader.has_ended, "an event after the last one")
        handle = HANDLERS.get(event.name)
        event.need(handle, "an unknown event")
        event.need(reader.id or handle in (Reader.created, Reader.error), "before response.created")
        handle(reader, event)
    need_end(reader.has_ended, events)
    return reader.finish(n_comments)


class Reader:
    def __init__(self):
        self.id = self.final = self.error_data = None
        self.done, self.item, self.is_filled = [], None, False
        self.part = self.text_done = None
        self.has_ended = False

    # --- the response ---

    def created(self, event):
        event.need(self.id is None, "response.created came before")
        response = self.read_response(event)
        event.need(response["status"] in ("in_progress", "queued"), "it begins in progress")
        event.need(response["output"] == [], "it begins without output")
        self.id = response["id"]

    def progress(self, event):
        """Any number of times: some servers use it as a sign of life."""
        response = self.read_response(event)
        event.need(response["status"] in ("in_progress", "queued"), "a status that is not in_progress")

    def read_response(self, event):
        event.need_keys(event.data, response=dict)
        response = event.data["response"]
        event.need_keys(response, id=str, object=str, created_at=int, status=str, model=str, output=list,
                        tools=list, parallel_tool_calls=bool)
        event.need(response["object"] == "response", "object must be response")
        event.need(self.id in (None, response["id"]), "the id of the response changed")
        return response

    def end(self, event):
        response = self.read_response(event)
        status = STATUS[event.name]
        event.need(response["status"] == status, f"status must be {status}")
        if status == "failed":
            event.need_keys(response, error=dict)
            event.need_keys(response["error"], code=str, message=str)
            self.error_data = response["error"]
        else:
            self.check_end(event, response, status)
        self.final, self.has_ended = response, True

    def check_end(self, event, response, status):
        event.need(self.item is None, "the end, in an item")
        event.need(response["output"] == self.done, f"output differs from the items {self.done!r}")
        event.need(response.get("error") is None, "an error in a response that has not failed")
        if status == "incomplete":
            event.need_keys(response, incomplete_details=dict)
            event.need(response["incomplete_details"].get("reason") in REASONS, "an unknown reason")
        else:
            event.need(response.get("incomplete_details") is None, "complete, with incomplete_details")
            event.need(all(item.get("status", "completed") in ("completed", None) for item in self.done),
                       "complete, with an item that is not")
        event.need_keys(response, usage=dict)
        usage = response["usage"]
        event.need_count(usage, "input_tokens", "output_tokens", "total_tokens")
        event.need(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"],
                   "the total is not the sum")
        event.need_keys(usage, input_tokens_details=dict, output_tokens_details=dict)
        event.need_count(usage["input_tokens_details"], "cached_tokens")
        event.need_count(usage["output_tokens_details"], "reasoning_tokens")

    def error(self, event):
        event.need_keys(event.data, message=str)
        event.need("code" in event.data and "param" in event.data, "an error has a code and a param")
        self.error_data, self.has_ended = event.data, True

    # --- items ---

    def item_added(self, event):
        event.need_keys(event.data, output_index=int, item=dict)
        event.need(self.item is None, "an item begins in another one")
        event.need(event.data["output_index"] == len(self.done), "not the next output_index")
        item = event.data["item"]
        event.need_keys(item, id=str, type=str)
        event.need(item["type"] in ITEMS, "an unknown type of item")
        event.need(item["id"] and item["id"] not in {other["id"] for other in self.done}, "an id twice")
        begins = ITEMS[item["type"]]
        event.need({name: item.get(name) for name in begins} == begins, "an item begins empty")
        if item["type"].endswith("call"):
            event.need_keys(item, call_id=str, name=str)
            event.need(item["call_id"] and item["name"], "a call needs an id and a name")
            event.need(item["call_id"] not in {other.get("call_id") for other in self.done},
                       "two calls with one call_id")
        if item["type"] == "message":
            event.need(item.get("role") == "assistant", "a message of another role")
        if item["type"] != "reasoning":
            event.need(item.get("status") == "in_progress", "an item begins in progress")
        self.item, self.is_filled = item, False

    def item_done(self, event):
        event.need_keys(event.data, output_index=int, item=dict)
        event.need(self.item and event.data["output_index"] == len(self.done), "no such item is open")
        event.need(self.part is None, "the end of an item, in a part")
        item = event.data["item"]
        for name in ("id", "type", "role", "name", "call_id"):
            event.need(item.get(name) == self.item.get(name), f"{name} changed")
        for name in ("content", "summary", "arguments", "input"):
            if name in self.item:
                event.need((item.get(name) or []) == (self.item[name] or []),
                           f"{name} is not what was added: {self.item[name]!r}")
        event.need(item["type"] == "reasoning" or item.get("status") in ("completed", "incomplete"),
                   "an item that is done is completed or incomplete")
        if item["type"] == "function_call" and item["status"] == "completed":
            event.need(is_object(item["arguments"]), "the arguments are no object")
        event.need(self.is_filled or item["type"] == "reasoning", "an item that has never been filled")
        self.done.append(item)
        self.item = None

    def at_item(self, event):
        event.need_keys(event.data, item_id=str, output_index=int)
        event.need(self.item and event.data["output_index"] == len(self.done)
                   and event.data["item_id"] == self.item["id"], "not the open item")

    # --- parts of messages and of reasoning ---

    def part_added(self, event):
        self.at_item(event)
        event.need(self.part is None, "a part begins in another one")
        parts = self.parts(event)
        event.need_keys(event.data, part=dict)
        part = event.data["part"]
        event.need(part.get("type") in PARTS_OF.get(self.item["type"], ()), "not a part of this item")
        event.need((part["type"] == "summary_text") == (self.list_name(event) == "summary"),
                   "a part in the wrong list")
        event.need(event.data[self.index_name(event)] == len(parts), "not the next index")
        event.need(part.get(PARTS[part["type"]]) == "", "a part begins empty")
        if part["type"] == "output_text":
            event.need_keys(part, annotations=list)
        self.part, self.text_done = dict(part), None

    @staticmethod
    def list_name(event):
        return "summary" if "summary" in event.name else "content"

    def index_name(self, event):
        return f"{self.list_name(event)}_index"

    def parts(self, event):
        event.need_keys(event.data, **{self.index_name(event): int})
        name = self.list_name(event)
        self.item[name] = self.item.get(name) or []
        return self.item[name]

    def at_part(self, event):
        self.at_item(event)
        parts = self.parts(event)
        event.need(self.part and event.data[self.index_name(event)] == len(parts), "not the open part")
        event.need(self.part["type"] == TEXT_EVENTS.get(event.name, self.part["type"]),
                   f"not an event of {self.part['type']}")
        return PARTS[self.part["type"]]

    def text_delta(self, event):
        name = self.at_part(event)
        event.need_keys(event.data, delta=str)
        event.need(self.text_done is None, "a delta after its text is done")
        self.part[name] += event.data["delta"]

    def text_end(self, event):
        name = self.at_part(event)
        event.need(self.text_done is None, "the text is done twice")
        event.need(event.data.get(name) == self.part[name], f"not what was added: {self.part[name]!r}")
        self.text_done = event.data[name]

    def part_done(self, event):
        name = self.at_part(event)
        event.need_keys(event.data, part=dict)
        event.need(self.text_done is not None, "a part is done before its text")
        event.need(event.data["part"].get("type") == self.part["type"], "the type of the part changed")
        event.need(event.data["part"].get(name) == self.text_done, "the part is not what was added")
        self.parts(event).append(event.data["part"])
        self.part, self.is_filled = None, True

    # --- calls ---

    def call_delta(self, event):
        self.at_item(event)
        name = self.call_text(event)
        event.need_keys(event.data, delta=str)
        event.need(not self.is_filled, "a delta after the end of the call")
        self.item[name] += event.data["delta"]

    def call_done(self, event):
        self.at_item(event)
        name = self.call_text(event)
        event.need(not self.is_filled, "the call is done twice")
        event.need(event.data.get(name) == self.item[name], f"not what was added: {self.item[name]!r}")
        event.need(event.data.get("name", self.item["name"]) == self.item["name"], "the name changed")
        self.is_filled = True

    def call_text(self, event):
        name = "input" if "custom" in event.name else "arguments"
        event.need(name in self.item, f"not an event of {self.item['type']}")
        return name

    # --- afterwards ---

    def finish(self, n_comments):
        summary = Summary(error=self.error_data, final=self.final, n_comments=n_comments)
        for item in self.done:
            if item["type"] == "message":
                summary.text += "".join(part.get("text", "") for part in item["content"])
            elif item["type"] == "reasoning":
                parts = item.get("content") or item["summary"]
                summary.reasoning += "".join(part["text"] for part in parts)
            else:
                summary.calls.append(Call(item["call_id"], item["name"],
                                          item.get("arguments", item.get("input"))))
        if self.final:
            summary.finish, summary.usage = self.final["status"], self.final.get("usage")
        return summary


# Event -> the type of part it belongs to.
TEXT_EVENTS = {f"response.{prefix}.{what}": part for prefix, part in (
    ("output_text", "output_text"), ("refusal", "refusal"), ("reasoning_text", "reasoning_text"),
    ("reasoning_summary_text", "summary_text")) for what in ("delta", "done")}
HANDLERS = {
    "response.created": Reader.created,
    "response.queued": Reader.progress,
    "response.in_progress": Reader.progress,
    **dict.fromkeys(STATUS, Reader.end),
    "error": Reader.error,
    "response.output_item.added": Reader.item_added,
    "response.output_item.done": Reader.item_done,
    "response.content_part.added": Reader.part_added,
    "response.content_part.done": Reader.part_done,
    "response.reasoning_summary_part.added": Reader.part_added,
    "response.reasoning_summary_part.done": Reader.part_done,
    **{name: Reader.text_delta if name.endswith("delta") else Reader.text_end for name in TEXT_EVENTS},
    "response.function_call_arguments.delta": Reader.call_delta,
    "response.function_call_arguments.done": Reader.call_done,
    "response.custom_tool_call_input.delta": Reader.call_delta,
    "response.custom_tool_call_input.done": Reader.call_done,
}
