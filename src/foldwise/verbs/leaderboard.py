"""`leaderboard`: our submissions, and our place."""

from foldwise.kaggle.leaderboard import place_of, table
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import flag


def run(words: list[str]) -> int:
    given = own_keys("leaderboard", words)
    slug = given.get("competition", "digits")
    place = "" if flag(given, "offline") else place_of(slug)
    print("\n".join(filter(None, [table(slug), place])))
    return 0
