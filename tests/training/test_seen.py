"""What can be looked at is what is trained on."""

import numpy as np
import pytest
import torch

from foldwise.compose import compose
from foldwise.images.load import ResidentImages
from foldwise.images.pipeline import pipeline_of
from foldwise.training.fold import beginning
from foldwise.training.loop import fit, seen
from foldwise.training.material import Material

WORDS = [
    *("images.size=16", "model.name=convnet2", "model.in_chans=3", "train.precision=fp32"),
    *("model.args={widths: [4, 4]}", "train.batch_size=8", "train.epochs=2", "loss.name=bce"),
    *("competition.classes=[a, b, c]", "competition.task=multiclass", "augment.preset=heavy"),
    *("augment.mixup=0.4", "augment.cutmix=1", "augment.mix_both=alternate"),
    "augment.pipeline=[{GaussNoise: {p: 1}}]",
]


class Silent:
    def advance(self, images: int) -> None: ...
    def line(self, text: str) -> None: ...
    def due(self) -> bool:
        return False


def test_the_batches_that_are_shown_are_those_of_the_training() -> None:
    config, device = compose(WORDS), torch.device("cpu")
    images = torch.randint(0, 256, (24, 16, 16, 3), dtype=torch.uint8)
    state, normalize = beginning(config, 1, 3, device)
    material = Material(
        1, np.arange(24), ResidentImages(images), torch.arange(24) % 3, normalize, device,
        pipeline_of(config.augment, config.images, 3, 2),
    )  # fmt: skip
    trained: list[torch.Tensor] = []
    said: list[torch.Tensor] = []
    network = state.network
    network.register_forward_pre_hook(lambda module, inputs: trained.append(inputs[0].clone()))
    network.register_forward_hook(lambda module, inputs, logits: said.append(logits.argmax(1)))
    fit(config, material, state, Silent(), lambda state, last: {}, lambda state: None)  # type: ignore
    shown = [part for epoch in range(2) for part in seen(config, material, epoch, 3)]
    assert len(shown) == len(trained) == 6
    for (rows, pixels, targets), one in zip(shown, trained, strict=True):
        assert torch.equal(pixels, one)
        assert targets.shape == (len(rows), 3)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
    assert not torch.equal(trained[0], trained[3])
    right = torch.cat([one == batch[2].argmax(1) for one, batch in zip(said, shown, strict=True)])
    told = [row["train_accuracy"] for row in state.history]
    wanted = right.view(2, 24).double().mean(1).tolist()  # by the heavier label of each
    assert told == pytest.approx(wanted, abs=1e-12)
    assert normalize.undone(shown[0][1]).shape == (8, 16, 16, 3)
