from __future__ import annotations

import numpy as np
import pytest
import torch

from orrery.errors import SettingsError
from orrery.features.target import Target
from orrery.networks.decoders.decoder import decoder_for
from orrery.schema import Kind


def target(kind: Kind, width: int) -> Target:
    return Target(name="y", kind=kind, type="x", labels=tuple(range(width)), width=width)


def test_categories_lose_the_log_of_the_true_probability() -> None:
    decoder = decoder_for(target(Kind.CATEGORY, 3), np.array([0, 2]))
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    truth = decoder.truth(np.array([0, 2]))
    expected = -decoder.predict(scores).log()[[0, 1], [0, 2]]
    torch.testing.assert_close(decoder.losses(scores, truth), expected)
    assert decoder.metrics(scores, truth)["accuracy"].tolist() == [0.0, 0.0]


def test_labels_lose_each_for_itself() -> None:
    decoder = decoder_for(target(Kind.LABELS, 2), np.zeros((1, 2)))
    truth = decoder.truth(np.array([[1.0, 0.0]]))
    scores = torch.tensor([[2.0, -1.0]])
    shares = decoder.predict(scores)[0]
    expected = -(shares[0].log() + (1 - shares[1]).log()) / 2
    torch.testing.assert_close(decoder.losses(scores, truth)[0], expected)
    assert decoder.metrics(scores, truth)["label_accuracy"].tolist() == [1.0]


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.VECTOR])
def test_numbers_come_back_in_their_own_unit(kind: Kind) -> None:
    values = np.array([1e6, 3e6]) if kind is Kind.NUMBER else np.array([[1e6, 5.0], [3e6, 5.0]])
    decoder = decoder_for(target(kind, values[0].size), values)
    truth = decoder.truth(values)
    assert truth.abs().max() == 1.0  # a column that never changes has no spread
    torch.testing.assert_close(decoder.predict(truth), torch.tensor(values).reshape(2, -1).float())
    assert decoder.losses(truth + 2, truth).tolist() == [4.0, 4.0]


def test_a_text_cannot_be_predicted() -> None:
    with pytest.raises(SettingsError, match="text"):
        decoder_for(target(Kind.TEXT, 1), np.zeros(1))
