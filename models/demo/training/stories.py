"""Plans and tells short stories about Fernhollow.

A story is planned first (who, where, which trouble, which way out) and told afterwards, so that names, places, things and pronouns stay
consistent from the first sentence to the last. Each plot is one function that returns a ``Story``.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from phrases import expand
from world import (BREAKABLE, BY_NAME, FEELINGS_BAD, FEELINGS_GOOD, GIFTS, LITTLE_ONES, LOOKS, OBJECTS, PLACE_BY_NAME, PLACES, SKILLS,
                   TIMES, VILLAGERS, WEATHER, guest)


@dataclass
class Story:
    text: str
    hero: object
    friend: object
    thing: str                   # what a request may name: "kite"; empty when the plot has none
    theme: str                   # "being brave"
    summary: str                 # one sentence
    questions: list = field(default_factory=list)     # (question template, answer): both already expanded


class Teller:
    """One story in the making: the cast, the setting and the paragraphs told so far."""

    def __init__(self, rng, wish):
        self.rng = rng
        pick = rng.choice
        hero = wish.get("hero") or pick(VILLAGERS)
        friend = wish.get("friend")
        if not friend:
            best = BY_NAME[hero.friend]
            friend = best if rng.random() < 0.35 else pick([v for v in VILLAGERS if v is not hero])
        third = pick([v for v in VILLAGERS if v not in (hero, friend)])
        p, q, r = rng.sample(PLACES, 3)
        if wish.get("place"):
            wanted = PLACE_BY_NAME[wish["place"]]
            p, q, r = [wanted] + [x for x in (q, r, p) if x is not wanted][:2]
        weather = pick(WEATHER)
        self.values = dict(
            A=hero, B=friend, C=third, P=p, Q=q, R=r, W=SimpleNamespace(name=weather[0], was=weather[1], thing=weather[2]),
            time=pick(TIMES), good=pick(FEELINGS_GOOD), bad=pick(FEELINGS_BAD), look=pick(LOOKS), thing=wish.get("thing") or pick(OBJECTS))
        if self.values["look"] in ("wooden",) and self.values["thing"] in ("feather", "letter", "ribbon", "scarf", "shell", "book", "kite"):
            self.values["look"] = "pretty"
        self.paragraphs = []

    def __getattr__(self, name):
        return self.values[name]

    def set(self, **values):
        self.values.update(values)

    def say(self, *templates):
        """Adds one paragraph made of the given templates; None is skipped."""
        self.paragraphs.append(" ".join(filter(None, (self.line(t) for t in templates if t))))

    def outdoors(self):
        if self.P.name in ("the library", "the bakery", "the mill"):
            self.set(P=PLACE_BY_NAME[self.rng.choice([n for n in ("the meadow", "the market", "the hill", "the pond") if n not in (self.Q.name,
                    self.R.name)])])

    def line(self, template):
        return expand(self.rng, template, **self.values)

    def maybe(self, template, chance=0.5):
        return template if self.rng.random() < chance else None

    def opening(self):
        return self.rng.choice(["Once upon a time, in the village of Fernhollow, there lived {a:A.trait} {A.kind} called {A}.",
                                "Once upon a time there was {a:A.trait} {A.kind} named {A}. {A.He} lived {A.home}.",
                                "There was once {a:A.trait} {A.kind}. {A.His} name was {A}, and {A.he} lived {A.home}.",
                                "In the village of Fernhollow lived {A} the {A.kind}, who was the {A.job} there.",
                                "One {W} {time}, {A} the {A.kind} was {P.at}.",
                                "It was {a:W} {time} in Fernhollow, and {W.was}. {A} the {A.kind} [put on {A.his} boots and went out|was out for a "
                                "walk|had nothing to do].", "On {a:W} {time}, {A} the {A.kind} walked through the village of Fernhollow.",
                                "Early one {W} morning, {A} the {A.kind} looked out of the window. {W.was}.", "One day, {A} the {A.kind} was {P.at}.",
                                "[There was once|Once there was] {a:A.trait} {A.kind} named {A}, who lived [in the village of Fernhollow|in "
                                "Fernhollow|{A.home}].",
                                "Once upon a time, there was {a:A.trait} {A.kind} named {A}. {A.He} lived {A.home}. {A.He} loved {A.hobby}.",
                                "Long ago, when the Silver Brook was still young, {A} the {A.kind} lived {A.home}.",])

    def ending(self):
        return self.rng.choice([
            "That night {A} fell asleep with a smile.",
            "{A} was {good}, and so was {B}.",
            "From that day on, {A} and {B} were [even better|the best of] friends.",
            "And when the stars came out over Fernhollow, {A} was {good}.",
            "\"What a [day|good day]!\" said {B}, and {A} [laughed|nodded].",
            "They sat together until the sun went down, and they ate {A.food}.",
            "In the evening {A} and {B} shared {B.food} and told the story [to everyone|to {C}|again and again].",
            "{A} never forgot that {time}.",
            "And if you walk past {P} today, you may still hear them laugh.",
            "[On the way home|When they walked home] {A} [hummed a song|held {B}'s hand|looked up at the stars]. It had been a good day.",
            "Since then, whenever {A} sees {B}, they both have to smile.",
            "\"[Shall we meet again tomorrow|Will you come again tomorrow]?\" asked {B}. \"[Of course|Yes],\" said {A}.",
            "{C} the {C.kind} wrote it all down, and that is how we know this story.",
            "The Silver Brook [sang softly|murmured], and the village went to sleep.",
        ])

    def story(self, theme, summary, questions, thing=""):
        ask = [(self.line(q), self.line(a)) for q, a in questions]
        return Story("\n\n".join(self.paragraphs), self.A, self.B, thing, theme, self.line(summary), ask)


def lost_thing(t):
    rng = t.rng
    t.set(spot=rng.choice(t.R.spots), wrong=rng.choice(t.Q.spots), found=rng.choice([o for o in OBJECTS if o != t.thing]))
    cause = rng.choice([
        "the wind had carried it there", "a magpie had dropped it there", "it had rolled all the way there",
        "it had fallen out of {A.his} pocket there",
    ])
    t.set(cause=cause)
    t.say(t.opening(),
          "{A.He} had {a:look} {thing}, and {A.he} [loved it|loved it very much|took it everywhere|was very proud of it].",
          t.maybe("It was a present from {A.his} [grandmother|grandfather|mother|aunt|old teacher]."))
    t.say("[One {time}|But one {time}|Then one {time}], the {thing} was gone. {A} looked [under the bed and behind the door|in every pocket and "
          "every drawer|everywhere at home], " "but {A.he} could not find it. {A.He} was very {bad}.",
          t.maybe("\"[Oh no|Oh dear]! Where is my {thing}?\" {A.he} cried.", 0.6))
    t.say("[Just then|At that moment|Soon] {B} the {B.kind} came along. \"[Why are you so sad|What is the matter|What is wrong], {A}?\" asked {B}.",
          "\"I have lost my {look} {thing},\" said {A}.",
          "\"[Do not worry|Do not cry|Be calm],\" said {B}. \"[We will look for it together|I will help you to find it|Two of us can see more than "
          "one]. [Where were you yesterday?|Where did you see it last?|Where did you play with it?]\"",
          "{A} thought [hard|for a while]. \"I was {Q.at},\" {A.he} said, \"and then I was {R.at}.\"")
    t.say("[So they went to {Q}|First they went to {Q}|They ran to {Q}]. There {Q.look}. They looked {wrong}, but they found only {a:found}.",
          t.maybe("\"That is not my {thing},\" [sighed|said] {A}.", 0.6),
          t.maybe("They asked {C} the {C.kind}, who {C.work}. \"I have not seen it,\" said {C}, \"but [do not give up|look carefully|I hope you "
                  "find it].\"", 0.5))
    t.say("[Then|After that|Next] they went to {R}. There {R.look}. {B} looked {spot} and [called|shouted|cried], \"[Look|Come quickly|Here it is], "
          "{A}!\" [There was the {look} {thing}|It was the {look} {thing}]! {cause}.",
          "{A} [hugged {B}|jumped for joy|danced in a circle]. \"[Thank you|Thank you so much|You are a true friend], {B}!\" {A.he} said. {A} was "
          "{good}.")
    t.say(t.ending())
    return t.story("[losing and finding something|helping a friend|something that was lost]",
                   "{A} the {A.kind} lost {A.his} {look} {thing}, and {B} helped {A.him} to find it {R.at}",
                   [("[What did {A} lose?|What was lost?]", "{A} lost {A.his} {look} {thing}."),
                    ("[Who helped {A}?|Who helped?]", "{B} the {B.kind} helped {A}."),
                    ("[Where was the {thing}?|Where did they find the {thing}?|Where did they find it?]", "They found it {R.at}, {spot}."),
                    ("[Where did they look first?|Where did they go first?]", "First they looked {Q.at}, but they found only {a:found} there.")],
                   t.thing)


def broken_thing(t):
    rng = t.rng
    things = [b for b in BREAKABLE if b[0] == t.thing] or [rng.choice(BREAKABLE)]
    thing, damage, needs, again = things[0]
    t.set(thing=thing, damage=damage, needs=needs, again=again, clumsy=rng.choice(
        ["with a bit of string", "with wet paper", "with mud", "with a thorn", "with a long leaf", "with glue"]))
    plan = rng.choice(["play with it", "show it to everyone", "use it at the summer feast", "take it to {Q}", "lend it to {C}"])
    t.set(plan=plan)
    t.say(t.opening(), "{A.He} had {a:look} {thing}. {A.He} wanted to {plan}.",
          "But when {A} [picked it up|looked at it closely|took it out], {A.he} saw that the {thing} {damage}.")
    t.say("\"[Oh dear|Oh no], my {thing} is broken!\" said {A}. {A.He} tried to mend it {clumsy}, but it [did not hold|did not help|only got worse]. "
          "{A} tried [again|once more|a second time], and [again it did not work|it was no better]. {A.He} was {bad}.",
          t.maybe("\"I will never [mend|fix] it,\" {A.he} [sighed|said].", 0.5))
    t.say("{A} went to {B} the {B.kind}, who was {Q.at}. \"{B}, can you help me? My {thing} is broken,\" said {A}.",
          "{B} looked at the {thing} [carefully|from all sides|for a long time]. \"[I see|Aha|Hmm],\" said {B}. \"We need {needs}.\"",
          "[They asked {C} the {C.kind}, and {C} gave them {needs}.|They found {needs} {R.at}.|{C} the {C.kind} came by and gave them {needs}.]")
    t.say("[Together they worked|Then they worked together] [until noon|until the evening|for an hour|all afternoon]. {A} held the {thing}, and {B} "
          "[did the rest|mended it|put everything in its place]. [At last|In the end] it was done. The {look} {thing} {again}!",
          "\"[You did it|It works|It is as good as new]!\" cried {A}. \"[No, we did it together|We did it together],\" said {B} [with a smile|and "
          "smiled].")
    t.set(gift=rng.choice(GIFTS))
    t.say(t.maybe("{A} gave {B} {gift} to say thank you.", 0.5), t.ending())
    return t.story("[mending something|working together|not giving up]",
                   "{A}'s {look} {thing} was broken, and {B} helped to mend it with {needs}",
                   [("[What was broken?|What did {A} want to mend?]", "{A}'s {look} {thing} was broken. It {damage}."),
                    ("[Who mended it?|Who helped {A}?|Who helped?]", "{B} the {B.kind} helped {A} to mend it."),
                    ("[What did they need?|What did they use?]", "They needed {needs}.")], thing)


def storm(t):
    rng = t.rng
    kind, sound, harm = rng.choice([
        ("storm", "The thunder rolled and the lightning flashed", "a tree fell across the path"),
        ("flood", "The brook rose higher and higher", "the water ran over the bridge"),
        ("snowstorm", "The snow fell thicker and thicker", "the road was hidden under the snow"),
        ("fog", "The fog grew so thick that nobody could see their own feet", "there was no path to be seen"),
        ("strong wind", "The wind howled around the corners", "a roof flew away over the trees"),
    ])
    t.set(kind=kind, sound=sound, harm=harm,
          rescue=rng.choice(["a long rope", "a bright lantern", "a strong sledge", "a loud bell", "a wooden raft"]),
          drink=rng.choice(["hot cocoa", "warm milk", "mint tea", "hot soup", "apple juice"]))
    t.say(t.opening(), "{A.He} [was on the way to {P}|wanted to visit {C} {P.at}|had gone to {P} to fetch something].",
          "Suddenly {a:kind} came. {sound}, and {harm}.")
    t.set(spot=rng.choice(t.P.spots) if rng.random() < 0.6 else "under a big stone")
    t.say("{A} could not [go on|get home]. {A.He} [hid|sat down|waited] {spot} and [shivered|trembled|felt cold and small].",
          "\"[Is anybody there|Can anyone hear me|Will someone help me]?\" {A.he} called, but [nobody answered|there was no answer].",
          t.maybe("{A.He} was {bad}.", 0.5))
    t.say("[Meanwhile|At the same time] {B} the {B.kind} was [sitting at home|looking out of the window|drinking tea with {C}]. \"Where is {A}?\" "
          "{B.he} wondered. \"{A.He} [should be back by now|must be out there all alone].\"",
          "{B} took {rescue} and went out [into the {kind}|at once]. It was hard, but {B} [did not turn back|went on step by step].",
          "\"{A}! {A}!\" {B.he} called. And at last {A} [heard it|heard the voice] and answered, \"[I am here|Here I am]!\"")
    t.say("With {rescue} {B} brought {A} [safely home|back to the village|to a dry place]. There they sat by the fire and drank {drink}.",
          "\"[You came for me|You are so brave|You saved me], {B},\" said {A}. \"[Of course|That is what friends do|You would do the same for "
          "me],\" said {B}.", t.maybe("Outside, [the {kind} went on|it was still dark and wild], but inside it was warm.", 0.5))
    t.say("[The next day|In the morning|Soon] the sun came out, and [all the villagers helped to clean up|everyone came out to clear the road|the "
          "whole village was bright and clean].", t.ending())
    return t.story("[bad weather|being saved|a {kind}]", "{A} was caught in {a:kind}, and {B} came with {rescue} and brought {A.him} home",
                   [("[What happened?|What happened to {A}?]", "{A} was caught in {a:kind}."),
                    ("[Who saved {A}?|Who helped {A}?|Who helped?]", "{B} the {B.kind} saved {A} with {rescue}."),
                    ("[What did they drink?|What did they do at the end?]", "They sat by the fire and drank {drink}."),
                    ("Where was {A}?", "{A} was {P.at}.")])


def gift(t):
    rng = t.rng
    ingredients = rng.sample([("flour", "the mill"), ("honey", "the forest"), ("apples", "the orchard"), ("milk", "the hill"),
                              ("berries", "the forest"), ("nuts", "the old oak"), ("carrots", "the garden"), ("butter", "the market"),
                              ("ginger", "the market"), ("eggs", "the meadow")], 2)
    (one, at_one), (two, at_two) = ingredients
    t.set(one=one, two=two, at_one=PLACE_BY_NAME[at_one].at, at_two=PLACE_BY_NAME[at_two].at, to_one=at_one, to_two=at_two,
          trade=rng.choice(["carry some heavy boxes", "sweep the floor", "sing a song", "tell a story", "water the flowers", "wash the windows"]),
          feast=rng.choice(["birthday", "name day"]))
    t.say(t.opening(), "{A.He} [remembered|knew|had not forgotten] that [tomorrow|the next day] was {B}'s {feast}.",
          "\"{B} loves {B.food},\" [thought|said] {A}. \"I will make some for {B.him}!\"")
    t.say("For the {B.food}, {A} needed {one} and {two}. [First|So first] {A.he} went to {to_one} and [got|fetched|found] the {one}.",
          "[Then|After that] {A.he} went to {to_two}. But all the {two} had been taken! {A} was {bad}.",
          "{C} the {C.kind} was there and had the last {two}. \"[You may take it all|I will give you some|You can have some],\" said {C}, \"if you "
          "{trade} for me.\"",
          "\"[With pleasure|Gladly|Of course]!\" said {A}. So {A} [worked hard|did it well|did what {C} asked], and {C} gave {A.him} the {two}.")
    t.say("[At home|Back home] {A} [mixed and stirred|stirred and baked|worked in the kitchen] until [late at night|the moon was high]. [The whole "
          "house smelled wonderful.|At last everything was ready.]",
          t.maybe("{A.He} put everything in a basket and tied {a:look} ribbon around it.", 0.6))
    t.say("[The next day|In the morning] {A} [knocked at|went to] {B}'s door. \"Happy {feast}, {B}!\" {A.he} [cried|said]. {B} [opened the "
          "basket|looked] and could not believe {B.his} eyes. \"{cap:B.food}! [My favourite|That is what I love most|You remembered]!\"",
          "{B} [hugged|thanked] {A}, and they [ate together|shared everything with {C}|invited {C} and ate together].")
    t.say(t.ending())
    return t.story("[a birthday|a present|giving]", "{A} made {B.food} for {B}'s {feast}",
                   [("[What did {A} make?|What was the present?]", "{A} made {B.food} for {B}."),
                    ("[Whose {feast} was it?|Who had a {feast}?]", "It was {B}'s {feast}."),
                    ("[What did {A} need?|What did {A.he} need?]", "{A} needed {one} and {two}."),
                    ("[Who gave {A} the {two}?|Who had the {two}?]", "{C} the {C.kind} gave {A} the {two}.")])


def fear(t):
    rng = t.rng
    scene = {"thunder": ("a big storm came, and thunder rolled over the roofs", "count slowly between the flash and the thunder",
                         "listened to the thunder and did not hide"),
             "the dark": ("the lantern went out, and it was dark all around", "close your eyes and listen to the crickets",
                          "walked home through the dark without a light"),
             "high places": ("{A.he} had to fetch {B}'s hat from the top of the tower", "look at the sky and not at the ground",
                             "stood on top of the tower and waved"),
             "snow": ("the snow fell and covered every path", "touch it with one finger first", "rolled in the snow and made a snowman"),
             "deep water": ("{A.he} had to cross the deep pond to reach {C}", "hold my hand and kick your legs", "swam across the deep water"),
             "bees": ("a bee sat down on {A.his} nose", "stand still and breathe softly", "let the bee walk over {A.his} hand"),
             "loud noises": ("the big drum of the summer feast began to boom", "hum a quiet tune of your own",
                             "beat the big drum all by {A.himself}"),
             "getting wet": ("the rain poured down, and there was no roof", "jump into one small puddle first",
                             "jumped into the biggest puddle of all"),
             "strangers": ("an old traveller knocked at the door", "say hello and ask for the name", "gave the traveller a cup of tea"),
             "spiders": ("a spider sat in the middle of the door", "look how fine its web is", "carried the spider into the garden"),
             "foxes in the fog": ("the fog came up, and a dark shape with pointed ears moved in it", "call out a friendly hello",
                                  "called hello, and it was only Fenn with his tools"),
             "dogs": ("a big shaggy dog came into the village", "hold out your hand and wait", "stroked the dog behind the ears"),}[t.A.fear]
    if t.A.name == "Dot" and t.B.name == "Fenn":
        t.set(B=BY_NAME["Wim"] if t.C.name != "Wim" else BY_NAME["Runa"])
    t.set(scene=scene[0], tip=scene[1], deed=scene[2],
          told=scene[1].replace("your", "{A.his}").replace("hold my", "hold {B.his}"))
    t.say(t.opening(),
          "{A} was afraid of [only one thing|one thing more than of anything else]: {A.fear}. [{A.He} did not tell anyone.|Some villagers laughed "
          "at {A.him}, but not {B}.|Nobody knew it but {B}.]")
    t.say("One {time} {A} was {P.at}. [Suddenly|Then] {scene}. {A}'s heart beat [fast|like a drum]. {A.He} wanted to run away, but {A.his} legs "
          "[would not move|were as heavy as stones].", "\"I am [so afraid|so scared|frightened],\" [whispered|said] {A}.")
    t.say("{B} the {B.kind} [came and stood beside {A.him}|sat down next to {A.him}|took {A.his} hand]. \"[Everybody is afraid of something|It is "
          "all right to be afraid|I am afraid too sometimes],\" {B.he} said. \"I am afraid of {B.fear}. [When I am afraid, I do it in small "
          "steps|But I know a trick|Do as I say]: {tip}.\"",
          "{A} [tried it|did it]. [At first it was hard|The first time it did not help], but [the second time it was easier|then {A.his} heart "
          "became calm|little by little it became easier].")
    t.say("[And then {A} {deed}|And at last {A} {deed}]! \"[I did it|Look, {B}, I did it|I am not afraid any more]!\" {A.he} [cried|shouted]. \"[I "
          "knew you could|You are very brave|That was brave],\" said {B}.",
          "[Being brave does not mean that you are never afraid. It means that you try.|{A} was {good}.|{A} had never felt so brave.]")
    t.say(t.ending())
    return t.story("[being brave|being afraid|courage]", "{A} was afraid of {A.fear}, and {B} helped {A.him} to be brave",
                   [("[What was {A} afraid of?|What was {A.he} afraid of?]", "{A} was afraid of {A.fear}."),
                    ("[Who helped {A}?|Who helped?]", "{B} the {B.kind} helped {A}."),
                    ("[What did {B} say?|What was the trick?|What did {B} tell {A}?]", "{B} told {A} to {told}.")])


def quarrel(t):
    rng = t.rng
    t.set(word=rng.choice(["\"It is mine!\"", "\"I saw it first!\"", "\"Let go!\"", "\"You always want everything!\""]),
          split=rng.choice(["it fell into the brook and swam away", "it fell down and broke in two", "it flew into a thorn bush",
                            "it got very dirty"]),
          idea=rng.choice(["One day it is yours, and one day it is mine", "Let us use it together", "Let us give it to {C}, who has none",
                           "You take it in the morning, and I take it in the evening"]))
    t.set(idea=t.line(t.idea))
    t.say(t.opening(), "{A.He} met {B} the {B.kind}, and they [played together|went for a walk together|talked and laughed].",
          "[Near {P}|On the way to {P}|Not far from {P}] they found {a:look} {thing}.")
    t.say("\"[What a pretty thing|How nice|Look at that]! I want to keep it,\" said {A}. \"No, I want it,\" said {B}. {word} cried {A}. {A} pulled "
          "on one side, and {B} pulled on the other side. Then {split}.")
    t.say("\"[That is your fault|Now look what you have done]!\" said {B}, and {B.he} went home. {A} went home too. [{A} was angry at first, but "
          "then {A.he} felt {bad}.|That {time} {A} sat alone and felt {bad}.]",
          "[Without {B}, nothing was fun.|{A} could not eat {A.his} {A.food}.|The house was very quiet.]",
          t.maybe("{C} the {C.kind} asked, \"[What is more important|What do you like better], {A}, {a:thing} or a friend?\" {A} [thought about "
                  "it|knew the answer].", 0.6))
    t.say("[The next morning|The next day] {A} went to {B}'s house. {B} was [just coming out of the door|sitting on the steps]. \"I am sorry,\" "
          "said {A}. \"I am sorry too,\" said {B}. \"[You are more important than {a:thing}|I missed you|I do not want to fight].\"",
          "They [got the {thing} back|went and found the {thing}] and [cleaned it|mended it|made it nice again] together. \"{idea},\" said {A}. "
          "\"[That is a good idea|Yes, let us do that|That is fair],\" said {B}.")
    t.say(t.ending())
    return t.story("[saying sorry|sharing|a quarrel]",
                   "{A} and {B} quarrelled about {a:look} {thing}, and then they said sorry and were friends again",
                   [("[What did they quarrel about?|What did they find?]", "They quarrelled about {a:look} {thing}."),
                    ("[Who said sorry first?|Who was sorry first?]", "{A} said sorry first, and then {B} said sorry too."),
                    ("[Where did they find the {thing}?|Where was the {thing}?]", "They found it near {P}.")], t.thing)


def mystery(t):
    rng = t.rng
    sign, where, truth, reason = rng.choice([("a strange sound", "It went bump, bump, bump", "was knocking on a barrel", "wanted to make a new drum"),
                                             ("a strange light", "It moved slowly up and down", "was walking around with a lantern",
                                              "could not sleep and was looking for a book"),
                                             ("strange footprints", "They were big and went around in a circle",
                                              "was wearing new boots that were much too big", "wanted to keep {C.his} feet dry"),
                                             ("a strange smell", "It was sweet and a little burnt", "was cooking in a big pot",
                                              "wanted to surprise everyone with a new dish"),
                                             ("a strange shadow", "It was long and had a pointed hat", "was trying on a tall hat",
                                              "was getting ready for the summer feast"),
                                             ("a strange voice", "It said the same words again and again", "was reading a poem aloud",
                                              "wanted to learn it by heart"),])
    t.set(sign=sign, where=where, truth=truth, reason=reason,
          guess=rng.choice(["a ghost", "a giant", "a dragon", "a troll", "a thief", "a monster"]))
    t.say(t.opening(), "{A.He} was [on the way home|out for a walk|going to {P}] when {A.he} noticed {sign} {P.at}. {where}.")
    t.say("\"[What can that be|What is that]?\" {A.he} [wondered|whispered]. \"Perhaps it is {guess}!\" {A} ran to {B} the {B.kind} as fast as "
          "{A.he} could.",
          "\"{B}, I have noticed {sign} {P.at}! I think it is {guess}.\" \"{cap:guess}?\" said {B}. \"[I do not think so|I have never seen "
          "one|There are none in Fernhollow]. [Let us go and see|Let us find out together].\"")
    t.say("[They crept to {P} on tiptoe|Hand in hand they went to {P}|Quietly they went back to {P}]. There {P.look}. {where}, just as {A} had "
          "said. {A} [held {A.his} breath|wanted to run away|trembled a little].",
          "{B} [looked around the corner|took one more step|took a deep breath and looked]. And [what did they see?|then they saw it.] It was only "
          "{C} the {C.kind}! {C} {truth}.")
    t.say("\"[Oh, it is you|So it was you|It was you all the time], {C}!\" [laughed|cried] {A}. \"[We thought you were {guess}|I thought you were "
          "{guess}]!\" {C} laughed too and said that {C.he} {reason}.",
          "[They all laughed until their bellies hurt.|And all three of them laughed.|\"{cap:guess}? Me?\" said {C}. \"I am only {C}.\"]")
    t.say(t.ending())
    return t.story("[a mystery|something strange|being curious]", "{A} noticed {sign} {P.at}, and it was only {C}, who {truth}",
                   [("[What did {A} notice?|What was strange?]", "{A} noticed {sign} {P.at}."),
                    ("[Who was it?|Who was it really?|Was it {guess}?]", "It was only {C} the {C.kind}, who {truth}."),
                    ("[What did {A} think it was?]", "{A} thought it was {guess}.")])


def contest(t):
    rng = t.rng
    kind, preparation, trouble, prize = rng.choice([
        ("boat race", "built a little boat from bark", "the boat of {B} got stuck in the reeds", "a silver cup"),
        ("running race", "ran around the meadow every morning", "{B} fell and hurt {B.his} foot", "a golden ribbon"),
        ("kite contest", "made a big kite from paper and wood", "the kite of {B} got caught in a tree", "a blue flag"),
        ("pumpkin contest", "watered a pumpkin every day", "the cart of {B} lost a wheel, and the pumpkin rolled away", "a big spoon"),
        ("cake contest", "tried a new cake every day", "{B} had no more flour", "a golden whisk"),
        ("singing contest", "practised a song every evening", "{B} forgot the words", "a little bell"),
        ("snowman contest", "looked for the roundest stones and a long carrot", "the snowman of {B} lost its head", "a woollen hat"),
        ("sledge race", "waxed the old sledge every evening", "the sledge of {B} slid into a bush", "a warm blanket"),
    ])
    wins = rng.random() < 0.35
    t.outdoors()
    t.set(kind=kind, prep=preparation, trouble=trouble, prize=prize)
    t.say(t.opening(), "[Soon|In three days|On Sunday] there would be a {kind} in Fernhollow. \"I want to win {prize}!\" said {A}. So {A.he} {prep}.",
          t.maybe("{B} the {B.kind} wanted to win too.", 0.5) or "{B} the {B.kind} was in the {kind} too.")
    t.say("[At last|Finally] the day came. Everyone stood {P.at}, and {C} the {C.kind} gave the sign. [\"Ready, steady, go!\"|\"Begin!\"]",
          "[At first everything went well for {A}.|{A} was the best of all.|{A} was ahead of all the others.] But then {trouble}. \"[Oh no|Help]!\" "
          "cried {B}.")
    t.say("{A} [stopped|looked back|heard it]. If {A.he} helped, {A.he} [would surely lose|would not win]. But {B} [was a friend|looked so "
          "{bad}|needed help]. {A} [did not think long|ran back|turned around]. \"[I am coming|Wait, I will help you|Do not worry], {B}!\" {A.he} "
          "called, and {A.he} helped {B.him}.")
    if wins:
        t.say("[Everyone was surprised.|The villagers clapped.] \"[We have never seen anything so kind|That was kinder than winning],\" said {C}. "
              "And then: \"{cap:prize} [is for both of you|belongs to {A}]!\" said {C}.", "{A} was {good}.")
    else:
        t.say("[So somebody else won {prize}|Another villager won {prize}]. But [all the villagers clapped for {A}|{A} was not sad]. \"[You lost "
              "the {kind}, but you won a friend|A kind heart is worth more than {prize}],\" said {C}.",
              "{B} [gave {A} a hug|thanked {A} again and again] and [shared {B.his} {B.food} with {A.him}|invited {A.him} for {B.food}].")
    t.say(t.ending())
    return t.story("[winning and losing|a contest|being kind|a race]" if "race" in kind else "[winning and losing|a contest|being kind]",
                   "{A} helped {B} at the {kind}" + (", and got {prize} for it" if wins else " and did not win, but was happy"),
                   [("[What kind of contest was it?|What was the contest?]", "It was a {kind}."),
                    ("[Who won?|Did {A} win?]",
                     "Yes, {A} got {prize} for being kind." if wins else "Somebody else won {prize}, but {A} had helped a friend."),
                    ("[What was the prize?]", "The prize was {prize}."), ("[Whom did {A} help?|Who needed help?]", "{A} helped {B} the {B.kind}.")])


def little_one(t):
    rng = t.rng
    small, missing, home = rng.choice([l for l in LITTLE_ONES if l[2] != t.P.name])
    place = PLACE_BY_NAME[home]
    t.set(small=small, missing=missing, mine=missing.replace("its", "my"), home=place,
          care=rng.choice(["gave it a drop of milk", "wrapped it in a warm cloth", "dried its tears", "gave it some berries", "stroked it softly"]),
          spot=rng.choice(t.P.spots))
    t.say(t.opening(), "[{A.He} was {P.at} when {A.he} heard a tiny voice.|{P.at}, {A.he} heard somebody crying.|Near {P} {A.he} heard a soft cry.]",
          "{A} looked {spot}. There sat a little {small}, [all alone|cold and afraid|shaking all over].")
    t.say("\"[Who are you|What is the matter|Why are you crying], little one?\" asked {A}. \"I am lost,\" [sobbed|said] the {small}. \"I cannot "
          "find {mine}.\"",
          "\"[Do not be afraid|Do not cry],\" said {A}. \"I will [bring|take] you home.\" {A.He} {care}. But where was the {small}'s home?")
    t.say("[{A} asked|They went to] {B} the {B.kind}, who knew [a lot about animals|every corner of the village]. \"I have seen many little ones "
          "like you {home.at},\" said {B}. \"[I will come with you|Come, I will show you the way].\"",
          "So the three of them [set out|went off|walked on]. [The way was long, and the {small} got tired, so {A} carried it.|On the way {B} sang "
          "a song, and the {small} [laughed|stopped crying].|It began to rain, and {B} held a big leaf over the {small}.]")
    t.say("[At last|In the evening] they came to {home}. There {home.look}. {cap:missing} had looked everywhere! The {small} [ran as fast as it "
          "could|jumped down and cried with joy].",
          "\"[Thank you, thank you|Thank you for bringing me home]!\" said the {small}. {A} and {B} [waved|smiled] and went home.")
    t.say(t.ending())
    return t.story("[a little {small}|helping someone small|finding the way home]",
                   "{A} found a little lost {small} {P.at}, and with {B} {A.he} brought it home to {home}",
                   [("[Who was lost?|What did {A} find?|Whom did {A} find?]", "{A} found a little lost {small}."),
                    ("[Where did the {small} live?|Where was its home?]", "The {small} lived {home.at}."),
                    ("[Who helped {A}?|Who helped?|Who came with them?]", "{B} the {B.kind} helped {A}."),
                    ("Where did {A} find the {small}?", "{A} found it {P.at}, {spot}.")], small)


# some skills can be practised only in one place
SKILL_PLACES = {"swim": "the pond", "skate": "the pond", "row": "the pond", "climb": "the old oak", "bake": "the bakery"}


def skill(t):
    rng = t.rng
    gerund, base, fail, tip, success = rng.choice([s for s in SKILLS if s[0] != t.A.hobby and not (
            s[0] == "climbing" and t.A.hobby == "climbing trees")])
    t.set(P=PLACE_BY_NAME[SKILL_PLACES.get(base, t.P.name)], gerund=gerund, base=base, fail=fail, tip=tip, success=success,
          days=rng.choice(["three days", "a whole week", "many days", "five days", "two weeks"]))
    t.say(t.opening(),
          "There was one thing that {A} could not do: {A.he} could not {base}. [All the others could.|{A} often watched the others and wished to do "
          "it too.|\"I wish I could {base},\" {A.he} often said.]")
    t.say("[One {time}|So one {time}] {A.he} tried it alone {P.at}. But {A.he} {fail}. {C} the {C.kind} saw it and [laughed|giggled]. {A} was "
          "{bad}. \"[I will never learn it|{cap:gerund} is too hard for me],\" {A.he} said.")
    t.say("{B} the {B.kind} [heard this|came by|had seen it too]. \"[Nobody can do it the first time|I could not do it at first either|You only "
          "need to practise],\" said {B}. \"I will [teach|show] you. {cap:tip}.\"",
          "[They met {P.at} every day.|Every {time} they practised together.] [The first day it went badly, and the second day it went a little "
          "better.|Again and again {A} tried.|Sometimes {A} wanted to give up, but {B} always said, \"Once more!\"]")
    t.say("After {days}, {A} took a deep breath and tried again. And [look|see]! {A} {success}. \"[I can do it|I can {base}]!\" {A.he} "
          "[cried|shouted]. {B} [clapped|cheered|was proud].",
          "[Even {C} came and said, \"That was really good. I am sorry that I laughed.\"|{C} came and asked, \"Can you teach me too?\" And {A} "
          "did.|{A} was {good}.]")
    t.say(t.ending())
    return t.story("[learning something new|{gerund}|not giving up]", "{A} wanted to learn {gerund}, and {B} taught {A.him} until {A.he} could do it",
                   [("[What did {A} learn?|What did {A} want to learn?]", "{A} learned {gerund}."),
                    ("[Who taught {A}?|Who helped {A}?|Who was the teacher?]", "{B} the {B.kind} taught {A}."),
                    ("How long did it take?", "It took {days}."), ("[Who laughed?|Who laughed at {A}?]", "{C} laughed at first.")])


def errand(t):
    rng = t.rng
    load = rng.choice(["a letter", "a parcel", "a pot of soup", "a warm blanket", "a basket of eggs", "a bottle of medicine", "a big cake",
                       "a bag of seeds"])
    block, way = rng.choice([("a big tree lay across the path", "crawled under the trunk"),
                             ("the bridge was closed", "crossed the brook on stepping stones"),
                             ("a goat stood in the way and would not move", "gave the goat a handful of grass"),
                             ("the path split in two, and there was no sign", "asked a friendly snail for the way"),
                             ("the road was full of mud", "walked on a row of flat stones"),
                             ("a gate was locked", "climbed carefully over the fence"),])
    t.set(load=load, it=load.split(" of ")[0].split(" ")[-1], block=block, way=way,
          reason=rng.choice(["{B} is ill in bed", "{B} is waiting for it", "{B} has asked for it", "{B} is all alone"]))
    t.set(reason=t.line(t.reason))
    t.say(t.opening(), "{C} the {C.kind} came to {A.him} and said, \"{A}, can you bring {load} to {B}? {reason}, and I have no time today.\"",
          "\"[Of course|Yes, I can do that|Gladly],\" said {A}. {A.He} took the {it} and set out.")
    t.say("The way led past {Q}, where {Q.look}. [It was tempting to stay and play, but {A} had a task.|{A} wanted to rest, but {A.he} went on.|\"I "
          "will play here later,\" {A.he} said and went on.]",
          "Then {block}. [What now?|\"Oh dear,\" said {A}. \"What shall I do?\"] {A} [thought for a moment|looked around|scratched {A.his} head]. "
          "Then {A.he} {way}. \"[There is always a way|That was not so hard],\" {A.he} said.")
    t.say("[At last|In the late afternoon|Soon after] {A} came to {B}, who lives {B.home}. {A.He} knocked. \"[Come in|The door is open]!\" called "
          "{B}.",
          "\"I have {load} for you from {C},\" said {A}. {B}'s eyes [shone|grew big]. \"[How kind|That is just what I needed|I am so glad]! [Thank "
          "you for coming all this way|You must be tired. Sit down and eat with me].\"",
          "They sat down and ate {B.food}, and {A} told {B} about the way.")
    t.say(t.ending())
    return t.story("[a long way|keeping a promise|a journey]", "{A} brought {load} to {B}, although {block}",
                   [("[What did {A} bring?|What did {A} carry?]", "{A} brought {load} to {B}."),
                    ("[Who sent {A}?|Who gave {A} the {it}?]", "{C} the {C.kind} sent {A}."),
                    ("[What was in the way?|What happened on the way?]", "On the way {block}, but {A} {way}."),
                    ("[What did they eat?|What did they do at the end?]", "They ate {B.food} together.")])


def seed(t):
    rng = t.rng
    plant, wonder = rng.choice([("sunflower", "it was taller than the roof"), ("pumpkin", "it was as big as a wagon"),
                                ("rose", "it smelled sweeter than honey"), ("bean", "it climbed up to the window"),
                                ("apple tree", "its first apple was red and round"), ("tulip", "it was as red as the evening sky"),
                                ("strawberry", "it was sweet and juicy"), ("cherry tree", "it was white with flowers"),])
    t.set(plant=plant, wonder=wonder,
          danger=rng.choice([("a hungry snail wanted to eat it", "carried the snail to the far end of the meadow"),
                             ("the sun burned for many days", "brought water from the brook every evening"),
                             ("a cold night came", "covered it with a warm cloth"), ("the wind bent it to the ground", "tied it to a strong stick"),
                             ("weeds grew all around it", "pulled out the weeds one by one")]))
    danger, cure = t.danger
    t.set(danger=danger, cure=cure)
    t.say(t.opening(),
          "{B} the {B.kind} gave {A.him} a tiny seed. \"Plant it and take care of it,\" said {B}. \"[You will see a wonder|Then wait and see|It "
          "needs water, sun and patience].\"")
    t.say("{A} planted the seed {P.at} and gave it water. The next day {A.he} ran to look. [Nothing had happened.|There was only brown earth.] The "
          "day after, [there was still nothing|it was the same]. \"[Does it not work|Is it a bad seed|How long must I wait]?\" {A.he} [asked|said].",
          "\"[Good things take time|Be patient|Everything needs its time],\" said {B}.")
    t.say("[One morning|After a week|One day] a small green tip came out of the earth. {A} [jumped for joy|was very happy|called {B} at once]. The "
          "little plant grew and grew. But then {danger}. {A} was {bad}, but {A.he} did not give up. {A.He} {cure}.",
          t.maybe("{C} the {C.kind} helped too.", 0.4))
    t.say("[And at last|In the summer|And one {W} morning] it was there: a wonderful {plant}! [Everyone saw that {wonder}|The villagers came to "
          "look, and {wonder}]. \"[You see|Well done, {A}],\" said {B}. \"[Care and patience can do wonders|You took good care of it].\"",
          "{A} was {good}.")
    t.say(t.ending())
    return t.story("[being patient|a seed|growing something]", "{A} planted a seed from {B} and took care of it until it was a wonderful {plant}",
                   [("[What grew from the seed?|What was it?]", "A wonderful {plant} grew from it."),
                    ("[Who gave {A} the seed?]", "{B} the {B.kind} gave {A} the seed."),
                    ("[Where did {A} plant it?|Where did {A} plant the seed?]", "{A} planted it {P.at}."),
                    ("[What went wrong?|What was the trouble?]", "First nothing happened, and then {danger}.")], plant)


def newcomer(t):
    rng = t.rng
    stranger = guest(rng)
    t.set(N=stranger,
          shy=rng.choice(["stood under a tree and did not dare to speak", "sat on a big suitcase and looked at the ground", "hid behind a fence",
                          "looked into every window from far away"]),
          show=rng.choice(["how to bake bread", "the secret path along the brook", "where the best berries grow", "how to skip stones",
                           "the tower of the library", "the big wheel of the mill"]),
          first=rng.choice(["a cup of tea", "a warm bun", "half of an apple", "a place by the fire", "a handful of nuts", "a bowl of soup"]))
    t.say(t.opening(),
          "[There {A.he} saw somebody new.|On the road {A.he} saw a stranger.|That {time} a stranger came to Fernhollow.] It was {a:N.kind}, who "
          "{shy}.", t.maybe("\"Who is that?\" [thought|wondered] {A}.", 0.5))
    t.say("{A} [went closer|took heart|walked over] and said, \"[Hello|Good day], I am {A}. What is your name?\" \"{N},\" said the {N.kind} [very "
          "quietly|in a small voice]. \"[I am new here|I have no friends here|I come from far away], and I do not know anybody.\"",
          "\"[Now you know me|That can change|Then we will change that]!\" said {A} and gave {N} {first}. {N} [smiled for the first time|ate it and "
          "smiled|said thank you].")
    t.say("[Then|After that] {A} took {N} to {B} the {B.kind}, who was {Q.at}. \"[Welcome to Fernhollow|How nice that you are here], {N},\" said "
          "{B}. {B} showed {N} {show}. [In the afternoon they met {C} the {C.kind} too.|{C} the {C.kind} came along and [shook {N.his} hand|sang a "
          "song of welcome].]",
          "[By the evening {N} had three friends.|Soon {N} was laughing and talking like the others.|{N} was not shy any more.]")
    t.say("\"[I was so afraid this morning|This morning I knew nobody], and now [I feel at home|I have friends],\" said {N}. \"[All it takes is one "
          "hello|A friend is only a stranger whom you have not met yet],\" said {A}.", t.ending())
    return t.story("[a new friend|a newcomer|making friends]", "{N} the {N.kind} was new in Fernhollow, and {A} and {B} became {N.his} friends",
                   [("[Who was new?|Who was the stranger?|Who came to Fernhollow?]", "{N} the {N.kind} was new in Fernhollow."),
                    ("[What did {A} give {N}?]", "{A} gave {N} {first}."), ("[What did {B} show {N}?]", "{B} showed {N} {show}."),
                    ("[Who said hello first?|Who was kind to {N}?]", "{A} the {A.kind} said hello first.")])


def truth(t):
    rng = t.rng
    t.set(item=rng.choice(["cup", "vase", "window", "plate", "flower pot", "jar of honey", "mirror", "lamp"]),
          play=rng.choice(["throwing a ball", "dancing too wildly", "running after a butterfly", "jumping on the bed",
                           "trying to reach the top shelf"]),
          blame=rng.choice(["The wind did it", "It was the cat from the next village", "I do not know who did it", "A bird flew in and broke it",
                            "It fell down all by itself"]))
    t.say(t.opening(),
          "{A.He} was visiting {B} the {B.kind}. While {B} was [in the kitchen|outside|fetching water], {A} was {play}. Crash! {B}'s {look} {item} "
          "[lay on the floor in pieces|was broken].")
    t.say("{B} came [back|running]. \"[What happened|Who broke my {item}]?\" {B.he} asked. {A} [turned red|looked at {A.his} feet]. \"{blame},\" "
          "{A.he} said. {B} [looked sad|said nothing] and swept up the pieces.",
          "{A} went home, but {A.he} [felt a stone in {A.his} belly|could not eat|could not sleep]. {A.He} was {bad}.",
          t.maybe("\"A lie is like a thorn in the foot,\" {C} the {C.kind} had once said. \"It hurts until you pull it out.\"", 0.5))
    t.say("[The next morning|Early the next day] {A} went back. \"{B}, I did not tell you the truth,\" {A.he} said. \"I broke your {item} when I "
          "was {play}. I am [so|very] sorry.\"",
          "{B} was quiet for a moment. Then {B.he} [smiled|took {A}'s hand]. \"[Thank you for telling me|That was brave],\" {B.he} said. \"[The "
          "{item} can be mended, but a friend who tells the truth is rare|I like an honest friend better than a whole {item}].\"")
    t.say("Together they [glued the pieces|swept the last pieces away|went to the market and chose a new {item}].",
          "{A} [felt as light as a feather|could breathe again|promised to be careful].", t.ending())
    return t.story("[telling the truth|a lie|being honest]", "{A} broke {B}'s {item} and did not tell the truth at first, but then {A.he} said sorry",
                   [("[What was broken?|What did {A} break?]", "{A} broke {B}'s {look} {item}."),
                    ("[How did it break?|What was {A} doing?]", "{A} was {play}."),
                    ("[What did {A} say at first?|What was the lie?]", "At first {A} said, \"{blame}.\""),
                    ("[Was {B} angry?]", "No, {B} was glad that {A} told the truth.")])


def trade(t):
    rng = t.rng
    one, two, three = rng.sample([o for o in OBJECTS if o != t.thing], 3)
    t.set(one=one, two=two, three=three)
    t.say(t.opening(), "{A.He} [wished for|wanted] {a:thing} more than anything. But {A.he} had only {a:one}.",
          t.maybe("\"[Perhaps I can trade it|Somebody may need it],\" {A.he} thought.", 0.6))
    t.say("[First|So] {A.he} went to {B} the {B.kind} {Q.at}. \"Do you have {a:thing}?\" asked {A}. \"No,\" said {B}, \"but I need {a:one}. I will "
          "give you {a:two} for it.\" So {A} gave {B} the {one} and took the {two}.",
          "[Then|Next] {A.he} went to {C} the {C.kind} {R.at}. \"Do you have {a:thing}?\" \"Yes,\" said {C}, \"but I would rather have {a:two} "
          "[than anything|any day].\" \"[Here it is|That is easy]!\" said {A} and gave {C} the {two}.")
    t.say("[At last|Now] {A} had a [fine|wonderful|beautiful] {look} {thing}. {A.He} [carried it home|ran all the way home] and was {good}.",
          "[But on the way {A.he} saw a child who was crying.|But near {P} sat a child with a sad face.] \"[I have nothing to play with|I have "
          "never had {a:thing}],\" said the child. {A} [thought for a while|looked at the {thing} and then at the child]. Then {A.he} [smiled|sat "
          "down] and said, \"[Come, we will play together|It can be for both of us].\"")
    t.say("They played [until the sun went down|for a long time]. \"[It is much more fun with two|Alone it would be only {a:thing}],\" said {A}.",
          t.ending().replace("so was {B}", "so were {B} and {C}"))
    return t.story("[trading|sharing|a wish]", "{A} wanted {a:thing} and traded {a:one} for {a:two}, and the {two} for {a:thing}",
                   [("[What did {A} want?|What did {A} wish for?]", "{A} wanted {a:thing}."),
                    ("[What did {A} have at first?]", "At first {A} had only {a:one}."),
                    ("[What did {B} give {A}?]", "{B} gave {A} {a:two} for the {one}."),
                    ("[Who had the {thing}?|Where did {A} get the {thing}?]", "{C} the {C.kind} had it {R.at}.")], t.thing)


def sleepless(t):
    rng = t.rng
    t.set(try1=rng.choice(["counted sheep", "drank warm milk", "turned the pillow around", "hummed a song", "closed the curtains"]),
          try2=rng.choice(["read a book", "counted the beams of the roof", "put on warm socks", "opened the window", "lay down on the other side"]),
          cure=rng.choice([("tell me about the best thing that you saw today", "a rainbow over the mill"),
                           ("listen to the brook and follow every little wave", "the song of the water"),
                           ("look for the brightest star and give it a name", "a star above the hill"),
                           ("think of all the friends who sleep now", "the warm windows of the village")]),
          worry=rng.choice(["Tomorrow is a big day", "The house is too quiet", "The moon is too bright", "So many thoughts run around in my head"]))
    t.set(tip=t.cure[0], dream=t.cure[1])
    t.say("[It was late in the evening in Fernhollow|Night had come to Fernhollow|The moon stood over the village of Fernhollow], and [all was "
          "still|the lanterns were out]. Everyone was asleep, but not {A} the {A.kind}, who lives {A.home}.",
          "{A} {try1}, but {A.he} could not sleep. {A.He} {try2}, but [it did not help|{A.he} was still awake]. \"{worry},\" {A.he} [sighed|said].")
    t.say("[So {A} got up and went out.|At last {A} put on a coat and went out.] {P.at} {A.he} met {B} the {B.kind}. \"[Are you awake too|Can you "
          "not sleep either], {B}?\" asked {A}. \"[I often walk at night|I was looking at the moon|I heard your steps],\" said {B}. \"Come, sit "
          "down with me.\"",
          "They sat side by side and [looked at the stars|ate {B.food}|said nothing for a while]. \"When I cannot sleep,\" said {B}, \"there is one "
          "thing that helps: {tip}.\"")
    t.say("{A} [tried it|did so]. [Slowly|Little by little] {A.his} breath became calm and {A.his} eyes became heavy. {B} [brought {A.him} home|put "
          "a blanket around {A.him}] and whispered, \"Good night, {A}.\"", "{A} dreamed of {dream}.")
    t.say("[In the morning|When the sun came up] {A} [woke up fresh and happy|was wide awake]. {A.He} [brought {B} {A.food} to say thank you|ran to "
          "{B} and said thank you|told {C} about the night].", t.maybe("\"Now I know what to do,\" {A.he} said.", 0.4))
    return t.story("[going to sleep|the night|bedtime]", "{A} could not sleep, and {B} helped {A.him}",
                   [("[Why did {A} go out?|What was the matter with {A}?]", "{A} could not sleep."),
                    ("[Whom did {A} meet?|Who helped {A}?|Who helped?]", "{A} met {B} the {B.kind} {P.at}."),
                    ("[What did {A} dream of?]", "{A} dreamed of {dream}."), ("[What was the trick?|What did {B} say?]", "{B} said, \"{cap:tip}.\"")])


def soup(t):
    rng = t.rng
    t.outdoors()
    bring = rng.sample(["carrots", "mushrooms", "beans", "onions", "a pumpkin", "salt", "potatoes", "herbs", "butter", "a cabbage"], 3)
    t.set(b1=bring[0], b2=bring[1], b3=bring[2],
          event=rng.choice(["the first snow", "the harvest", "the summer feast", "a long week of rain", "the longest night of the year"]))
    t.say(t.opening(),
          "It was the time of {event}, and [the kitchens were almost empty|nobody had much to eat]. {A} had nothing but a big pot and water. {A.He} "
          "was {bad}.")
    t.say("Then {A} had an idea. {A.He} put the pot on a fire {P.at} and began to stir. {B} the {B.kind} came by. \"What are you cooking?\" asked "
          "{B}. \"[Village soup|Friendship soup],\" said {A}. \"[It only needs a little more|It is almost good, but something is missing].\" \"I "
          "have {b1} at home,\" said {B} and ran home.",
          "{C} the {C.kind} smelled the soup too. \"I can bring {b2},\" said {C}. [And somebody else brought {b3}.|The others brought {b3}, bread "
          "and spoons.]")
    t.say("[Soon|After an hour] the pot was full, and the soup smelled [wonderful|so good that everybody came]. They sat around the fire and ate "
          "until [the pot was empty|nobody could eat any more].",
          "\"[How did you make such a good soup from water|What is the secret of this soup], {A}?\" asked {C}. {A} laughed. \"I had only the "
          "water,\" {A.he} said. \"[You brought all the rest|Each of you gave a little, and that was enough].\"")
    t.say(t.ending())
    return t.story("[cooking together|sharing food|a soup]",
                   "{A} had only water in a pot, but {B}, {C} and the others each brought something, and it became a good soup",
                   [("[What did {B} bring?]", "{B} brought {b1}."), ("[What did {C} bring?]", "{C} brought {b2}."),
                    ("[What did they cook?]", "They cooked a soup {P.at}."), ("[What did {A} have at first?]", "{A} had only a big pot and water.")])


def hide_and_seek(t):
    rng = t.rng
    s1, s2 = rng.sample(t.P.spots, 2)
    t.set(s1=s1, s2=s2, number=rng.choice(["ten", "twenty", "fifty", "a hundred"]),
          give=rng.choice(["a sneeze", "a giggle", "a tail that stuck out", "a foot that stuck out", "a loud hiccup"]))
    t.say(t.opening(),
          "{A} met {B} the {B.kind} and {C} the {C.kind} {P.at}. \"Who wants to play hide and seek?\" said {B}. {A} [closed {A.his} eyes|turned "
          "around] and counted to {number}.")
    t.say("\"[I am coming|Ready or not, here I come]!\" called {A}. {A.He} looked around. {P.look}. [First|At once] {A.he} noticed something {s1}. "
          "It was {give}. \"I have found you, {B}!\" [laughed|cried] {A}.",
          "But {C} was nowhere. {A} and {B} looked [everywhere|high and low|for a long time]. The sun went down, and [it grew cold|the first star "
          "came out]. Now they were {bad}. \"{C}! [You have won|The game is over]! Come out!\" they called.")
    t.say("Then {A} heard a soft sound {s2}. {A.He} looked, and there was {C}, [fast asleep|rolled up and snoring]! \"[Is it morning already|Have I "
          "won]?\" asked {C} and yawned. They all [laughed|had to laugh].",
          "\"[You are the best hider in Fernhollow|Nobody hides as well as you],\" said {A}. \"[And the sleepiest|And you sleep better than "
          "anyone],\" said {B}.")
    t.say(t.ending())
    return t.story("[a game|playing hide and seek|playing together]", "{A}, {B} and {C} played hide and seek {P.at}, and {C} fell asleep {s2}",
                   [("[What did they play?|Which game did they play?]", "They played hide and seek."),
                    ("[Who was found first?|Whom did {A} find first?]", "{A} found {B} first, {s1}."),
                    ("[Where was {C}?|Where did {C} hide?]", "{C} was {s2} and had fallen asleep."), ("[Who won?]", "{C} won.")])


PLOTS = [lost_thing, lost_thing, broken_thing, storm, gift, fear, quarrel, mystery, contest, little_one, skill, errand, seed, newcomer, truth, trade,
         sleepless, soup, hide_and_seek]
# plots that can be told about a thing that the listener asks for
THING_PLOTS = [lost_thing, quarrel, trade]
THEME_PLOTS = {
    "being brave": fear, "being afraid": fear, "a lost thing": lost_thing, "helping a friend": lost_thing, "a birthday": gift, "a present": gift,
    "bad weather": storm, "a storm": storm, "saying sorry": quarrel, "sharing": quarrel, "a mystery": mystery, "something strange": mystery,
    "a race": contest, "a contest": contest, "a lost animal": little_one, "learning something new": skill, "not giving up": skill,
    "a journey": errand, "keeping a promise": errand, "a seed": seed, "being patient": seed, "mending something": broken_thing,
    "working together": broken_thing, "a new friend": newcomer, "making friends": newcomer, "telling the truth": truth, "a lie": truth,
    "a trade": trade, "a wish": trade, "bedtime": sleepless, "the night": sleepless, "a soup": soup, "sharing food": soup, "a game": hide_and_seek,
    "hide and seek": hide_and_seek, "friendship": quarrel, "winning": contest, "snow and rain": storm, "honesty": truth, "kindness": contest,
}


def tell(rng, plot=None, **wish):
    """Tells one story. ``wish`` may fix hero, friend (villagers), thing (a noun) and place (a name)."""
    if plot is None:
        plot = rng.choice(THING_PLOTS if wish.get("thing") else PLOTS)
        if wish.get("thing") and any(b[0] == wish["thing"] for b in BREAKABLE) and rng.random() < 0.5:
            plot = broken_thing
    return plot(Teller(rng, wish))
