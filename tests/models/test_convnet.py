import timm
import torch

import foldwise.models  # noqa: F401  (registers the model)


def test_shapes_from_4_pixels_up() -> None:
    network = timm.create_model("convnet2", num_classes=5, in_chans=1).eval()
    for side in (4, 7, 8, 28, 33):
        images = torch.rand(2, 1, side, side)
        features = network.forward_features(images)
        assert features.shape == (2, 128, -(-side // 2), -(-side // 2))
        assert network.forward_head(features, pre_logits=True).shape == (2, 128)
        assert network(images).shape == (2, 5)


def test_the_head_can_be_replaced_and_removed() -> None:
    network = timm.create_model("convnet2", num_classes=5)
    network.reset_classifier(3)
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 3)
    assert network.get_classifier().out_features == 3
    network.reset_classifier(0)
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 128)


def test_every_parameter_learns_and_weights_reload() -> None:
    torch.manual_seed(0)
    network = timm.create_model("convnet2", num_classes=4)
    network(torch.rand(6, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    again = timm.create_model("convnet2", num_classes=4)
    again.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(network.eval()(images), again.eval()(images))


def test_parameters_group_by_depth() -> None:
    from timm.models import group_parameters

    network = timm.create_model("convnet2")
    groups = group_parameters(network, network.group_matcher(), reverse=True)
    assert groups["blocks.0.0.weight"] == 0
    assert groups["head.fc.weight"] == max(groups.values())
