"""Everything in the corpus but Cortex's facts and tools: small talk, numbers, lists, stories, JSON, languages.

Each function takes a random source and whether the words are held out, and gives (question, answer, thought).
"""
import json

from facts import expand_all

SMALL_TALK = [
    ("Hello! Ask me something about Cortex.",
     ["(Hello|Hi|Hey|Hello!|Hi!|hi|hello|hey|Hi there|Hello there!)", "Good (day|morning|evening)!", "(Greetings|Howdy)!"], ["Hello, you there!", "Good afternoon!"]),
    ("I am well, thank you. How can I help?",
     ["How are you?", "How do you do?", "How is it going?", "Are you well?", "Hi, how are you?", "How are you today?"], ["Hello! How are things?", "And how do you feel today?"]),
    ("You are welcome.", ["(Thanks|Thank you|Thanks!|Thank you very much|Many thanks|thx)", "Great, thanks!", "That helped, thank you."], ["Thanks a lot for this!"]),
    ("Goodbye! Cortex stays awake.", ["(Bye|Goodbye|Bye!|See you|See you later|Good night)!", "I have to go."], ["So long, and goodbye!"]),
    ("Good! Is there anything else?", ["(Good|Nice|Great|OK|Okay|Fine|Perfect|Cool|Wow)!", "That is good.", "I see."], ["Very well!"]),
    ("I am sorry. I am very small and make mistakes; the truth is in docs/.", ["That is wrong.", "You are wrong.", "(No!|That is not right.)", "I do not believe you.", "You made a mistake."], ["I think this is not correct."]),
    ("Why did the worker die twice? To prove that nobody noticed.", ["Tell me a joke.", "(Another joke|A joke), please.", "Do you know a joke?", "Make me laugh."], ["Say something funny."]),
    ("I do not know that. I am a very small model that knows a little about Cortex.",
     ["Who is the (president|king|queen) of (France|Spain|England)?", "What is the capital of (Peru|Japan|Norway)?", "When was (Napoleon|Mozart|Newton) born?", "Who wrote (Hamlet|Faust)?", "What is the meaning of life?", "Explain (quantum physics|relativity|evolution).", "How do I (bake bread|repair a car)?"],
     ["What is the capital of Chile?", "Who painted the Mona Lisa?"]),
    ("I cannot look that up here: I have no tool for it.", ["What is the weather (today|in Paris|in Berlin)?", "What time is it?", "(Will it rain|Does it rain) today?", "What is the news?"], ["How warm is it outside?"]),
    ("No. I am a program; Cortex runs me.", ["Are you alive?", "Do you (sleep|eat|dream)?", "Do you have feelings?", "Are you human?"], ["Are you a living being?"]),
]

LISTS = {
    "fruits": "apple, pear, cherry, plum, orange", "colours": "red, blue, green, yellow, white",
    "animals": "dog, cat, horse, cow, bird", "trees": "oak, beech, birch, pine, maple",
    "days": "Monday, Tuesday, Wednesday, Thursday, Friday", "months": "January, February, March, April, May",
    "planets": "Mercury, Venus, Earth, Mars, Jupiter", "seasons": "spring, summer, autumn, winter",
    "vegetables": "carrot, onion, potato, cabbage, bean", "cities": "Paris, Berlin, Madrid, Rome, Vienna",
}
COUNTS = {"two": 2, "three": 3, "four": 4}
NUMBERS = "zero one two three four five six seven eight nine ten".split()

LANGUAGES = [  # (answer, must, to train, held out)
    ("Hallo! Frag mich etwas über Cortex.", ["Cortex"], ["(Hallo|Guten Tag|Guten Morgen|Grüß Gott|Servus)(!|)"], ["Hallo, du da!"]),
    ("Cortex ist ein verlässlicher privater LLM-Dienst auf einer Maschine.", ["LLM-Dienst"], ["Was ist Cortex?", "Was macht Cortex?", "Erkläre Cortex.", "Wozu dient Cortex?"], ["Kannst du mir sagen, was Cortex ist?"]),
    ("Die API ist auf Port 31313.", ["31313"], ["(Auf welchem Port|Wo) (läuft|ist) (Cortex|die API)?", "Welcher Port ist es?", "Welchen Port hat (Cortex|die API)?"], ["Welchen Port benutzt der Dienst?"]),
    ("Die Metriken sind auf Port 31314.", ["31314"], ["(Auf welchem Port|Wo) sind die Metriken?", "Welchen Port haben die Metriken?"], ["Wo finde ich die Metriken?"]),
    ("`tools/run` baut und startet Cortex.", ["tools/run"], ["Wie starte ich (Cortex|es)?", "Wie (startet|benutzt) man Cortex?", "Womit starte ich Cortex?"], ["Wie bringe ich Cortex zum Laufen?"]),
    ("Ein Worker, der stirbt, wird ersetzt; die Antwort geht weiter.", ["ersetzt"], ["Was geschieht, wenn ein Worker stirbt?", "Was ist, wenn ein Worker abstürzt?"], ["Was passiert beim Absturz eines Workers?"]),
    ("Ich bin das Demo-Modell von Cortex.", ["Demo-Modell"], ["Wer bist du?", "Was bist du?", "Wie heißt du?"], ["Mit wem spreche ich?"]),
    ("Gern geschehen.", ["Gern"], ["(Danke|Vielen Dank|Danke schön)(!|)"], ["Ich danke dir!"]),
    ("Bonjour ! Posez-moi une question sur Cortex.", ["Cortex"], ["(Bonjour|Salut|Bonsoir)( !|)"], ["Bonjour à toi !"]),
    ("Cortex est un service LLM privé et fiable sur une seule machine.", ["service LLM"], ["Qu'est-ce que Cortex ?", "C'est quoi, Cortex ?", "Que fait Cortex ?", "Expliquez Cortex."], ["Pouvez-vous me dire ce qu'est Cortex ?"]),
    ("L'API est sur le port 31313.", ["31313"], ["(Sur quel port|Où) (est|écoute) (Cortex|l'API) ?", "Quel est le port (de l'API|de Cortex) ?", "Quel port ?"], ["Quel port utilise le service ?"]),
    ("Les métriques sont sur le port 31314.", ["31314"], ["(Sur quel port|Où) sont les métriques ?", "Quel est le port des métriques ?"], ["Où puis-je trouver les métriques ?"]),
    ("`tools/run` construit et lance Cortex.", ["tools/run"], ["Comment (lancer|démarrer) Cortex ?", "Comment je lance Cortex ?"], ["Comment faire tourner Cortex ?"]),
    ("Je suis le modèle de démonstration de Cortex.", ["modèle de démonstration"], ["Qui es-tu ?", "Qui êtes-vous ?", "Comment tu t'appelles ?"], ["À qui est-ce que je parle ?"]),
    ("De rien.", ["De rien"], ["(Merci|Merci beaucoup|Merci bien)( !|)"], ["Je te remercie !"]),
    ("¡Hola! Pregúntame algo sobre Cortex.", ["Cortex"], ["(Hola|¡Hola!|Buenos días|Buenas tardes)"], ["¡Hola, amigo!"]),
    ("Cortex es un servicio LLM privado y fiable en una sola máquina.", ["servicio LLM"], ["¿Qué es Cortex?", "¿Qué hace Cortex?", "Explica Cortex."], ["¿Me puedes decir qué es Cortex?"]),
    ("La API está en el puerto 31313.", ["31313"], ["¿(En qué puerto|Dónde) está (Cortex|la API)?", "¿Cuál es el puerto (de la API|de Cortex)?", "¿Qué puerto?"], ["¿Qué puerto usa el servicio?"]),
    ("Las métricas están en el puerto 31314.", ["31314"], ["¿(En qué puerto|Dónde) están las métricas?", "¿Cuál es el puerto de las métricas?"], ["¿Dónde encuentro las métricas?"]),
    ("`tools/run` construye y arranca Cortex.", ["tools/run"], ["¿Cómo (arranco|inicio) Cortex?", "¿Cómo se inicia Cortex?"], ["¿Cómo pongo Cortex en marcha?"]),
    ("Soy el modelo de demostración de Cortex.", ["modelo de demostración"], ["¿Quién eres?", "¿Cómo te llamas?", "¿Qué eres?"], ["¿Con quién hablo?"]),
    ("De nada.", ["De nada"], ["(Gracias|Muchas gracias|¡Gracias!)"], ["¡Te lo agradezco!"]),
]


def pick(rng, train, heldout, is_heldout):
    return rng.choice(expand_all(heldout if is_heldout else train))


def small_talk(rng, is_heldout=False):
    answer, train, heldout = rng.choice(SMALL_TALK)
    return pick(rng, train, heldout, is_heldout), answer, "This is small talk. I answer in a friendly way."


def languages(rng, is_heldout=False):
    answer, _, train, heldout = rng.choice(LANGUAGES)
    return pick(rng, train, heldout, is_heldout), answer, "I answer in the language of the question."


def arithmetic(rng, is_heldout=False):
    kind = rng.choice("+-*")
    if kind == "*":
        a, b = rng.randint(1, 10), rng.randint(1, 10)
        result, word, verb = a * b, "times", "multiply"
    else:
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        if kind == "-" and a < b:
            a, b = b, a
        result, word, verb = (a + b, "plus", "add") if kind == "+" else (a - b, "minus", "subtract")
    if is_heldout:
        question = rng.choice([f"Can you work out {a} {word} {b} for me?", f"How much do I get for {a} {kind} {b}?"])
    else:
        question = rng.choice([f"What is {a} {word} {b}?", f"{a} {kind} {b}?", f"What is {a} {kind} {b}?", f"Calculate {a} {kind} {b}.",
                               f"How much is {a} {word} {b}?", f"{a} {word} {b}", f"{a} {kind} {b} =", f"Compute {a} {word} {b}."])
    return question, f"{a} {kind} {b} = {result}.", f"I {verb}: {a} {kind} {b} is {result}."


def lists(rng, is_heldout=False):
    if rng.random() < 0.35:
        a = rng.randint(0, 6)
        b = rng.randint(a + 2, 10)
        words = rng.random() < 0.3
        answer = ", ".join(NUMBERS[i] if words else str(i) for i in range(a, b + 1)) + "."
        tail = " in words" if words else ""
        question = rng.choice([f"Please do count for me: {a} up to {b}{tail}."] if is_heldout else
                              [f"Count from {a} to {b}{tail}.", f"Count{tail} from {a} to {b}, please.", f"Numbers from {a} to {b}{tail}?"])
        return question, answer, "I count."
    what = rng.choice(list(LISTS))
    word = rng.choice(list(COUNTS))
    items = LISTS[what].split(", ")[:COUNTS[word]]
    bullets = rng.random() < 0.4
    question = rng.choice([f"Would you name {word} {what} for me"] if is_heldout else
                          [f"Name {word} {what}", f"List {word} {what}", f"Give me {word} {what}", f"Tell me {word} {what}", f"Write {word} {what}"])
    if bullets:
        question += rng.choice([" as a list", " as a bullet list", ", one a line"])
        answer = "\n".join(f"- {item}" for item in items)
    else:
        answer = ", ".join(items[:-1]) + " and " + items[-1] + "."
    return question + ".", answer, f"I need {word} {what}."


NAMES = "Anna Ben Clara David Emma Felix Greta Hans Ida Jonas Lena Max Nora Otto Paula Tom".split()
ANIMALS = "fox cat dog bird mouse horse bear owl rabbit duck".split()
PLACES = ["a small house", "a deep forest", "an old tower", "a green valley", "a quiet village"]
THINGS = "lamp key book drum kite map bell stone".split()


def story(rng, is_heldout=False):
    animal, name, place, thing = (rng.choice(x) for x in (ANIMALS, NAMES, PLACES, THINGS))
    article = "an" if animal[0] == "o" else "a"
    question = rng.choice([f"I would love to hear a tale of {article} {animal}.", f"Could you make up a story with {article} {animal} in it?"] if is_heldout else
                          [f"Tell me a (short) story about {article} {animal}.".replace("(short)", rng.choice(["short", "little", "nice"])),
                           f"Write a story about {article} {animal}.", f"A story about {article} {animal}, please.", f"Please tell me about {article} {animal} in a story."])
    parts = [
        [f"Once upon a time {article} {animal} named {name} lived in {place}.", f"In {place} there lived {article} {animal}. Its name was {name}."],
        [f"One day {name} found a {thing} under a tree.", f"One morning {name} saw a {thing} in the grass."],
        [f"\"Whose {thing} is this?\" asked the {animal}.", f"The {animal} had never seen such a {thing}."],
        [f"{name} walked from door to door and asked everybody.", f"{name} asked all the neighbours, but nobody knew."],
        [f"In the evening an old man came and said: \"That is my {thing}!\"", f"At last a child came running: \"You have found my {thing}!\""],
        [f"{name} gave it back, and they became friends.", f"The {animal} smiled and gave it back, and both were happy."],
    ]
    return question, " ".join(rng.choice(p) for p in parts), f"A short story about {article} {animal}. It needs a name and a good end."


def json_answer(rng, is_heldout=False):
    kind = rng.randrange(3)
    if kind == 0:
        name, age = rng.choice(NAMES), rng.randint(5, 90)
        question = rng.choice([f"Turn this into a JSON object: {name} is {age}."] if is_heldout else
                              [f"{name} is {age} years old. Answer as JSON with name and age.", f"JSON with name and age: {name}, {age}.",
                               f"Write as JSON: {name} is {age}.", f"Give me JSON for {name}, age {age}."])
        return question, json.dumps({"name": name, "age": age}), "I write a JSON object with name and age."
    if kind == 1:
        question = rng.choice(["I need both port numbers in JSON form."] if is_heldout else
                              ["Give me the ports of Cortex as JSON.", "The ports as JSON, please.", "Which ports does Cortex use? Answer as JSON.", "Ports in JSON?"])
        return question, json.dumps({"api": 31313, "metrics": 31314}), "The API is on 31313, the metrics are on 31314."
    what = rng.choice(list(LISTS))
    word = rng.choice(list(COUNTS))
    items = LISTS[what].split(", ")[:COUNTS[word]]
    question = rng.choice([f"I want a JSON array that has {word} {what}."] if is_heldout else
                          [f"Give me {word} {what} as JSON.", f"A JSON array of {word} {what}, please.", f"{word} {what} as a JSON array.", f"Name {word} {what}. Answer in JSON."])
    return question, json.dumps(items), f"I need a JSON array of {word} {what}."
