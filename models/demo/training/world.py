"""The little world that the demo model knows: the village of Fernhollow, its twelve villagers and its places.

Everything the model says about the village comes from these tables, so an answer can be checked against them.
"""

from dataclasses import dataclass, replace

VILLAGE = "Fernhollow"
BROOK = "the Silver Brook"


@dataclass(frozen=True)
class Villager:
    name: str
    kind: str        # species: "mouse"
    pronoun: str     # "she" or "he"
    trait: str       # one adjective
    job: str         # noun: "baker"
    work: str        # what the job is, third person: "bakes bread and buns"
    home: str        # with its preposition: "in a teapot house behind the bakery"
    near: str        # name of the nearest place
    food: str        # favourite food
    hobby: str       # gerund: "painting pictures"
    fear: str        # "thunder"
    treasure: str    # "red scarf"
    colour: str
    friend: str      # best friend's name; friendship is mutual

    @property
    def he(self): return self.pronoun

    @property
    def him(self): return "her" if self.pronoun == "she" else "him"

    @property
    def his(self): return "her" if self.pronoun == "she" else "his"

    @property
    def He(self): return self.pronoun.capitalize()

    @property
    def His(self): return self.his.capitalize()

    @property
    def himself(self): return self.him + "self"


VILLAGERS = [
    Villager("Mila", "mouse", "she", "shy", "baker", "bakes bread and buns for the whole village",
             "in a teapot house behind the bakery", "the bakery", "cheese buns", "painting pictures",
             "thunder", "red scarf", "red", "Benno"),
    Villager("Benno", "bear", "he", "gentle", "beekeeper", "looks after the bees",
             "in a round cabin at the edge of the forest", "the forest", "honey cakes", "singing songs",
             "the dark", "green blanket", "green", "Mila"),
    Villager("Oskar", "otter", "he", "cheerful", "boatman", "takes travellers across the brook in his boat",
             "in a reed hut beside the pond", "the pond", "fish soup", "swimming",
             "high places", "silver whistle", "blue", "Tilda"),
    Villager("Tilda", "toad", "she", "patient", "gardener", "grows flowers and vegetables",
             "in a mossy pot in the garden", "the garden", "pumpkin pie", "counting stars",
             "snow", "yellow umbrella", "yellow", "Oskar"),
    Villager("Runa", "rabbit", "she", "quick", "letter carrier", "brings letters to every door",
             "in a cosy burrow under the meadow", "the meadow", "carrot cake", "running races",
             "deep water", "brown letter bag", "white", "Fenn"),
    Villager("Fenn", "fox", "he", "clever", "tinker", "mends broken things",
             "in a crooked workshop near the bridge", "the bridge", "plum jam", "building machines",
             "bees", "golden key", "orange", "Runa"),
    Villager("Olda", "owl", "she", "wise", "librarian", "keeps the books and reads to the little ones",
             "in the tower above the library", "the library", "ginger biscuits", "reading old books",
             "loud noises", "round mirror", "grey", "Grum"),
    Villager("Grum", "badger", "he", "grumpy", "miller", "grinds the grain into flour",
             "in a stone room under the mill", "the mill", "mushroom stew", "playing chess",
             "getting wet", "old clock", "black", "Olda"),
    Villager("Pilla", "hedgehog", "she", "brave", "apple picker", "picks the apples and makes juice",
             "in a leaf house in the orchard", "the orchard", "baked apples", "climbing trees",
             "strangers", "wooden drum", "purple", "Sorrel"),
    Villager("Sorrel", "squirrel", "he", "funny", "carpenter", "makes chairs, doors and toys from wood",
             "in a hollow high up in the old oak", "the old oak", "nut bread", "telling jokes",
             "spiders", "bag of marbles", "copper", "Pilla"),
    Villager("Dot", "duck", "she", "curious", "weaver", "weaves baskets and warm blankets",
             "in a blue house at the market", "the market", "berry tart", "collecting shells",
             "foxes in the fog", "straw hat", "pink", "Wim"),
    Villager("Wim", "cat", "he", "sleepy", "night watchman", "lights the lanterns every evening",
             "in a soft basket in the lighthouse on the hill", "the hill", "warm milk", "watching clouds",
             "dogs", "brass lantern", "silver", "Dot"),
]
BY_NAME = {v.name: v for v in VILLAGERS}

PEOPLE = ["Anna", "Tom", "Lena", "Max", "Sara", "Paul", "Nina", "Jan", "Eva", "Leo", "Ida", "Ben", "Clara", "Felix", "Greta", "Hugo", "Julia", "Karl",
          "Lisa", "Marie", "Noah", "Olivia", "Peter", "Rosa", "Simon", "Tessa", "Victor", "Yusuf", "Zoe", "Amir", "Chen", "Maya", "Ravi", "Sofia",
          "David", "Emma", "Frank", "John", "Kate", "Mark", "Alice", "Bob", "Carol", "Daniel", "Ella", "George", "Hannah", "Ivan", "Jack", "Kim",
          "Lily", "Lucy", "Sam", "Mia", "Timmy", "Sue", "Tim", "Amy"]
SYLLABLES = ["ba", "ko", "li", "ma", "ra", "te", "vi", "zo", "sha", "fre", "don", "gil", "har", "jo", "kel", "nor", "pim", "ril", "sam", "ty", "wen",
             "dra", "lu", "mi", "ne"]


def made_up_word(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4)))


def guest(rng):
    """Somebody from outside the village, so that a story can be about any name."""
    name = rng.choice(PEOPLE) if rng.random() < 0.7 else made_up_word(rng).capitalize()
    like = rng.choice(VILLAGERS)
    return replace(like, name=name,
                   kind=rng.choice(["girl", "boy", "child", "dog", "goat", "frog", "mole", "goose", "pony", "lizard", "bird", "dragon", "princess",
                                    "prince", "wizard", "robot", "giant", "dwarf", "unicorn", "lion", "elephant", "pirate"]),
                   pronoun=rng.choice(["she", "he"]), trait=rng.choice(["little", "kind", "young", like.trait]), friend=rng.choice(VILLAGERS).name,
                   home=rng.choice(["in a small house near the mill", "in a tent on the hill", "in a hut behind the forest",
                                    "in a boat on the brook"]), job=rng.choice(["newcomer", "guest", "pupil"]))


@dataclass(frozen=True)
class Place:
    name: str         # "the pond"
    at: str           # "at the pond"
    look: str         # one clause about it: "the water was still and green"
    now: str          # the same in the present tense, for answers
    use: str          # what one can do there: "swim and feed the fish"
    spots: tuple      # where a thing may hide there


PLACES = [
    Place("the pond", "at the pond", "the water was still and green", "The water is still and green, and frogs sing there in the evening",
          "swim and sail little boats", ("among the reeds", "under a lily leaf", "behind a wet stone")),
    Place("the mill", "at the mill", "the big wheel turned slowly", "Its big wheel turns slowly in the brook",
          "fetch flour and watch the wheel", ("behind the flour sacks", "under the wooden steps", "beside the wheel")),
    Place("the orchard", "in the orchard", "the trees were full of apples", "It is full of apple trees and plum trees",
          "pick apples and climb the trees", ("under the ladder", "between two roots", "in an apple basket")),
    Place("the meadow", "in the meadow", "the grass was high and soft", "The grass is high and soft there, and butterflies dance over the flowers",
          "fly kites and pick flowers", ("in the high grass", "under a clover leaf", "next to a molehill")),
    Place("the bridge", "at the bridge", "the brook sang over the stones", "It is an old stone bridge over the Silver Brook",
          "cross the brook and catch little fish", ("between two stones", "under the arch", "in a crack in the wall")),
    Place("the market", "at the market", "the stalls were full of colours", "There are many stalls with fruit, cloth and toys",
          "buy and trade all kinds of things", ("under a stall", "behind a barrel", "in an empty box")),
    Place("the bakery", "at the bakery", "the air smelled of fresh bread", "It always smells of fresh bread",
          "buy bread and warm buns", ("behind the oven", "under the table", "on the top shelf")),
    Place("the library", "in the library", "it was very quiet", "It is quiet and full of old books",
          "read books and listen to stories", ("between two thick books", "under a chair", "behind the curtain")),
    Place("the hill", "on the hill", "the wind blew from far away", "From the top you can see the whole village, and the lighthouse stands there",
          "watch the clouds and roll down the grass", ("behind the lighthouse", "under a thorn bush", "beside the flat rock")),
    Place("the forest", "in the forest", "the light was green and dim", "The trees are tall and the light is green there",
          "look for mushrooms and berries", ("under a fern", "in a hollow log", "on a bed of moss")),
    Place("the old oak", "at the old oak", "the leaves whispered", "It is the oldest tree in the village and stands in the middle of it",
          "sit in the shade and meet friends", ("in a knot hole", "among the roots", "on a low branch")),
    Place("the garden", "in the garden", "the flowers stood in neat rows", "Flowers and vegetables grow there in neat rows",
          "pick beans and smell the flowers", ("under a cabbage leaf", "in a watering can", "behind the pumpkins")),
]
# where each place lies
WHERE = {"the pond": "south of the old oak, where the brook is wide", "the mill": "beside the brook, a little above the bridge",
         "the orchard": "behind the garden", "the meadow": "between the brook and the forest", "the bridge": "at the end of the market street",
         "the market": "in the middle of the village", "the bakery": "next to the market", "the library": "opposite the old oak",
         "the hill": "north of the village", "the forest": "behind the meadow", "the old oak": "in the middle of the village",
         "the garden": "between the library and the orchard",}
JOKES = ["Why does the owl never lose a game? Because she always knows who.", "What did the bee say to the flower? \"Hello, honey!\"",
         "Why did the snail take so long to answer the door? It was still on its way from yesterday.",
         "Why is the old oak never alone? Because it has so many leaves that come back.", "What does a frog drink? Croak-a-cola!",
         "Why did the mouse bring a ladder to the bakery? Because the bread was on the rise.", "What is a duck's favourite dish? Quackers!",
         "Why did the apple stop in the middle of the road? It ran out of juice.",]
RHYMES = ["The brook runs down, the wheel goes round,\nthe apples fall without a sound.\nThe lanterns shine, the day is done,\ngood night, good "
          "night to everyone.",
          "A little mouse with flour on her nose\nbakes a bun wherever she goes.\nOne for the owl and one for the bear,\nand one for you, if you "
          "stop there.",
          "Snow on the hill and ice on the pond,\nsmoke from the chimney and stars beyond.\nCome in, come in, and close the door,\nthe soup is hot, "
          "and there is more.",
          "The wind took my hat, the wind took my shoe,\nthe wind took my kite and my handkerchief too.\nO wind, dear wind, give one thing back,\nI "
          "think you have it all in a sack.",]
PLACE_BY_NAME = {p.name: p for p in PLACES}

OBJECTS = ["kite", "lantern", "drum", "boat", "basket", "button", "spoon", "whistle", "hat", "scarf", "book", "map", "key", "bell",
           "ball", "flute", "umbrella", "teapot", "mirror", "cup", "paintbrush", "wagon", "marble", "ribbon", "coin", "shell", "feather",
           "letter", "ring", "clock"]
LOOKS = ["red", "blue", "green", "yellow", "tiny", "old", "shiny", "wooden", "silver", "golden", "striped", "round", "little", "pretty",
         "white", "brown"]
# what breaks, how, and what mends it
BREAKABLE = [
    ("kite", "had a long tear", "a piece of cloth and some thread", "flew higher than the treetops"),
    ("wagon", "had lost a wheel", "a new wheel and a strong nail", "rolled smoothly down the road"),
    ("boat", "had a hole in the bottom", "a flat board and some tree gum", "floated like a leaf"),
    ("lantern", "did not shine any more", "a clean wick and a drop of oil", "shone like a little star"),
    ("drum", "had a split in the skin", "a round piece of leather", "sounded deep and loud again"),
    ("clock", "had stopped ticking", "a small spring and a careful hand", "said tick, tock, tick, tock"),
    ("chair", "had a broken leg", "a straight stick and some glue", "stood as firm as a rock"),
    ("umbrella", "would not open", "a bit of wire and patience", "opened like a flower"),
    ("swing", "hung by one rope only", "a new rope and a good knot", "swung up to the branches"),
    ("flute", "made only a sad squeak", "a feather to clean it", "played as sweetly as a bird"),
    ("bell", "had lost its clapper", "a round pebble on a string", "rang clear over the roofs"),
    ("basket", "had a hole in its side", "three fresh reeds", "could carry a whole harvest"),
]
# skills: gerund, base form, first failure, the teacher's advice, the success
SKILLS = [
    ("swimming", "swim", "sank like a stone and came up coughing", "kick your feet and breathe slowly", "swam from one bank to the other"),
    ("whistling", "whistle", "blew and blew, but only air came out", "make your lips round like a berry", "whistled a whole song"),
    ("skating", "skate", "slipped and sat down hard on the ice", "bend your knees and look ahead", "glided over the ice in a big circle"),
    ("baking", "bake", "took a black and smoking loaf out of the oven", "be patient and watch the oven", "baked a loaf that was soft and golden"),
    ("knitting", "knit", "ended up in a big knot of wool", "make one loop after the other", "knitted a warm scarf"),
    ("dancing", "dance", "stepped on everyone's feet", "listen to the music first", "danced until the moon came out"),
    ("juggling", "juggle", "dropped all the apples", "begin with only two", "kept three apples in the air"),
    ("rowing", "row", "went round and round in a circle", "pull with both arms at the same time", "rowed straight across the pond"),
    ("drawing", "draw", "drew a horse that looked like a potato", "look closely before you draw", "drew a picture that everyone knew at once"),
    ("climbing", "climb", "slid down the trunk again and again", "test every branch before you trust it", "climbed all the way to the top"),
]
# small lost animals: name, who misses it, where it belongs
LITTLE_ONES = [
    ("duckling", "its mother", "the pond"), ("ladybird", "its sisters", "the meadow"), ("snail", "its cousins", "the garden"),
    ("kitten", "its brother", "the hill"), ("chick", "its mother", "the market"), ("bee", "its hive", "the forest"),
    ("frog", "its family", "the pond"), ("butterfly", "its friends", "the meadow"), ("lamb", "its mother", "the hill"),
    ("fawn", "its mother", "the forest"), ("beetle", "its brothers", "the old oak"), ("gosling", "its father", "the bridge"),
]
GIFTS = ["a jar of honey", "a bunch of flowers", "a warm pair of socks", "a little wooden horse", "a paper star", "a string of shells",
         "a painted stone", "a bag of nuts", "a soft pillow", "a pot of plum jam", "a new walking stick", "a picture of the village"]
WEATHER = [
    ("sunny", "the sun was shining", "The sun"), ("rainy", "the rain was falling softly", "The rain"),
    ("windy", "the wind was blowing", "The wind"), ("snowy", "the snow lay deep and white", "The snow"),
    ("foggy", "the fog hung over the roofs", "The fog"), ("warm", "the air was warm and sweet", "The warm air"),
    ("cold", "the ground was hard with frost", "The frost"), ("cloudy", "grey clouds covered the sky", "The clouds"),
]
TIMES = ["morning", "afternoon", "evening", "day"]
FEELINGS_GOOD = ["happy", "proud", "glad", "thankful", "calm", "full of joy"]
FEELINGS_BAD = ["sad", "worried", "upset", "unhappy", "close to tears"]
