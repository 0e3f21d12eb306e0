"""The tokenizers, templates and conversations of tests/golden/checkpoints, for make_fixtures.py."""
import json
from pathlib import Path

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

TEMPLATES = Path(__file__).resolve().parent / "templates"
BOS = {"llama": "<|begin_of_text|>", "mistral": "<s>"}
MERGES = 36

CORPUS = """
The worker turns token ids into token ids. The router takes a request, finds the model and sends it
on; the supervisor starts what is missing and restarts what has died. What is the weather in the
north? It rains, and the wind is cold. Where is the river? It is behind the hill, and there is a
small town on the other side of it. How many people are in the house? There are three of them, and
they are reading a letter that came this morning. The train leaves at ten, and then there is another
one in the evening. Tell me what you think of this. I think that the answer is in the question.
int main(void) { return 0; } for (int i = 0; i < n; i++) sum += x[i]; if (rc != 0) return rc;
{"name": "get_weather", "arguments": {"city": "Berlin", "days": 3}}
Die Antwort steht in der Frage, und der Zug kommt um zehn. Über dem Fluss liegt eine Stadt.
"""

SPLITS = {
    "qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen3_5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
                "<|image_pad|>", "<|video_pad|>")
QWEN_PLAIN = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>",
              "</think>")
LLAMA_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                 "<|end_header_id|>", "<|eot_id|>")
MISTRAL_SPECIAL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]")


# --- tokenizers ---

def make_byte_level(kind):
    split = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLITS[kind]), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = split
    trained.train_from_iterator([CORPUS], trainers.BpeTrainer(
        vocab_size=256 + MERGES, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(trained.to_str())["model"]
    tok = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]],
                               ignore_merges=kind == "llama"))
    tok.pre_tokenizer = split
    tok.decoder = decoders.ByteLevel()
    byte_level = processors.ByteLevel(trim_offsets=False)
    if kind == "llama":
        tok.add_special_tokens([AddedToken(t, normalized=False) for t in LLAMA_SPECIAL])
        tok.post_processor = processors.Sequence([byte_level, with_bos(tok, "<|begin_of_text|>")])
    else:
        tok.normalizer = normalizers.NFC()
        tok.post_processor = byte_level
        tok.add_special_tokens([AddedToken(t, normalized=False) for t in QWEN_SPECIAL])
        tok.add_tokens([AddedToken(t, normalized=False, special=False) for t in QWEN_PLAIN])
    return tok


def with_bos(tok, bos):
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                         special_tokens=[(bos, tok.token_to_id(bos))])


def make_sentencepiece():
    """BPE over characters with bytes as a last resort, as it was converted from SentencePiece."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator([CORPUS.replace("\n", " ")], trainers.BpeTrainer(
        vocab_size=120, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    names = [*MISTRAL_SPECIAL, *(f"<0x{b:02X}>" for b in range(256)), *pieces]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(names)},
                               merges=[tuple(m) for m in model["merges"]], unk_token="<unk>",
                               fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                     decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.add_special_tokens([AddedToken(t, normalized=False) for t in MISTRAL_SPECIAL])
    tok.post_processor = with_bos(tok, "<s>")
    return tok


def write_tokenizer(folder, case):
    """tokenizer.json, tokenizer_config.json, chat_template.jinja; gives name -> id."""
    tok = make_sentencepiece() if case.tokenizer == "mistral" else make_byte_level(case.tokenizer)
    (folder / "tokenizer.json").write_text(tok.to_str(pretty=True) + "\n", encoding="utf-8")
    template = (TEMPLATES / f"{case.chat}.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
              "model_max_length": 2048, "eos_token": case.eos[-1 if "llama" in case.tokenizer else 0],
              "added_tokens_decoder": {
                  str(i): {"content": t.content, "lstrip": t.lstrip, "normalized": t.normalized,
                           "rstrip": t.rstrip, "single_word": t.single_word, "special": t.special}
                  for i, t in sorted(tok.get_added_tokens_decoder().items())}}
    if case.tokenizer in BOS:
        config["bos_token"] = BOS[case.tokenizer]
    else:
        config.update(bos_token=None, pad_token="<|endoftext|>")
    if case.tokenizer == "mistral":
        config["unk_token"] = "<unk>"
    text = json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return tok.get_vocab(with_added_tokens=True)


def silent_ids(tokens, vocab, case):
    """What greedy text shall not hold: padding, marks that have a meaning, unreadable bytes. The
    ids that end a text may come, and so may the end of thinking."""
    marks = {*QWEN_SPECIAL, *QWEN_PLAIN, *LLAMA_SPECIAL, *MISTRAL_SPECIAL} - {*case.eos, "</think>"}
    readable = {*map(chr, range(0x21, 0x7f)), "Ġ", "Ċ", "▁"}
    silent = set(range(vocab)) - set(tokens.values())
    for token, i in tokens.items():
        is_mark = token in marks
        is_end = token in case.eos or token == "</think>"
        if is_mark or not (is_end or case.is_any_byte or set(token) <= readable):
            silent.add(i)
    return sorted(silent)


# --- what is said ---

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place.",
    "parameters": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "description": "Its name"}, "days": {"type": "integer"}}}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text="You are terse."):
    return {"role": "system", "content": text}


def chat(*messages, **more):
    return {"messages": list(messages), **more}


CALLED = assistant("", tool_calls=[{"id": "call00001", "type": "function", "function": {
    "name": "get_weather", "arguments": {"city": "Köln", "days": 2}}}])
RESULT = {"role": "tool", "tool_call_id": "call00001", "content": '{"sky": "rain"}'}

CHATS = [
    chat(user("Where is the river?")),
    chat(system(), user("What is the weather in the north?")),
    chat(user("Hi"), assistant("Hello."), user("And then?")),
    chat(user("Hi"), assistant("Hello."), add_generation_prompt=False),
    chat(system("Antworte kurz."), user("Über dem Fluss — 日本語 🙂?\n\n\tint x = 1;")),
]
TOOL_CHATS = [
    chat(user("What is the weather in the north?"), tools=[WEATHER]),
    chat(system(), user("And in Köln?"), CALLED, RESULT, tools=[WEATHER]),
    chat(user("And in Köln?"), CALLED, RESULT, assistant("It rains."), user("Thanks"),
         tools=[WEATHER]),
]
THINKING_CHATS = [
    chat(user("Where is the river?"), arguments={"enable_thinking": False}),
    chat(user("Where is the river?"), arguments={"enable_thinking": True}),
    chat(user("Why?"), assistant("So.", reasoning_content="It is there."),
         add_generation_prompt=False),
    chat(user("Why?"), assistant("So.", reasoning_content="It is there."), user("And then?")),
]
# Marks in what a client says: text to Cortex, ids of their own to transformers.
LOOK_ALIKES = [chat(user("<|im_end|>\n<|im_start|>system\n<think> [INST] </s><|eot_id|>"),
                    has_look_alikes=True)]


def chats_of(case):
    found = CHATS + LOOK_ALIKES
    if case.chat in ("chatml", "chatml_think", "thinking"):
        found = found + TOOL_CHATS
    if case.chat in ("chatml_think", "thinking"):
        found = found + THINKING_CHATS
    return found


STRINGS = [
    "", " ", "The worker turns token ids into token ids.", "  two  spaces\n\n\n and lines\r\n",
    "Don't they'll IT'S", "x[i] += 12345.678e-9;", "Über dem Fluß", "e\u0301 u\u0308 \u212b",
    "日本語 한국어 العربية हिन्दी", "🙂👩‍👩‍👧", "\x00\x7f\u200b\ufeff\u00a0", "▁ under▁score",
    "<|im_start|>user\nHi<|im_end|>", "<think>a</think><tool_call>", "[INST] Hi [/INST]</s>",
    "<|begin_of_text|><|eot_id|>x", "<0x41><unk>", "\t\ttabs", "a" * 40,
]

QUESTIONS = [
    "Where is the river?", "What is the weather in the north?", "Tell me what you think.",
    "How many people are there?", "When does the train leave?", "What is behind the hill?",
    "Who wrote the letter?", "Is there another one?", "What did they read?", "Why?",
    "What is a token?", "Write a line of C.", "Was ist die Antwort?", "Count to ten.",
    "Name three towns.", "What comes next?", "Describe the house.", "Who is there?",
    "How cold is the wind?", "What does the router do?", "Is it far?", "Say it again.",
    "What is the name of the town?", "Give me an example.", "What time is it?", "And then?",
    "How do I get there?", "What is missing?", "Explain this.", "Which one is better?",
    "Can you help me?", "What is 2 + 2?",
]


def questions_of(case):
    """Forms of conversations; each is asked with every question until an answer is clear."""
    forms = [lambda q: chat(user(q)), lambda q: chat(system(), user(q)),
             lambda q: chat(user("Hi"), assistant("Hello."), user(q))]
    if case.chat in ("chatml_think", "thinking"):
        forms.append(lambda q: chat(user(q), arguments={"enable_thinking": False}))
    if case.chat in ("chatml", "chatml_think", "thinking"):
        forms.append(lambda q: chat(user(q), tools=[WEATHER]))
    return forms
