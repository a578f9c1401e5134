from __future__ import annotations

import pytest
import torch

from orrery.errors import SettingsError
from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.networks.encoders.image import SmallConvolution
from orrery.networks.encoders.resnet import ResNet18
from orrery.networks.export import made_up
from orrery.networks.network import build, find_factory, image_encoder
from orrery.schema import Kind

TARGET = Target(name="y", kind=Kind.CATEGORY, type="string", labels=("a", "b", "c"), width=3)


def tensors(outputs: tuple[Output, ...], rows: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in made_up(outputs, rows).items()}


@pytest.mark.parametrize("rows", [1, 4])
def test_every_role_is_read_and_learnt_from(outputs: tuple[Output, ...], rows: int) -> None:
    module = build(outputs, TARGET, width=16, depth=1)
    scores = module(tensors(outputs, rows))
    assert scores.shape == (rows, 3)
    scores.square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_a_bag_gives_the_same_in_training_and_in_use(outputs: tuple[Output, ...]) -> None:
    bag = outputs[2:3]
    module = build(bag, TARGET, dropout=0.0)
    given = tensors(bag, 5)
    torch.testing.assert_close(module.train()(given), module.eval()(given), rtol=1e-5, atol=1e-5)


def test_an_empty_bag_is_an_answer(outputs: tuple[Output, ...]) -> None:
    module = build(outputs[2:3], TARGET)
    name = outputs[2].name
    none = torch.zeros(0, dtype=torch.int64)
    given = {
        f"{name}.ids": none,
        f"{name}.weights": torch.zeros(0),
        f"{name}.rows": none,
        f"{name}.sizes": torch.zeros(2, dtype=torch.int64),
    }
    assert torch.equal(module.train()(given), module.eval()(given))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (3, 8, 8), (1, 28, 28), (3, 64, 40)])
@pytest.mark.parametrize("rows", [1, 2])
def test_pictures_of_any_size_are_read(shape: tuple[int, int, int], rows: int) -> None:
    outputs = (Output(name="p", role=Role.TENSOR, shape=shape, dtype="uint8"),)
    assert build(outputs, TARGET).train()(tensors(outputs, rows)).shape == (rows, 3)


def test_the_image_network_follows_from_the_size() -> None:
    small = Output(name="p", role=Role.TENSOR, shape=(3, 64, 200), dtype="uint8")
    large = Output(name="p", role=Role.TENSOR, shape=(3, 96, 96), dtype="uint8")
    assert isinstance(image_encoder(small, "auto", 0.1), SmallConvolution)
    assert isinstance(image_encoder(large, "auto", 0.1), ResNet18)
    assert isinstance(image_encoder(small, "resnet18", 0.1), ResNet18)


def test_resnet_has_the_weights_of_the_paper() -> None:
    encoder = image_encoder(
        Output(name="p", role=Role.TENSOR, shape=(3, 224, 224), dtype="uint8"), "auto", 0.0
    )
    assert sum(p.numel() for p in encoder.parameters()) == 11_176_512  # 11,689,512 less the 1,000-way head
    given = {"p": torch.zeros(1, 3, 224, 224, dtype=torch.uint8)}
    assert encoder.eval()(given).shape == (1, 512)


def test_no_features_are_an_error() -> None:
    with pytest.raises(SettingsError, match="at least one feature"):
        build((), TARGET)


@pytest.mark.parametrize("name", ["no.such.module:build", "orrery.networks.network:nothing", "bare", ":x"])
def test_a_factory_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match="no network factory"):
        find_factory(name)


def test_a_factory_must_be_callable() -> None:
    with pytest.raises(SettingsError, match="not a function"):
        find_factory("orrery.networks.export:TOLERANCE")
