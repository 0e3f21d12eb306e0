"""What the model of the SDKs' tests says, for the scripted server and for Cortex's simulated worker."""
import json

from scripted import Answer, Call, pieces

HELLO = "Hello there, it is a fine day."
THOUGHT = "They want me to think first."
CITY = {"city": "Paris", "days": 2}
WEATHER = "It is 21 degrees in Paris."
PERSON = {"name": "Ada", "age": 36, "likes": ["engines", "numbers"]}

ANSWERS = [
    Answer(WEATHER, match="21 degrees"),
    Answer("I look it up.", calls=[Call("get_weather", CITY)], match="How is the weather?"),
    Answer(calls=[Call("get_weather", CITY), Call("get_weather", {"city": "Rome", "days": 1})],
           match="How is it in two cities?"),
    Answer(json.dumps(PERSON), match="Who was she?"),
    Answer(HELLO, THOUGHT, match="Think first."),
    Answer("You are called Grace.", match="My name is Grace."),
    Answer(HELLO),
]

WEATHER_SCHEMA = {
    "type": "object", "required": ["city", "days"], "additionalProperties": False,
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
PERSON_SCHEMA = {
    "type": "object", "required": ["name", "age", "likes"], "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
                   "likes": {"type": "array", "items": {"type": "string"}}}}


def simulated(answers):
    """The same for simulate_script: calls as models write them, in pieces that end anywhere."""
    return [{"match": answer.match,
             "pieces": [*({"text": p, "channel": "reasoning"} for p in pieces(answer.reasoning)),
                        *pieces(answer.text + "".join(written(call) for call in answer.calls))]}
            for answer in answers]


def written(call):
    value = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"\n<tool_call>\n{value}\n</tool_call>"
