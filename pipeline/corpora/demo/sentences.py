"""Sentences for the demo corpus: a small random grammar over everyday words that cover all lip shapes."""

from __future__ import annotations

import numpy as np

_PEOPLE = (
    "my brother", "the farmer", "our neighbour", "a young woman", "the old man", "your mother",
    "the whole family", "the football team", "a famous chef", "the bus driver", "every visitor",
    "the prime minister", "a few people", "the film crew", "her best friend", "the baker",
    "some of the children", "the village doctor", "a very brave pilot", "the shop owner",
)  # fmt: skip
_VERBS = (
    "moved", "bought", "painted", "found", "brought back", "forgot about", "opened", "borrowed",
    "photographed", "paid for", "built", "remembered", "put away", "fixed up", "served", "showed us",
    "loved", "picked up", "threw out", "promised me", "wrapped up", "measured", "weighed", "washed",
)  # fmt: skip
_ADJECTIVES = (
    "blue", "beautiful", "mouldy", "enormous", "cheap", "wooden", "marvellous", "fresh", "heavy",
    "valuable", "broken", "warm", "fabulous", "purple", "round", "modern", "smooth", "favourite",
    "unusual", "shiny",
)  # fmt: skip
_THINGS = (
    "apple pie", "boat", "map of the moon", "piece of furniture", "bowl of soup", "microphone",
    "pair of boots", "photograph", "pumpkin", "velvet sofa", "weather vane", "pile of books",
    "mushroom", "bathroom mirror", "box of feathers", "television", "garden shed", "violin",
    "birthday cake", "bicycle", "umbrella", "clock", "woollen jumper", "watch", "teapot",
)  # fmt: skip
_PLACES = (
    "by the river", "in the middle of the room", "above the pub", "before breakfast",
    "at the farmers' market", "behind the old barn", "over by the window", "near the football pitch",
    "on the way home", "for a month or more", "from top to bottom", "with both hands",
    "in front of the camera", "every other morning", "without a map", "just outside Bath",
    "after the programme", "this afternoon", "on Wednesday", "for five pounds",
)  # fmt: skip
_OPENERS = (
    "to be fair", "of course", "as you can see", "in my view", "from now on", "a month ago",
    "believe it or not", "back at home", "from what I've heard", "by the way", "you know",
    "what's more", "more than ever", "for the moment", "before we move on", "as a matter of fact",
)  # fmt: skip
_REMARKS = (
    "it might be worth a fortune", "we have to move quickly", "that's the problem with bad weather",
    "nobody bothered to ask why", "you'd better wrap up warm", "I've never been more proud",
    "there was no room for both of them", "you should always try before you buy",
    "people have lived here for a thousand years", "they may be over the moon about it",
    "we've got a few more to go", "it's a very popular place for a picnic",
    "both of them turned out beautifully", "what a fabulous way to start the day",
    "I would have paid twice as much", "somebody must know where it came from",
)  # fmt: skip
_JOINS = ("and", "but", "so", "because", "although")


def compose(rng: np.random.Generator, num_clauses: int) -> str:
    """A sentence of ``num_clauses`` clauses, about two seconds of speech each, without a full stop."""
    words = [_first(rng)]
    for _ in range(num_clauses - 1):
        words += [_pick(rng, _JOINS), _pick(rng, _REMARKS) if rng.random() < 0.4 else _statement(rng)]
    return " ".join(words)


def compose_short(rng: np.random.Generator) -> str:
    """A sentence of about one second of speech."""
    return f"{_pick(rng, _PEOPLE)} {_pick(rng, _VERBS)} {_article(_pick(rng, _THINGS))}"


def _first(rng: np.random.Generator) -> str:
    if rng.random() < 0.25:
        return _pick(rng, _REMARKS)
    statement = _statement(rng)
    return f"{_pick(rng, _OPENERS)} {statement}" if rng.random() < 0.4 else statement


def _statement(rng: np.random.Generator) -> str:
    thing = _pick(rng, _THINGS)
    if rng.random() < 0.6:
        thing = f"{_pick(rng, _ADJECTIVES)} {thing}"
    statement = f"{_pick(rng, _PEOPLE)} {_pick(rng, _VERBS)} {_article(thing)}"
    return statement if rng.random() < 0.25 else f"{statement} {_pick(rng, _PLACES)}"


def _article(thing: str) -> str:
    if len(thing) % 3 == 0:
        return f"the {thing}"
    starts_with_vowel = thing[0] in "aeio" or thing.startswith("umbrella")
    return f"{'an' if starts_with_vowel else 'a'} {thing}"


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
