"""Conversations with tools: which tool, with which arguments, and what its result says."""


def schema(name, description, **properties):
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "properties": {k: {"type": "string", "description": d} for k, d in properties.items()},
                       "required": list(properties)}}}


TOOLS = {
    "get_weather": schema("get_weather", "Weather of a city", city="Name of the city"),
    "calculator": schema("calculator", "Calculate an expression", expression="For example 2 + 3"),
    "read_file": schema("read_file", "Read a text file", path="Path of the file"),
}

CITIES = ("Paris Berlin Madrid Rome Vienna London Oslo Lisbon Dublin Prague Zurich Munich Hamburg Lyon Milan Athens Warsaw Tokyo "
          "Boston Chicago Toronto Sydney Cairo Delhi Seoul Lima Quito Havana Geneva Basel Porto Turin").split()
CITIES_HELDOUT = "Helsinki Brussels Stockholm Naples Krakow Nairobi".split()
SKIES = "sunny cloudy rainy windy foggy clear".split()
STEMS = "notes todo report config readme data list letter plan draft log table".split()
ENDINGS = "txt md csv ini json".split()
FOLDERS = ["", "", "docs/", "/tmp/", "home/", "src/"]
LINES = ["buy milk and bread", "the meeting is at nine", "all tests pass", "call Anna on Monday", "the door is green", "nothing to do today",
         "port = 31313", "workers = 2", "send the letter to Ben", "water the plants"]
SYLLABLES = "ba bo da de fi ga ha jo ka ki la lo ma mi na no pa ra ri sa so ta to va vi zu".split()

WEATHER_TRAIN = ["What is the weather in {x}?", "How is the weather in {x}?", "Weather in {x}?", "Tell me the weather in {x}.", "Is it sunny in {x}?",
                 "Does it rain in {x}?", "How warm is it in {x}?", "What is the temperature in {x}?", "Weather for {x}, please.", "Will it rain in {x}?", "Do I need a coat in {x}?",
                 "I travel to {x}. How is the weather?", "Check the weather in {x}.", "How cold is it in {x}?", "I am in {x}. Is it windy?", "Can you check the weather in {x}?"]
WEATHER_HELDOUT = ["Do I need an umbrella in {x} today?", "I am going to {x}. What will the weather be like?", "Please check the weather for me in {x}.", "Is it cold in {x} right now?"]
FILE_TRAIN = ["Read {x}.", "Read the file {x}.", "What is in {x}?", "What does {x} say?", "Show me {x}.", "Open {x}, please.", "Print the file {x}.", "What is in the file {x}?",
              "Look into {x}.", "Tell me what is in {x}.", "I want to see {x}.", "Can you read {x}?", "What is written in {x}?", "Please read {x} for me."]
FILE_HELDOUT = ["Please tell me the contents of {x}.", "Have a look into {x} for me.", "Could you read out what {x} contains?", "I want to know what is written in {x}."]
CALC_TRAIN = ["What is {x}?", "Calculate {x}.", "How much is {x}?", "{x}?", "Compute {x}.", "Tell me {x}.", "What is the result of {x}?",
              "I need {x}.", "Work out {x}.", "Can you calculate {x}?", "Give me the result of {x}.", "What does {x} give?", "Please calculate {x} for me."]
CALC_HELDOUT = ["Please work out {x} for me.", "I need the value of {x}.", "Do the maths: {x}.", "Could you calculate what {x} gives?"]
WORDS = {"+": "plus", "-": "minus", "*": "times"}


def made_up(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))


def weather(rng, is_heldout):
    if is_heldout:
        city = rng.choice(CITIES + CITIES_HELDOUT * 2)
    else:
        city = rng.choice(CITIES) if rng.random() < 0.6 else made_up(rng).capitalize()
    sky, warm = rng.choice(SKIES), rng.randint(-5, 35)
    return dict(tool="get_weather", arguments={"city": city}, ask=(WEATHER_HELDOUT if is_heldout else WEATHER_TRAIN, city), short=f"the weather in {city}",
                result=f"{warm} °C, {sky}", answer=f"In {city} it is {warm} °C and {sky}.", think=f"I need the weather in {city}.")


def read_file(rng, is_heldout):
    stem = rng.choice(STEMS) if rng.random() < 0.6 else made_up(rng)
    path = f"{rng.choice(FOLDERS)}{stem}.{rng.choice(ENDINGS)}"
    line = rng.choice(LINES) if rng.random() < 0.7 else " ".join(made_up(rng) for _ in range(3))
    return dict(tool="read_file", arguments={"path": path}, ask=(FILE_HELDOUT if is_heldout else FILE_TRAIN, path), short=f"the file {path}",
                result=line, answer=f"The file {path} says: {line}", think=f"I have to read {path}.")


def calculate(rng, is_heldout):
    a, b, op = rng.randint(10, 999), rng.randint(2, 999), rng.choice("+-*")
    text = f"{a} {op} {b}" if rng.random() < 0.5 else f"{a} {WORDS[op]} {b}"
    expression = f"{a} {op} {b}"
    return dict(tool="calculator", arguments={"expression": expression}, ask=(CALC_HELDOUT if is_heldout else CALC_TRAIN, text), short=text,
                result=str({"+": a + b, "-": a - b, "*": a * b}[op]), answer=f"{expression} = {({'+': a + b, '-': a - b, '*': a * b}[op])}.",
                think=f"I calculate {expression}.")


MAKERS = [weather, read_file, calculate]


def question_of(rng, task):
    patterns, x = task["ask"]
    return rng.choice(patterns).replace("{x}", x)


def call_of(task):
    return {"type": "function", "function": {"name": task["tool"], "arguments": task["arguments"]}}


def offer(rng, tasks):
    """The tools of the prompt: those needed and perhaps others, in any order."""
    names = {t["tool"] for t in tasks} | {n for n in TOOLS if rng.random() < 0.3}
    names = sorted(names)
    rng.shuffle(names)
    return [TOOLS[n] for n in names]


def tool_talk(rng, is_heldout=False, stage=None, shape=None):
    """A conversation up to an answer or a call: dict(messages, tools, target, tasks: the calls that are due)."""
    shape = shape or rng.choice(["one", "one", "one", "both", "then"])
    first = rng.choice(MAKERS)(rng, is_heldout)
    tasks = [first]
    if shape == "one":
        question = question_of(rng, first)
    else:
        second = rng.choice(MAKERS)(rng, is_heldout)
        tasks.append(second)
        if shape == "both":
            question = rng.choice(["I need two things: {a} and {b}."] if is_heldout else
                                  ["Tell me {a} and {b}.", "Show me {a} and {b}.", "I want {a} and {b}.", "Get {a} and {b}, please.",
                                   "I need {a} and also {b}.", "Both {a} and {b}, please.", "Two things, please: {a} and {b}."])
        else:
            question = rng.choice(["Start with {a}; when that is done, {b}."] if is_heldout else
                                  ["First {a}, then {b}.", "I want first {a} and then {b}.", "Tell me first {a}, then {b}.",
                                   "Do {a}, and when it is done {b}.", "Begin with {a}, then {b}.", "{a}. After that {b}.", "At first {a}; then {b}."])
        question = question.replace("{a}", first["short"]).replace("{b}", second["short"])
    groups = [tasks] if shape in ("one", "both") else [[t] for t in tasks]
    stage = rng.randint(0, len(groups)) if stage is None else stage
    messages = [{"role": "user", "content": question}]
    for group in groups[:stage]:
        messages.append({"role": "assistant", "content": "", "tool_calls": [call_of(t) for t in group]})
        messages += [{"role": "tool", "content": t["result"]} for t in group]
    if stage < len(groups):
        due = groups[stage]
        target = {"role": "assistant", "content": "", "reasoning_content": " ".join(t["think"] for t in due), "tool_calls": [call_of(t) for t in due]}
    else:
        due = []
        target = {"role": "assistant", "content": " ".join(t["answer"] for t in tasks), "reasoning_content": "I have what I need."}
    return dict(messages=messages, tools=offer(rng, tasks), target=target, tasks=due)
