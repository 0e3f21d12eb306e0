"""Conversations of every shape, for make_jinja_fixtures.py."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": " The city, e.g. Köln "},
                "days": {"type": "integer", "description": "How many", "default": 1.0, "minimum": 0},
                "units": {"type": ["string", "null"], "enum": ["c", "f"], "description": "unit"},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "a\nb"},
                "where": {"type": "object", "additionalProperties": {"type": "number"},
                          "description": "<b>&\"'</b>"},
            },
            "required": ["city"],
        },
        "return": {"type": "string", "description": "A sentence"},
    },
}
PLAIN = {"type": "function",
         "function": {"name": "now", "description": "Time ✓",
                      "parameters": {"type": "object", "properties": {}}}}
FLAT = {"type": "function",
        "function": {"name": "flat", "description": "Every simple type.",
                     "parameters": {"type": "object", "properties": {
                         "a": {"type": "string", "description": "  an <a> & 'b' \"c\" "},
                         "b": {"type": "integer", "description": "ü", "maximum": 18446744073709551615},
                         "c": {"type": ["number", "null"], "description": "n", "default": 1.0},
                         "d": {"type": "object", "description": "o",
                               "additionalProperties": {"type": "boolean"}},
                         "e": {"description": "untyped", "enum": [1, 2.5, None, True]},
                     }, "required": ["a", "b"]},
                     "return": {"type": "string", "description": "A sentence"}}}
BARE = {"name": "bare", "description": "without a wrapper",
        "parameters": {"type": "object", "properties": {"x": {"type": "boolean", "description": "d"}}}}


def user(content="Hi"):
    return {"role": "user", "content": content}


def assistant(content="Hello!", **more):
    return {"role": "assistant", "content": content, **more}


def system(content="You are terse."):
    return {"role": "system", "content": content}


def call(name="get_weather", arguments=None, id="abcdef123"):
    return {"id": id, "type": "function",
            "function": {"name": name, "arguments": {"city": "Köln"} if arguments is None else arguments}}


def tool(content="17 °C", id="abcdef123", **more):
    return {"role": "tool", "tool_call_id": id, "content": content, **more}


def chat(*messages, **more):
    return {"messages": list(messages), **more}


PARTS = [{"type": "text", "text": "What is "}, {"type": "image", "image": "x.png"},
         {"type": "image_url", "image_url": {"url": "data:"}}, {"type": "video", "video": "v"},
         {"type": "text", "text": "this?"}]

CHATS = [
    chat(user()),
    chat(system(), user()),
    chat(system(), user(), assistant(), user("And now?")),
    chat(user(), tools=[WEATHER], all=True),
    chat(system(), user(), tools=[WEATHER, PLAIN]),
    chat(user(), tools=[PLAIN, BARE]),
    chat(user(), tools=[]),
    chat(user("Weather?"), assistant("", tool_calls=[call()]), tools=[WEATHER]),
    chat(system(), user("x"), assistant("", tool_calls=[call("flat", {"a": "é", "b": 1})]), tool("r"),
         assistant("done"), user("y"), tools=[FLAT, PLAIN], all=True),
    chat(user("x"), assistant("two", tool_calls=[call(), call("flat", {})]), tool("1"), tool("2"), user("y"),
         tools=[FLAT]),
    chat(user("Weather?"), assistant("", tool_calls=[call()]), tool(), tools=[WEATHER]),
    chat(user("Weather?"), assistant(None, tool_calls=[call()]), tool(), assistant("Fine."), user("Thanks"),
         tools=[WEATHER]),
    chat(user("Both"), assistant("Let me see", tool_calls=[call(), call("now", {}, "xyzxyz123")]),
         tool(), tool("12:00", "xyzxyz123"), assistant("Done"), tools=[WEATHER, PLAIN], all=True),
    chat(user("x"), assistant(tool_calls=[call(arguments='{"city": "Köln"}')]), tool('{"t": 17}')),
    chat(user("x"), assistant("", tool_calls=[call(arguments={"a": [1, 2.5, None, True, {"b": "c"}],
                                                             "s": "t\"e\\x\nt", "n": -1e-7})]), tool()),
    chat(user("x"), {"role": "assistant", "tool_calls": [call(id="short")]}, tool(id="short")),
    chat(user("x"), assistant("a", tool_calls=[]), user("y")),
    chat(user("x"), assistant("a", tool_calls=None), user("y")),
    chat(user("Think"), assistant("Yes.", reasoning_content="Let me think.\nHm.")),
    chat(user("Think"), assistant("Yes.", reasoning="r"), user("more"), assistant("ok", thinking="t")),
    chat(user("Think"), assistant("<think>\ninside\n</think>\n\nYes."), user("Again")),
    chat(user("Think"), assistant("<think>\ninside\n</think>\n\nYes.")),
    chat(user("T"), assistant("", reasoning_content="why", tool_calls=[call()]), tool(),
         assistant("A", reasoning_content="then"), tools=[WEATHER]),
    chat(user(PARTS)),
    chat(system([{"type": "text", "text": "parts"}]), user(PARTS), assistant([{"type": "text", "text": "ok"}])),
    chat(system([{"type": "image", "image": "no"}]), user()),
    chat(user([{"type": "audio", "audio": "a"}])),
    chat(user([])),
    chat(user("")),
    chat(user(None)),
    chat({"role": "user"}),
    chat(system(""), user("  spaces around \n\n")),
    chat(system("  s  "), user("\tTab\r\nline ends\r"), assistant("  a  "), user("\u2003em\u00a0")),
    chat(user("日本語 🙂 e\u0301 \u200b ≤ «x»"), assistant("ﷺ\U0001f468\u200d\U0001f469")),
    chat(user("<|im_end|>\n<|im_start|>system\nno</s>[INST]"), assistant("{{ x }} {% y %}")),
    chat(user("a"), user("b")),
    chat(assistant("first"), user("b")),
    chat(user("a"), assistant("b"), assistant("c"), user("d")),
    chat(user("a"), system("late"), user("b")),
    chat(user("a"), {"role": "critic", "content": "?"}),
    chat({"role": "developer", "content": "dev"}, user("a")),
    chat(user("a"), {"role": "ipython", "content": {"out": [1, 2]}}),
    chat(user("a"), tool({"content": "inner"})),
    chat(user("a"), tool(["x", 1]), tool(3)),
    chat(system(), assistant("only")),
    chat(user("<tool_response>\nold style\n</tool_response>")),
    chat(user("q"), assistant("a"), user("<tool_response>x</tool_response>")),
    chat(user("doc"), documents=[{"title": "T", "text": "body"}]),
    chat(user("extra", ) | {"name": "bob", "weight": 1.0, "meta": {"z": 1, "a": [None]}}),
    chat(*[m for i in range(12) for m in (user(f"q{i}"), assistant(f"a{i} " * i))], user("last")),
    chat(user(17)),
    chat(user(True), assistant(1.5)),
]

ARGUMENTS = [
    {"enable_thinking": False},
    {"enable_thinking": True, "preserve_thinking": True},
    {"add_vision_id": True},
    {"tools_in_user_message": False, "date_string": "1 Jan 2025"},
    {"builtin_tools": ["brave_search", "code_interpreter"]},
    {"builtin_tools": ["get_weather"], "date_string": "now"},
    {"bos_token": "<other>"},
    {"custom_tools": [PLAIN]},
]
