"""`images`: sheets of what the model sees, and the packs of decoded images."""

from foldwise import compose
from foldwise.competition import layout
from foldwise.competition.folder import existing_folder, packs_of
from foldwise.errors import UsageError, nearest
from foldwise.files import shown
from foldwise.verbs.words import laid_out


def run(words: list[str]) -> int:
    action = words[0] if words and "=" not in words[0] else ""
    if action not in ("", "pack", "clean"):
        hint = nearest(action, ("pack", "clean"))
        raise UsageError(f"images {action}: say images, images pack or images clean{hint}")
    config = compose.compose(laid_out(words[1:] if action else words))
    if not action:
        from foldwise.training.sheets import write_sheets

        for path in write_sheets(config):
            print(shown(path))
        return 0
    if action == "clean":
        from foldwise.images.pack import clean

        folder = packs_of(existing_folder(config.competition.slug))
        print(f"{clean(folder) / 2**20:,.0f} MB freed in {shown(folder)}")
        return 0
    from foldwise.prediction.sources import make_packs

    for part, pack, folder in make_packs(config, layout.load(config)):
        size, shape = pack.pixels.nbytes / 2**20, " x ".join(map(str, pack.pixels.shape))
        print(f"{part}: {shape}, {size:,.0f} MB in {shown(folder)}")
    return 0
