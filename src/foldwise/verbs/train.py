"""`train`: folds of a run, and its submission."""

from foldwise import compose
from foldwise.verbs.words import laid_out


def run(words: list[str]) -> int:
    words = laid_out(words)
    config = compose.compose(words)
    if config.pseudo.run:
        from foldwise.labelling import train_round

        train_round(config, words)
        return 0
    if config.gpus > 1 and not config.debug:
        from foldwise.training.gpus import train_on_gpus

        train_on_gpus(config, words)
        return 0
    from foldwise.training.train import train

    train(config)
    return 0
