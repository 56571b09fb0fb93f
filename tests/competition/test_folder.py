"""Where a competition's folder is."""

from foldwise.competition.folder import folder_of, slug_of


def test_folder_of(home):
    assert folder_of("cifar10") == home / "input" / "cifar10"
    assert folder_of("data/../cifar10/") == home / "cifar10"
    assert folder_of(".") == home
    assert slug_of("cifar10") == slug_of("../data/cifar10/") == "cifar10"
    assert slug_of(".") == home.name
