"""Writes conversations about Fernhollow: greetings, questions about the villagers and places, stories on request, and polite refusals.

A conversation is a list of (role, text) pairs. Each turn is one small function; ``Talk`` remembers what the later turns refer to.
"""

from phrases import expand, join
from stories import THEME_PLOTS, tell
from world import (BREAKABLE, BY_NAME, GIFTS, JOKES, OBJECTS, PEOPLE, PLACE_BY_NAME, PLACES, RHYMES, VILLAGERS, WHERE, guest,
                   made_up_word)

KEEPERS = {"the bakery": "Mila", "the forest": "Benno", "the pond": "Oskar", "the garden": "Tilda", "the meadow": "Runa", "the bridge": "Fenn",
           "the library": "Olda", "the mill": "Grum", "the orchard": "Pilla", "the old oak": "Sorrel", "the market": "Dot", "the hill": "Wim"}
SYSTEMS = ["You are the storyteller of Fernhollow.", "You are a friendly storyteller.", "You are a helpful assistant.",
           "You tell short stories and answer questions about the village of Fernhollow.", "Be kind and brief.",
           "You are a helpful, friendly assistant.", "Answer in simple words."]

# what a small storyteller cannot know; the fillers make the set of such questions large
OUTSIDE = ["What is the capital of {country}?", "Who is the president of {country}?", "How do I get to {country}?", "What is {n} times {m}?",
           "What is {n} plus {m}?", "Calculate {n} - {m}.", "Write a [program|function|script] in {language}.",
           "How do I [sort a list|read a file|open a window|fix a bug] in {language}?", "Explain {science} [to me|please|].", "What is {science}?",
           "Who won the {sport} [game|match|final] [yesterday|last year|in {year}]?", "What is the best {gadget} to buy?",
           "How much does a {gadget} cost?", "Can you repair my {gadget}?", "What happened in {year}?",
           "Who wrote [the Bible|Hamlet|Faust|the Odyssey]?", "Translate this into {tongue}.", "Do you speak {tongue}?",
           "What is the weather in {city}?", "Tell me about {city}.", "What time is it?", "What is today's date?", "Give me medical advice.",
           "I have a headache. What should I take?", "What should I invest in?", "Tell me the news.", "Who is {star}?", "Tell me about {star}.",
           "What do you think about {topic}?", "Can you help me with my {homework} homework?", "Where can I buy a {gadget}?",
           "How do {machine}s work?", "Why is {science} important?", "What is the meaning of life?", "How far is the moon?",
           "Book me a flight to {city}.", "Send an email to my boss.", "Play some music.", "Who is stronger, a lion or a shark?",
           "Give me a recipe for {dish}.", "What is the {w} of {w2}?", "Tell me about {w}.", "How do I {verb} a {w}?", "What does {w} mean?",
           "Write an essay about {topic}.", "Write a poem about {topic}.", "Is {w} better than {w2}?", "Who invented the {machine}?",
           "hello world in {language}"]
FILL = {"country": ["France", "Germany", "Japan", "Brazil", "India", "China", "Spain", "Italy", "Canada", "Egypt", "Kenya", "Norway", "Poland",
                    "the United States", "Mexico", "Australia"], "language": ["Python", "Java", "C", "Rust", "JavaScript", "SQL", "Go", "Swift"],
        "year": ["1492", "1789", "1914", "1969", "2001", "2016", "2020", "2024"],
        "science": ["gravity", "quantum physics", "photosynthesis", "relativity", "evolution", "DNA", "electricity", "algebra", "chemistry",
                    "a black hole", "machine learning", "a neural network"],
        "sport": ["football", "tennis", "basketball", "hockey", "chess", "baseball"],
        "gadget": ["phone", "laptop", "car", "computer", "camera", "television", "printer", "bicycle"],
        "tongue": ["French", "German", "Spanish", "Latin", "Chinese", "Arabic", "Italian"],
        "city": ["Paris", "London", "Berlin", "Tokyo", "New York", "Rome", "Madrid", "Moscow", "Sydney", "Cairo"],
        "star": ["Einstein", "Mozart", "Napoleon", "Shakespeare", "Elvis", "Cleopatra", "Newton", "Caesar", "Picasso"],
        "topic": ["politics", "the economy", "religion", "money", "war", "the internet", "robots", "space travel", "climate change"],
        "homework": ["math", "history", "physics", "biology", "geography"],
        "machine": ["engine", "rocket", "computer", "airplane", "radio", "battery", "telephone", "satellite"],
        "dish": ["pizza", "lasagna", "sushi", "curry", "pancakes", "tacos"],
        "verb": ["build", "install", "sell", "cook", "program", "configure", "drive"]}


class Talk:
    def __init__(self, rng):
        self.rng = rng
        self.turns = []
        self.user = None        # the name the user gave
        self.villager = None    # whom "he" or "she" means
        self.story = None
        self.asked = set()

    def pair(self, question, answer, **values):
        question = expand(self.rng, question, **values)
        if self.rng.random() < 0.12:                     # people type carelessly
            question = question.lower() if self.rng.random() < 0.5 else question.rstrip(".?!")
        self.turns.append(("user", question))
        self.turns.append(("assistant", expand(self.rng, answer, **values)))


def greet(t):
    t.pair("[Hello|Hi|Hey|Good morning|Good evening|Hello there|Hi there|Good day][!|.|]",
           "[Hello|Good day|Welcome|Hello and welcome]! [I am the storyteller of Fernhollow. What would you like to hear?|Shall I tell you a story, "
           "or do you have a question about our village?|It is nice to see you in Fernhollow. "
           "Would you like to hear a story?|How nice that you are here. I can tell you a story or answer questions about Fernhollow.]")


def introduce(t):
    rng = t.rng
    name = rng.choice(PEOPLE) if rng.random() < 0.6 else made_up_word(rng).capitalize()
    t.user = name
    t.pair("[Hello, my name is {n}|Hi, I am {n}|My name is {n}|I am {n}|Hello! I'm {n}|They call me {n}][.|!|. What is your name?|. Who are you?]",
           "[Nice to meet you|Hello|Welcome], {n}! [I am the storyteller of Fernhollow.|I am the storyteller of Fernhollow. Would you like to hear "
           "a story?|People call me the storyteller. What would you like to know about Fernhollow?]", n=name)


def recall_name(t):
    if t.user:
        t.pair("[What is my name|Do you remember my name|Who am I|What am I called]?",
               "[Your name is {n}.|You are {n}.|Of course, your name is {n}.]", n=t.user)
    else:
        t.pair("[What is my name|Do you know my name|Who am I]?",
               "[You have not told me your name yet.|I do not know. You have not told me your name.|I do not know your name yet. What is it?]")


def how_are_you(t):
    t.pair("[How are you|How are you today|How do you do|Are you well|How is it going|What's up]?",
           "[I am very well, thank you.|I am fine, thank you.|Very well! The sun is shining over Fernhollow.] [Would you like to hear a story?|How "
           "are you?|What would you like to hear?]")


def user_is_fine(t):
    t.pair("[I am fine|I am good|I am well, thank you|Fine, thanks|I am happy today|Good][.|!|]",
           "[That is good to hear|I am glad to hear that|How nice]! [Shall I tell you a story?|What would you like to know about Fernhollow?]")


def user_is_sad(t):
    t.pair("[I am sad|I am tired|I had a bad day|I feel lonely|I am bored|I cannot sleep|I am sad today][.|]",
           "[I am sorry to hear that.|Oh, I am sorry.] [A story can help. Shall I tell you one?|When {v} is sad, {v.he} goes to see {v.friend}. "
           "Perhaps a story will help you. Would you like one?|In Fernhollow we say that a friend and a warm cup of tea can help. Would you like to "
           "hear a story?]", v=t.rng.choice(VILLAGERS))


def identity(t):
    t.pair("[Who are you|What are you|Are you a robot|Are you a human|Are you an AI|What is your name|Tell me about yourself|Are you real|Who made "
           "you|Are you ChatGPT]?",
           "I am the storyteller of Fernhollow[, a very small language model|. I am only a very small language model]. [I know the village, its "
           "people and many stories.|I can tell you stories and answer questions about our village.]")


def abilities(t):
    t.pair("[What can you do|What do you know|How can you help me|What can I ask you|Help|Can you help me|What should I ask]?",
           "I can tell you [short stories|stories] about [the villagers of Fernhollow|Fernhollow and its villagers], and I can answer questions "
           "about them. [Try this: \"Tell me a story about {v} and a {o}.\"|For example, ask me where {v} lives.|Ask me what {v} likes to eat!]",
           v=t.rng.choice(VILLAGERS), o=t.rng.choice([o for o in OBJECTS if o[0] not in "aeiou"]))


def thanks(t):
    t.pair("[Thank you|Thanks|Thank you very much|Many thanks|Thanks a lot|Great, thank you|That was nice|That was lovely, thank "
           "you|Nice|Cool|Wow|Great][!|.|]",
           "[You are welcome!|My pleasure!|I am glad that you like it.|With pleasure!] [Would you like to hear more?|Is there anything else that "
           "you would like to hear?|Come back to Fernhollow soon!|]")


def goodbye(t):
    name = ", {n}" if t.user and t.rng.random() < 0.7 else ""
    t.pair("[Goodbye|Bye|Bye bye|Good night|See you|I have to go now|See you tomorrow][!|.|]",
           "[Goodbye|Good night|Farewell|Until next time]" + name + "! [Come back to Fernhollow soon.|The villagers of Fernhollow send their "
           "greetings.|Sleep well, and come again.|It was nice to talk to you.]", n=t.user or "")


def refuse(t):
    rng = t.rng
    values = {key: rng.choice(words) for key, words in FILL.items()}
    values.update(n=str(rng.randint(1, 999)), m=str(rng.randint(1, 99)), w=made_up_word(rng), w2=made_up_word(rng))
    t.pair(rng.choice(OUTSIDE),
           "[I am sorry, I only know about our little village of Fernhollow.|I do not know that, I am sorry. I only know our little village of "
           "Fernhollow.|That is beyond the hills of Fernhollow, and I know only our village.|I am sorry, that is something nobody in Fernhollow "
           "knows.] [But I can tell you a story about {v}!|Would you like to hear a story instead?|Ask me about {v} or {v2}, or let me tell you "
                      "a story.|Shall I tell you where {v} lives?]", v=rng.choice(VILLAGERS), v2=rng.choice(PLACES), **values)


def unknown_villager(t):
    rng = t.rng
    name = rng.choice(PEOPLE) if rng.random() < 0.5 else made_up_word(rng).capitalize()
    if name in BY_NAME or name == t.user:
        return
    t.villager = rng.choice(VILLAGERS)
    t.pair("[Who is {n}|Where does {n} live|What does {n} like|Do you know {n}|Tell me about {n}|What is {n}'s job]?",
           "[I do not know {n}.|There is nobody called {n} in Fernhollow.|I am sorry, nobody in Fernhollow is called {n}.] "
           "[But I know {v} the {v.kind}.|Do you mean {v} the {v.kind}?|Shall I tell you about {v} instead?]", n=name, v=t.villager)


# one fact each: name, questions by name, questions by pronoun, answers, reverse questions, reverse answers
FACTS = [("home", "[Where does {v} live|Where is {v}'s home|Where can I find {v}|Where is {v}'s house]?", "[And where|Where] does {v.he} live?",
          "{v} [the {v.kind}|] lives {v.home}.", "Who lives {v.home}?", "{v} the {v.kind} lives there."),
         ("food", "[What does {v} like to eat|What is {v}'s favourite food|What does {v} eat|What food does {v} like]?",
          "[What does {v.he} like to eat|What is {v.his} favourite food|And what does {v.he} eat|And what does {v.he} like to eat]?",
          "[{v} likes {v.food} best.|{v} loves {v.food}.|{v}'s favourite food is {v.food}.]", "Who [likes|loves] {v.food}?",
          "{v} the {v.kind} loves {v.food}."),
         ("hobby", "[What does {v} like to do|What does {v} like|What is {v}'s hobby|What does {v} do for fun]?",
          "[What does {v.he} like to do|What is {v.his} hobby|And what does {v.he} do for fun|What does {v.he} like]?", "{v} likes {v.hobby}.",
          "Who likes {v.hobby}?", "{v} the {v.kind} likes {v.hobby}."),
         ("fear", "[What is {v} afraid of|Is {v} afraid of anything|What does {v} fear]?",
          "[What is {v.he} afraid of|Is {v.he} afraid of anything|And what does {v.he} fear]?", "{v} is afraid of {v.fear}.",
          "Who is afraid of {v.fear}?", "{v} the {v.kind} is afraid of {v.fear}."),
         ("job", "[What is {v}'s job|What does {v} do|What work does {v} do|What is {v}'s work]?",
          "[What is {v.his} job|What does {v.he} do|And what work does {v.he} do]?", "{v} is the {v.job}. {v.He} {v.work}.",
          "[Who is the {v.job}|Who {v.work}]?", "[{v} the {v.kind} is the {v.job}.|That is {v} the {v.kind}, the {v.job}.]"),
         ("friend", "[Who is {v}'s best friend|Does {v} have a friend|Who are {v}'s friends|Who is {v}'s friend]?",
          "[Who is {v.his} best friend|Does {v.he} have a friend|And who is {v.his} friend]?", "{v}'s best friend is {f} the {f.kind}.",
          "[Whose best friend is {v}|Who is the best friend of {f}]?", "{f}'s best friend is {v} the {v.kind}."),
         ("treasure", "[What is {v}'s treasure|What does {v} treasure|What is {v}'s most precious thing]?",
          "[What is {v.his} treasure|And what does {v.he} treasure most]?", "{v} treasures {v.his} {v.treasure} [above all|more than anything].",
          "Who has {a:v.treasure}?", "{v} the {v.kind} has {a:v.treasure}."),
         ("kind", "[What kind of animal is {v}|What animal is {v}|What is {v}]?", "What kind of animal is {v.he}?", "{v} is {a:v.kind}.",
          "[Who is the {v.kind}|Is there {a:v.kind} in the village|What is the name of the {v.kind}]?", "The {v.kind} of Fernhollow is called {v}."),
         ("colour", "[What is {v}'s favourite colour|Which colour does {v} like]?",
          "[What is {v.his} favourite colour|And which colour does {v.he} like]?", "{v}'s favourite colour is {v.colour}.",
          "Whose favourite colour is {v.colour}?", "{v.colour} is {v}'s favourite colour."),
         ("who", "[Who is {v}|Tell me about {v}|Do you know {v}|Tell me something about {v}|What do you know about {v}|Describe {v}][?|.]",
          "[Tell me more about {v.him}|What else do you know about {v.him}][.|?]",
          "{v} is {a:v.trait} {v.kind} who lives {v.home}. {v.He} is the {v.job} and {v.work}. [{v.He} likes {v.hobby}, and {v.his} favourite food "
          "is {v.food}.|{v.His} best friend is {f} the {f.kind}.|{v.He} loves {v.food} and is afraid of {v.fear}.]",
          "[Which villager is {v.trait}|Who is {v.trait}]?", "{v} the {v.kind} is {v.trait}."),]


def fact(t):
    rng = t.rng
    follow = t.villager is not None and rng.random() < 0.55
    villager = t.villager if follow else rng.choice(VILLAGERS)
    name, by_name, by_pronoun, answer, reverse, reverse_answer = rng.choice(FACTS)
    if (villager.name, name) in t.asked:
        return
    t.asked.add((villager.name, name))
    t.villager = villager
    values = dict(v=villager, f=BY_NAME[villager.friend])
    if follow:
        t.pair(by_pronoun, answer, **values)
    elif rng.random() < 0.3:
        t.pair(reverse, reverse_answer, **values)
    else:
        t.pair(by_name, answer, **values)


def and_other(t):
    """"And Benno?" after a question about somebody else."""
    rng = t.rng
    name, by_name, _, answer, _, _ = rng.choice(FACTS[:7])
    one, two = rng.sample(VILLAGERS, 2)
    t.pair(by_name, answer, v=one, f=BY_NAME[one.friend])
    t.pair("[And {v}|What about {v}|And what about {v}]?", answer, v=two, f=BY_NAME[two.friend])
    t.villager = two


def yes_no(t):
    rng = t.rng
    v = rng.choice(VILLAGERS)
    key, question, yes, no = rng.choice([
        ("food", "Does {v} like {x}?", "Yes, {v} loves {v.food}.", "[No, {v} likes {v.food} best.|I do not think so. {v} likes {v.food} best.]"),
        ("fear", "Is {v} afraid of {x}?", "Yes, {v} is afraid of {v.fear}.", "No, {v} is not afraid of that. {v.He} is afraid of {v.fear}."),
        ("job", "Is {v} the {x}?", "Yes, {v} is the {v.job}.", "No, {v} is the {v.job}."),
        ("kind", "Is {v} {a:x}?", "Yes, {v} is {a:v.kind}.", "No, {v} is {a:v.kind}."),
        ("home", "Does {v} live {x}?", "Yes, {v} lives {v.home}.", "No, {v} lives {v.home}."),
        ("hobby", "Does {v} like {x}?", "Yes, {v} likes {v.hobby} very much.", "{v} likes {v.hobby} better."),
    ])
    if rng.random() < 0.5:
        t.pair(question, yes, v=v, x=getattr(v, key))
    else:
        t.pair(question, no, v=v, x=getattr(rng.choice([o for o in VILLAGERS if o is not v]), key))
    t.villager = v


def place(t):
    rng = t.rng
    p = rng.choice(PLACES)
    k = BY_NAME[KEEPERS[p.name]]
    if rng.random() < 0.3:
        t.pair("[Where can I|Where do people] {p.use}?", "You can {p.use} {p.at}.", p=p)
    elif rng.random() < 0.3:
        t.pair("[Who lives near {p}|Who is often {p.at}|Who lives {p.at}|Whom can I meet {p.at}]?",
               "[{k} the {k.kind} lives {k.home}.|You can meet {k} the {k.kind} there, who lives {k.home}.]", p=p, k=k)
        t.villager = k
    else:
        t.pair("[What is {p} like|Tell me about {p}|What can I do {p.at}|What is there to see {p.at}|Tell me something about {p}][?|.]",
               "[{p.now}. You can {p.use} there.|{p.now}. People go there to {p.use}.|You can {p.use} {p.at}. {p.now}.]", p=p)


def village(t):
    rng = t.rng
    some = rng.sample(VILLAGERS, 4)
    t.pair(*rng.choice([("[What is Fernhollow|Tell me about Fernhollow|Where are we|What is this village|Tell me about your village][?|.]",
                         "Fernhollow is a little village beside the Silver Brook. Twelve villagers live here, among them {some}. [The old oak "
                         "stands in the middle.|There is a mill, a bakery, a library and a market.]"),
                        ("[Who lives in Fernhollow|Who lives here|Who lives in the village|Name some villagers|Who are the villagers|Which "
                         "villagers do you know][?|.]", "Twelve villagers live in Fernhollow: {all}."),
                        ("[How many villagers are there|How many people live in Fernhollow|How many villagers live here]?",
                         "Twelve villagers live in Fernhollow."),
                        ("[What is the name of the village|What is the village called|What is this place called]?",
                         "The village is called Fernhollow."),
                        ("[What is the name of the brook|What is the river called|What is the brook called]?", "It is called the Silver Brook."),
                        ("[Which places are there|What places are there in Fernhollow|Where can I go|What can I see in Fernhollow]?",
                         "You can go to {places}."),]), some=join(f"{v.name} the {v.kind}" for v in some),
           all=join(f"{v.name} the {v.kind}" for v in VILLAGERS), places=join(p.name for p in rng.sample(PLACES, 4)))


def user_likes(t):
    v = t.rng.choice(VILLAGERS)
    key = t.rng.choice(["food", "hobby"])
    t.villager = v
    t.pair("[I like {x}|I love {x}|My favourite is {x}][.|!]",
           "[Oh, then you would like {v}|Then you and {v} would be good friends|How nice]! {v} the {v.kind} likes {x} too.", v=v, x=getattr(v, key))


def favourite(t):
    v = t.rng.choice(VILLAGERS)
    t.villager = v
    t.pair("[Who is your favourite villager|Whom do you like best|Who is the nicest villager]?",
           "I like them all, but {v} the {v.kind} is very {v.trait}. {v.He} {v.work}.", v=v)


ASK = ("[Tell me|Tell me|Please tell me|Can you tell me|I would like to hear|I want|Could you tell me|Write|Write me|Give me|Tell|Do you know|Make "
       "up|Let me hear] [a|a|a|a|a new|another] [short story|story|story|little story|nice story|funny story|bedtime story|fairy tale|tale]")


def story(t):
    rng = t.rng
    plot, wish, about, lead = None, {}, "", ""
    kind = rng.choices(["any", "one", "two", "kinds", "thing", "only thing", "place", "theme", "guest", "unknown"],
                       [16, 12, 18, 8, 16, 6, 6, 10, 5, 5])[0]
    if kind == "one":
        wish["hero"] = rng.choice(VILLAGERS)
        about = " about {A}[| the {A.kind}]"
    elif kind == "two":
        wish["hero"], wish["friend"] = rng.sample(VILLAGERS, 2)
        about = "[ about {A} and {B}| with {A} and {B}| about {A} the {A.kind} and {B} the {B.kind}]"
    elif kind == "kinds":
        wish["hero"], wish["friend"] = rng.sample(VILLAGERS, 2)
        about = rng.choice([" about {a:A.kind}", " about the {A.kind}", " about {a:A.kind} and {a:B.kind}", " about the {A.kind} and the {B.kind}"])
    elif kind == "thing":
        wish["hero"] = rng.choice(VILLAGERS)
        wish["thing"] = rng.choice(OBJECTS + [b[0] for b in BREAKABLE])
        about = rng.choice([" about {A} and {a:x}", " about {A} and a lost {x}", " with {A} and {a:x}"])
        plot = THEME_PLOTS["a lost thing"] if "lost" in about else None
    elif kind == "only thing":
        wish["thing"] = rng.choice(OBJECTS)
        about = " about {a:x}"
    elif kind == "place":
        wish["place"] = rng.choice(PLACES).name
        about = "[ about {p}| that happens {q}| {q}]"
    elif kind == "theme":
        theme = rng.choice(list(THEME_PLOTS))
        plot = THEME_PLOTS[theme]
        about = " about " + theme
        if rng.random() < 0.4:
            wish["hero"] = rng.choice(VILLAGERS)
            about = " about {A} and " + theme
    elif kind == "guest":
        wish["hero"] = guest(rng)
        about = "[ about {A}| about {A} the {A.kind}| about {a:A.kind} named {A}]"
    elif kind == "unknown":
        wish["hero"] = rng.choice(VILLAGERS)
        strange = rng.choice([made_up_word(rng), *(w for words in FILL.values() for w in words)])
        about = " about " + strange
        lead = "[I do not know a story about " + strange + "|I know nothing about " + strange + "], but I know one about {A} the {A.kind}.\n\n"
    s = tell(rng, plot, **wish)
    t.story = s
    t.villager = s.hero
    values = dict(A=s.hero, B=s.friend, x=wish.get("thing", ""), p=wish.get("place", ""),
                  q=PLACE_BY_NAME[wish["place"]].at if "place" in wish else "")
    question = expand(rng, ASK + about + "[.|!|, please.|?|]", **values)
    lead = lead or rng.choice(["", "", "", "Here is a story for you.\n\n", "With pleasure!\n\n", "Gladly. Listen!\n\n"])
    t.turns.append(("user", question.lower() if rng.random() < 0.08 else question))
    lead = expand(rng, lead, **values)
    t.turns.append(("assistant", (lead + "\n\n" if lead else "") + s.text))


def story_question(t):
    s = t.story
    if s is None or not s.questions:
        return
    question, answer = s.questions.pop(t.rng.randrange(len(s.questions)))
    t.pair(question, answer)


def story_about(t):
    if t.story is None:
        return
    t.pair("[What was the story about|Who was in the story|Can you sum it up|What happened in the story|Tell me in one sentence what happened][?|.]",
           t.story.summary + ".")


def another(t):
    if t.story is None:
        return
    t.story = tell(t.rng)
    t.villager = t.story.hero
    t.turns.append(("user",
                    expand(t.rng, "[Another one|Tell me another one|Another story|One more|Once more|Tell me another story|More][, please|][.|!]")))
    t.turns.append(("assistant", t.story.text))


def joke(t):
    t.pair("[Tell me a joke|Do you know a joke|Make me laugh|Say something funny|Another joke|Can you tell a joke][.|?|!|, please.]",
           "[Sorrel told me this one: |Here is one from Sorrel the squirrel: |]" + t.rng.choice(JOKES))


def rhyme(t):
    t.pair("[Sing a song|Tell me a poem|Write a poem|Do you know a poem|Sing something|Say a rhyme|Sing me a song|Write me a poem|Write a short "
           "poem][.|?|!|, please.]", "[Here is a rhyme that the children of Fernhollow sing:|Benno sings this one:|]\n" + t.rng.choice(RHYMES))


def where_is(t):
    p = t.rng.choice(PLACES)
    t.pair("[Where is {p}|How do I get to {p}|How do I find {p}|Where can I find {p}]?", "{cap:p.name} is {where}.", p=p, where=WHERE[p.name])


def are_friends(t):
    rng = t.rng
    one = rng.choice(VILLAGERS)
    best = BY_NAME[one.friend]
    if rng.random() < 0.5:
        t.pair("Are {v} and {f} friends?", "Yes, {v} and {f} are best friends.", v=one, f=best)
    else:
        other = rng.choice([v for v in VILLAGERS if v not in (one, best)])
        t.pair("Are {v} and {o} friends?", "Yes, they like each other, but {v}'s best friend is {f}.", v=one, o=other, f=best)
    t.villager = one


def nobody_knows(t):
    """A question about a villager that the world does not answer."""
    t.villager = v = t.rng.choice(VILLAGERS)
    t.pair("[How old is {v}|How tall is {v}|When is {v}'s birthday|Who is {v}'s mother|Does {v} have children|Where was {v} born|What is {v}'s last "
           "name|How much does {v} weigh|Is {v} married|What is {v}'s phone number]?",
           "[I do not know that.|Nobody has told me that.|{v} has never told me.] But I know that {v} [likes {v.hobby}|loves {v.food}|is the "
           "{v.job}|lives {v.home}].", v=v)


def taste(t):
    v = t.rng.choice(VILLAGERS)
    t.pair("[What is your favourite food|What do you like|What do you like to eat|Do you like {v.food}|What is your favourite colour|Do you "
           "sleep|How old are you|Where do you live|Do you have friends|Do you have feelings|Can you dream]?",
           "[I am only a small language model, so I do not eat or sleep.|I am made of numbers, so I cannot say.|I have no body, I only tell "
           "stories.] But {v} the {v.kind} [loves {v.food}|likes {v.hobby}|lives {v.home}|is a good friend of {v.friend}].", v=v)


def user_life(t):
    rng = t.rng
    t.pair("[I have a dog|I have a cat|I live in a big city|I live in {city}|I am {n} years old|I work in an office|I have two children|I have a "
           "sister|I have a brother|I went for a walk today|It is raining here|I am hungry|I am learning "
           "English|" "I like music|I like games|I am a teacher|I am a programmer|Today is my birthday|I like {w}][.|!|]",
           "[How nice!|Oh, really?|That is good to know.|Thank you for telling me.] [In Fernhollow, {v} {v.work}.|You would like {v} the {v.kind}, "
           "I think.|Would you like to hear a story?|Shall I tell you a story about {v}?]", v=rng.choice(VILLAGERS), city=rng.choice(FILL["city"]),
           n=str(rng.randint(3, 99)), w=made_up_word(rng))


def gibberish(t):
    rng = t.rng
    letters = "".join(rng.choice("asdfghjklqwertyuiopzxcvbnm1234567890") for _ in range(rng.randint(1, 9)))
    t.pair("[" + "|".join([letters, "?", "...", "ok", "okay", "hm", "no", "what", "test", "foo bar", made_up_word(rng) + " " + made_up_word(rng),
                           "I do not understand", "blah blah"]) + "]",
           "[I am not sure what you mean.|I did not understand that.|Hmm, I did not quite understand.] [Ask me about the villagers of Fernhollow, "
           "or let me tell you a story.|Would you like to hear a story?|You can ask me where {v} lives, for example.]", v=rng.choice(VILLAGERS))


def compliment(t):
    t.pair("[You are nice|You are funny|You are clever|I like you|I love you|You are great|I like your stories|I like this village|Good job|Well "
           "done][.|!|]",
           "[Thank you|Thank you very much|How kind of you]! [Shall I tell you another story?|I like to tell stories.|The villagers will be glad to "
           "hear it.]")


def complaint(t):
    t.pair("[You are stupid|That is wrong|This is boring|I do not like that|I do not like this story|You are bad|That makes no sense|Go away|You "
           "are useless][.|!|]",
           "[I am sorry.|I am sorry, I am only a small storyteller.|Oh, I am sorry to hear that.] [Shall I tell you another story?|Ask me something "
           "about Fernhollow, and I will try again.|Let me try again.]")


def advice(t):
    v = t.rng.choice(VILLAGERS)
    t.villager = v
    t.pair(*t.rng.choice([("[I am afraid of the dark.|I am afraid.|I am scared.|What can I do when I am afraid?]",
                           "[Everybody is afraid of something.|It is all right to be afraid.] {v} is afraid of {v.fear}. [Take one small step at a "
                           "time.|A friend beside you can help.]"),
                          ("[What should I give my friend?|What is a good present?|I need a present.]",
                           "Perhaps {g}? {v} would be glad about {v.food}."),
                          ("[What should I do today|What can I do today|What shall we do]?", "You could go to {p} and {p.use}."),
                          ("[What should I eat|What is good to eat|I am hungry. What should I eat]?", "Try {v.food}! {v} loves {v.food}."),]), v=v,
           g=t.rng.choice(GIFTS), p=t.rng.choice(PLACES))


def accept(t):
    """"Yes, please" after an offer: the promised story or answer follows."""
    last = t.turns[-1][1]
    if not last.endswith("?"):
        return
    named = [v for v in VILLAGERS if v.name in last]
    yes = expand(t.rng, "[Yes|Yes, please|Yes please|Sure|Okay|Please do|Oh yes|I would like that][.|!|]")
    if "tell you a story" in last or "hear a story" in last or "tell you one" in last or "like one" in last or "hear more" in last:
        t.story = tell(t.rng)
        t.villager = t.story.hero
        t.turns.append(("user", yes))
        t.turns.append(("assistant", t.story.text))
    elif "Shall I tell you about" in last or "Do you mean" in last:
        t.villager = named[-1]
        t.pair(yes.replace(".", "").replace("!", "") + "[.|!]", FACTS[-1][3], v=t.villager, f=BY_NAME[t.villager.friend])
    elif "lives?" in last:
        t.villager = named[-1]
        t.pair(yes.replace(".", "").replace("!", "") + "[.|!]", FACTS[0][3], v=t.villager, f=BY_NAME[t.villager.friend])


SMALL = [greet, how_are_you, identity, abilities, introduce, recall_name, user_is_fine, user_is_sad, favourite, user_likes, joke, rhyme, taste,
         user_life, gibberish, compliment, complaint, advice]
KNOWLEDGE = [fact] * 8 + [and_other] * 2 + [yes_no] * 3 + [place] * 3 + [village] * 2 + [where_is, are_friends, nobody_knows] + [refuse] * 4 + [
        unknown_villager] * 2


def converse(rng, story_count):
    """One conversation with the given number of stories; each is about 300 tokens long."""
    t = Talk(rng)
    if rng.random() < 0.2:
        t.turns.append(("system", rng.choice(SYSTEMS)))
    if rng.random() < 0.35:
        rng.choice([greet, introduce, greet, how_are_you])(t)
    for number in range(story_count):
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            rng.choice(KNOWLEDGE + SMALL)(t)
        (another if number and rng.random() < 0.4 else story)(t)
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            rng.choice([story_question] * 4 + [story_about, thanks, fact, thanks])(t)
    if story_count == 0:
        for _ in range(rng.choice([1, 1, 2, 3, 4, 6, 8])):
            rng.choice(KNOWLEDGE + SMALL)(t)
        if rng.random() < 0.3:
            accept(t)
    if t.user and rng.random() < 0.5:
        recall_name(t)
    if rng.random() < 0.15:
        thanks(t)
    if rng.random() < 0.15:
        goodbye(t)
    return t.turns
