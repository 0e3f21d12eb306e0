"""Small tokenizers with the configurations of published families, and texts that are hard for them.
For make_tokenizer_fixtures.py and compare_tokenizer.py; needs tokenizers==0.23.3."""
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]

SAMPLES = """
The quick brown fox jumps over the lazy dog. It's what we'd say, isn't it? They're here; I'll go,
you've been. IT'S WHAT WE'D SAY, ISN'T IT? 3.14159, 1,234,567 and 0x7fff; 100% of 12345678 items.
Der schnelle braune Fuchs springt \u00fcber den faulen Hund. Gr\u00f6\u00dfe, \u00c4rger, \u00dcbung, Stra\u00dfe.
Le renard brun saute par-dessus le chien paresseux. \u00c9t\u00e9, gar\u00e7on, na\u00efve, \u0153uvre, l'h\u00f4tel.
El zorro marr\u00f3n r\u00e1pido salta sobre el perro perezoso. \u00bfQu\u00e9? \u00a1S\u00ed! Ma\u00f1ana, ping\u00fcino.
\u0411\u044b\u0441\u0442\u0440\u0430\u044f \u043a\u043e\u0440\u0438\u0447\u043d\u0435\u0432\u0430\u044f \u043b\u0438\u0441\u0430 \u043f\u0440\u044b\u0433\u0430\u0435\u0442 \u0447\u0435\u0440\u0435\u0437 \u043b\u0435\u043d\u0438\u0432\u0443\u044e \u0441\u043e\u0431\u0430\u043a\u0443. \u0401\u043b\u043a\u0430 \u0438 \u0439\u043e\u0434.
\u0397 \u03b3\u03c1\u03ae\u03b3\u03bf\u03c1\u03b7 \u03b1\u03bb\u03b5\u03c0\u03bf\u03cd \u03c0\u03b7\u03b4\u03ac \u03c0\u03ac\u03bd\u03c9 \u03b1\u03c0\u03cc \u03c4\u03bf \u03c3\u03ba\u03c5\u03bb\u03af.
\u654f\u6377\u7684\u68d5\u8272\u72d0\u72f8\u8df3\u8fc7\u4e86\u61d2\u72d7\u3002\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002
\u7d20\u65e9\u3044\u8336\u8272\u306e\u72d0\u304c\u6020\u3051\u8005\u306e\u72ac\u3092\u98db\u3073\u8d8a\u3048\u308b\u3002\u30ab\u30bf\u30ab\u30ca\u3068\u3072\u3089\u304c\u306a\u3002
\ube60\ub978 \uac08\uc0c9 \uc5ec\uc6b0\uac00 \uac8c\uc73c\ub978 \uac1c\ub97c \ub6f0\uc5b4\ub118\ub294\ub2e4. \uc548\ub155\ud558\uc138\uc694 \uc138\uacc4.
\u0627\u0644\u062b\u0639\u0644\u0628 \u0627\u0644\u0628\u0646\u064a \u0627\u0644\u0633\u0631\u064a\u0639 \u064a\u0642\u0641\u0632 \u0641\u0648\u0642 \u0627\u0644\u0643\u0644\u0628 \u0627\u0644\u0643\u0633\u0648\u0644. \u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u0661\u0662\u0663\u0664
\u05d4\u05e9\u05d5\u05e2\u05dc \u05d4\u05d7\u05d5\u05dd \u05d4\u05de\u05d4\u05d9\u05e8 \u05e7\u05d5\u05e4\u05e5 \u05de\u05e2\u05dc \u05d4\u05db\u05dc\u05d1.
\u0924\u0947\u091c \u092d\u0942\u0930\u0940 \u0932\u094b\u092e\u0921\u093c\u0940 \u0906\u0932\u0938\u0940 \u0915\u0941\u0924\u094d\u0924\u0947 \u0915\u0947 \u090a\u092a\u0930 \u0915\u0942\u0926\u0924\u0940 \u0939\u0948\u0964 \u0967\u0968\u0969
\u0e2a\u0e38\u0e19\u0e31\u0e02\u0e08\u0e34\u0e49\u0e07\u0e08\u0e2d\u0e01\u0e2a\u0e35\u0e19\u0e49\u0e33\u0e15\u0e32\u0e25\u0e01\u0e23\u0e30\u0e42\u0e14\u0e14\u0e02\u0e49\u0e32\u0e21\u0e2a\u0e38\u0e19\u0e31\u0e02
\U0001f600\U0001f602\U0001f970\U0001f44d\U0001f3fd\U0001f469\u200d\U0001f4bb\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f1e9\U0001f1ea\u2764\ufe0f\U0001fa77 ok \u2713 \u2192 \u221e \u2248
int main(void) { return printf("%d\\n", 42) ? 0 : -1; } // a comment
def f(x: int) -> str:\n    if x == 0:\n        return None\n\treturn [i for i in range(10)]
{"key": [1, 2.5, null, true], "text": "a\\u00e9\\n"} <html><body class="x">&amp;</body></html>
SELECT * FROM t WHERE a >= 1 AND b != 'x'; http://example.org/a?b=c&d=%20 user@example.org
snake_case camelCase PascalCase SCREAMING_CASE kebab-case don't DON'T can't I'M
"""

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
          r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
SUPERBPE = r"\d{1,3}(?=(?:\d{3})*\b)"


def special(text, **options):
    return AddedToken(text, special=True, **{"normalized": False, **options})


def plain(text, **options):
    return AddedToken(text, special=False, **{"normalized": False, **options})


def chat(*more):
    return [special(text) for text in SPECIALS] + [plain("<tool_call>"), plain("</tool_call>"), *more]


def isolated(pattern, **options):
    return pre_tokenizers.Split(Regex(pattern), "isolated", **options)


def then_bytes(*steps):
    return pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def template(single, ids):
    return processors.TemplateProcessing(single=single, pair=None, special_tokens=ids)


def byte_level(name, pre_tokenizer, normalizer=None, tokens=None, post=None, **model):
    return dict(name=name, normalizer=normalizer, pre_tokenizer=pre_tokenizer,
                decoder=decoders.ByteLevel(), tokens=chat() if tokens is None else tokens,
                post=post, alphabet=pre_tokenizers.ByteLevel.alphabet(), model=model)


def with_fallback(name, tokens, normalizer=None, pre_tokenizer=None, decoder=None, post=None,
                  **model):
    return dict(name=name, normalizer=normalizer, pre_tokenizer=pre_tokenizer, decoder=decoder,
                tokens=tokens, post=post, alphabet=[], bytes=True,
                model=dict(byte_fallback=True, fuse_unk=True, unk_token="<unk>", **model))


def llama2_decoder(*more):
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                              decoders.Fuse(), *more])


def sentence_tokens(**options):
    return [special("<unk>", **options), special("<s>", **options), special("</s>", **options)]


def families():
    space = normalizers.Replace(" ", "\u2581")
    llama2 = normalizers.Sequence([normalizers.Prepend("\u2581"), space])
    strip = decoders.Strip(" ", 1, 0)
    runs = [plain(" " * n, normalized=True) for n in range(8, 1, -1)]
    return [
        byte_level("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False),
                   tokens=[special("<|endoftext|>", normalized=True)], post="byte_level"),
        byte_level("roberta", pre_tokenizers.ByteLevel(add_prefix_space=True), post="roberta",
                   tokens=[special("<s>"), special("</s>"), special("<mask>", lstrip=True)]),
        byte_level("qwen2", then_bytes(isolated(QWEN2)), normalizers.NFC(), post="byte_level"),
        byte_level("qwen3_5", then_bytes(isolated(QWEN35)), normalizers.NFC()),
        byte_level("llama3", then_bytes(isolated(LLAMA3)), post="llama3", ignore_merges=True,
                   tokens=[special("<|begin_of_text|>"), special("<|eot_id|>")]),
        byte_level("gpt_oss", then_bytes(isolated(O200K)), ignore_merges=True),
        byte_level("kimi", then_bytes(isolated(KIMI))),
        byte_level("deepseek", then_bytes(isolated(r"\p{N}{1,3}"),
                                          isolated("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                                          isolated(DEEPSEEK)),
                   tokens=[special("<\uff5cbegin\u2581of\u2581sentence\uff5c>"),
                           special("<\uff5cend\u2581of\u2581sentence\uff5c>", normalized=True),
                           plain("<\uff5cUser\uff5c>"), plain("<think>", normalized=True)]),
        byte_level("neox", pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC(),
                   tokens=[special("<|endoftext|>"), special("<|padding|>"), *runs]),
        byte_level("falcon", pre_tokenizers.Sequence([
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])),
        byte_level("starcoder", pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False)])),
        byte_level("bloom", then_bytes(isolated(BLOOM))),
        byte_level("superbpe", then_bytes(isolated(SUPERBPE), isolated(r"(?:\r?\n)+(?!\r?\n)"))),
        byte_level("byte_normalizer", isolated("\u0120+|[^\u0120]+"), normalizers.ByteLevel(),
                   tokens=[special("<|x|>"), plain("\u00e9t\u00e9", normalized=True)]),
        with_fallback("llama2", sentence_tokens(), llama2, decoder=llama2_decoder(strip),
                      post="bos"),
        with_fallback("llama2_old", sentence_tokens(normalized=True), llama2,
                      decoder=llama2_decoder(strip), post="bos"),
        with_fallback("mistral", sentence_tokens() + [special("[INST]"), special("[/INST]")],
                      pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
                      decoder=llama2_decoder(strip), post="bos"),
        with_fallback("metaspace", sentence_tokens() + [plain("<extra_id_0>", lstrip=True)],
                      normalizers.NFKC(), pre_tokenizers.Metaspace(),
                      decoders.Metaspace(), post="bert"),
        with_fallback("metaspace_never", sentence_tokens(),
                      pre_tokenizer=pre_tokenizers.Metaspace("\u2581", "never", True),
                      decoder=decoders.Sequence([decoders.Metaspace("\u2581", "never"),
                                                 decoders.ByteFallback(), decoders.Fuse()])),
        with_fallback("gemma", [special("<pad>"), special("<eos>"), special("<bos>"),
                                special("<unk>"), special("<start_of_turn>"),
                                plain("\n\n"), plain("\n\n\n"), plain("\u2581\u2581"),
                                plain("\u2581\u2581\u2581"), plain("<unused0>")],
                      space, pre_tokenizers.Split(" ", "merged_with_previous"),
                      llama2_decoder(), post="bos", ignore_merges=False),
        *odd_ones(),
    ]


def odd(name, tokens=(), **parts):
    return dict(name=name, tokens=list(tokens), alphabet=[], post=None,
                **{"normalizer": None, "pre_tokenizer": None, "decoder": None,
                   "model": {}, **parts})


def odd_ones():
    """What is rare, and all behaviours of Split."""
    split = pre_tokenizers.Split
    norm = normalizers
    words = [plain("hello", single_word=True), plain("fox ", rstrip=True), special("[S]", rstrip=True,
             lstrip=True), plain("fo"), plain("foo bar"), plain(" dog", lstrip=True)]
    return [
        odd("words", [special("[UNK]"), *words], pre_tokenizer=pre_tokenizers.Whitespace(),
            model=dict(unk_token="[UNK]", fuse_unk=False)),
        odd("spaces", [plain(" ", lstrip=True, rstrip=True), plain("  ", lstrip=True, rstrip=True),
                       plain("123", rstrip=True, normalized=True), plain("\n", rstrip=True),
                       plain("the", lstrip=True, rstrip=True)],
            pre_tokenizer=pre_tokenizers.Digits(individual_digits=True)),
        odd("lower", [special("[UNK]"), plain("Hello World", normalized=True),
                      plain("\u00c9t\u00e9", normalized=True)],
            normalizer=norm.Sequence([norm.NFD(), norm.Lowercase(), norm.StripAccents(),
                                      norm.Strip(), norm.NFKC()]),
            pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
            model=dict(unk_token="[UNK]", fuse_unk=True)),
        odd("nmt", normalizer=norm.Sequence([norm.Nmt(), norm.NFKD(),
                                             norm.Replace(Regex(" {2,}"), " "),
                                             norm.Strip(left=True, right=False)]),
            pre_tokenizer=pre_tokenizers.Sequence([split(Regex(r"\p{L}+"), "removed", invert=True),
                                                   pre_tokenizers.FixedLength(4)])),
        odd("previous", [special("<x>")], decoder=decoders.Fuse(),
            pre_tokenizer=split(Regex(r"[\s,.]"), "merged_with_previous")),
        odd("next", pre_tokenizer=split(Regex(r"\s|x*"), "merged_with_next"),
            decoder=decoders.Sequence([decoders.Replace("e", "E"), decoders.Strip("T", 1, 0)])),
        odd("contiguous", pre_tokenizer=split(Regex(r"[aeiou]"), "contiguous", invert=True)),
        odd("isolated", normalizer=norm.Replace(Regex(r"^|\b$"), "|"),
            pre_tokenizer=split("the", "isolated"), decoder=decoders.Replace(Regex("[a-c]+"), "")),
        odd("removed", pre_tokenizer=split(Regex(r"(?<=\w)-(?=\w)|\h{4,}?\B|\Aa|\W\z"), "removed")),
        odd("metaspace_first", [special("<s>"), plain("<t>", normalized=True)],
            normalizer=norm.Strip(), decoder=decoders.Metaspace(prepend_scheme="first"),
            pre_tokenizer=pre_tokenizers.Sequence([
                split(Regex(r"\n"), "removed"), pre_tokenizers.Metaspace(prepend_scheme="first")])),
    ]


def post_processor(kind, tokenizer):
    def pair(text):
        return text, tokenizer.token_to_id(text)
    if kind == "byte_level":
        return processors.ByteLevel(trim_offsets=False)
    if kind == "roberta":
        return processors.RobertaProcessing(pair("</s>"), pair("<s>"))
    if kind == "bert":
        return processors.BertProcessing(pair("</s>"), pair("<s>"))
    if kind == "llama3":
        return processors.Sequence([
            processors.ByteLevel(),
            template("<|begin_of_text|> $A", [pair("<|begin_of_text|>")])])
    bos = "<bos>" if tokenizer.token_to_id("<bos>") is not None else "<s>"
    return template(f"{bos} $A", [pair(bos)])


def corpus():
    lines = SAMPLES.splitlines(keepends=True)
    return lines * 4 + (ROOT / "LICENSE").read_text().splitlines(keepends=True)[:300]


def make(family, vocab_size=900):
    """The family's tokenizer, trained, as the text of its tokenizer.json."""
    tokenizer = Tokenizer(models.BPE(**family["model"]))
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if family[part] is not None:
            setattr(tokenizer, part, family[part])
    first = [f"<0x{byte:02X}>" for byte in range(256)] if family.get("bytes") else []
    in_vocab = [t.content for t in family["tokens"] if t.special] if first else []
    unk = family["model"].get("unk_token")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=family["alphabet"], show_progress=False,
        limit_alphabet=400, max_token_length=24,
        special_tokens=in_vocab + first or ([unk] if unk else []))
    tokenizer.train_from_iterator(corpus(), trainer)
    data = json.loads(tokenizer.to_str())
    # Training made added tokens of what is only vocabulary.
    data["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_tokens(family["tokens"])
    if family["post"]:
        tokenizer.post_processor = post_processor(family["post"], tokenizer)
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))


# --- texts ---

PIECES = [
    " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u200b",
    "\u180e", "\u2028", "a", "I", "the", "Hello", "WORLD", "it's", "IT'S", "'s", "'S", "'ll", "'LL",
    "don't", "'\u017f", "x", "ing", "0", "1", "12", "123", "1234567", "3.14", "\u00bd", "\u00b2",
    "\u0663", "\u0967", "\u2167", "\u4e00", "\u4f60\u597d", "\u4e16\u754c\uff01", "\u3072\u3089",
    "\u30ab\u30ca", "\uff76\uff9e", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\uac00\u11a8", "\u0e33",
    "\u043f\u0440\u0438\u0432\u0435\u0442", "\u0418\u0306", "\u03a3\u03c3\u03c2", "\u0130", "\u0131",
    "\u0645\u064e\u0631\u0652", "\u05e9\u05bc\u05c1", "\u0915\u094d\u0937", "\u0958", "\u00e9",
    "e\u0301", "e\u0323\u0302", "e\u0302\u0323", "\u00df", "\u1e9e", "\ufb01", "\ufdfa", "\u212b",
    "A\u030a", "\u2126", "\u0344", "\u0301", "\u0327\u0301", "\u093c", "\U0001d15e", "\U0002f800",
    "\U0001f600", "\U0001f44d\U0001f3fd", "\U0001f469\u200d\U0001f4bb", "\U0001f1e9\U0001f1ea",
    "\u2764\ufe0f", "\U0001fa77", "\U0001fae8", "\U0001f6dc", "\U00031350", "\U0002ebf0", "\u1c89",
    "\ua7da", "\U0001e4d0", "\U00011f04", "\U000105d2\u0307", "\u32ff", "\ue000", "\uffff", "\ufffd",
    "\U0010ffff", "\x00", "\x01", "\x7f", "\x1b[0m", ".", ",", "!", "...", "\u2026", "?!", "-", "--",
    "_", "\u2581", "\u2581\u2581", "\u0120", "\u010a", "\u2014", "\u201c", "\u300c", "\u3002", "(",
    ")", "[", "]", "{", "}", "<", ">", "|", "\\", "/", "//", "#", "$", "%", "&", "*", "+", "=", "==",
    "@", "^", "`", "~", "\"", "def f(x):", "return", "->", "int main", "();", "    ", "http://",
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start", "|im_end|>", "<|IM_END|>",
    "<tool_call>", "</tool_call>", "<s>", "</s>", "<unk>", " <s>", "<s> ", "[INST]", "[/INST]",
    "<bos>", "<pad>", "<mask>", " <mask>", "<think>", "<\uff5cUser\uff5c>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<|begin_of_text|>", "<|eot_id|>", "<0x41>",
    "<0xE4>", "<unused0>", "[S]", " [S] ", "hello", "hellox", "fox ", "foo bar", "fo", "Hello World",
    "\u00c9t\u00e9", "\u00e9t\u00e9", "<t>", "<x>", " dog", "\u20d0", "\u0301\u0323", "\u24b6",
    "\U0001f130", "\u200d", "\u00ad", "q", "zz", "QQQ", "1a2b", "a1", "a_b", "a-b", "abba",
]


def random_text(rng):
    kind = rng.random()
    n = rng.choice([1, 2, 3, 4, 6, 8, 12, 20])
    if kind < 0.6:
        return "".join(rng.choice(PIECES) for _ in range(n))
    if kind < 0.7:
        few = rng.sample(PIECES, 3)
        return "".join(rng.choice(few) for _ in range(n * 2))
    if kind < 0.85:
        line = rng.choice(SAMPLES.splitlines())
        at = rng.randrange(len(line) + 1)
        return line[at:at + n * 4] + rng.choice(PIECES) + line[:at % 17]
    if kind < 0.97:
        return "".join(random_character(rng) for _ in range(n))
    return rng.choice(PIECES) * rng.choice([20, 50, 100])


# Assigned in no version of Unicode that matters, or in newer ones than the library's.
def random_character(rng):
    kind = rng.random()
    if kind < 0.3:
        return chr(rng.randrange(0x20, 0x250))
    if kind < 0.5:
        return chr(rng.choice([0x300, 0x323, 0x345, 0x591, 0x5b0, 0x64b, 0x94d, 0x1161, 0x11a8,
                               0x302a, 0x3099]) + rng.randrange(12))
    if kind < 0.8:
        return chr(rng.choice([0x370, 0x400, 0x530, 0x5d0, 0x620, 0x900, 0x980, 0xb80, 0xe00, 0x1100,
                               0x1e00, 0x1f00, 0x2000, 0x2100, 0x2460, 0x3040, 0x30a0, 0x4e00, 0x9f00,
                               0xac00, 0xf900, 0xfb00, 0xfe00, 0xff00]) + rng.randrange(0xe0))
    c = rng.randrange(0x110000)
    return chr(c) if not 0xd800 <= c < 0xe000 else " "
