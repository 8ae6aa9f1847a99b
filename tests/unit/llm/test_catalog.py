from __future__ import annotations

import pytest

from app.domain.messages import Sampling
from app.errors import UnknownModel
from app.llm.catalog import Catalog
from app.llm.providers.groq import GroqModel
from app.llm.providers.openai import OpenAIModel
from app.llm.providers.scripted import ScriptedModel

CATALOG = Catalog([OpenAIModel("k", None, "gpt"), GroqModel("k", None, "oss"), ScriptedModel()], "openai")


@pytest.mark.parametrize(
    ("turn", "conversation", "expected"),
    [
        (Sampling(), Sampling(), ("openai", "gpt")),
        (Sampling(), Sampling(provider="groq"), ("groq", "oss")),
        (Sampling(), Sampling(model="gpt-x"), ("openai", "gpt-x")),
        (Sampling(provider="groq"), Sampling(model="gpt-x"), ("groq", "oss")),
        (Sampling(provider="openai"), Sampling(model="gpt-x"), ("openai", "gpt-x")),
        (Sampling(model="big"), Sampling(provider="groq", model="small"), ("groq", "big")),
        (Sampling(provider="scripted", model="slow"), Sampling(provider="groq", model="x"), ("scripted", "slow")),
    ],
)
def test_nearest_level_chooses_the_model(turn: Sampling, conversation: Sampling, expected: tuple[str, str]) -> None:
    """The turn's choice comes before the conversation's and the deployment's; a model stays with its provider."""
    settled = CATALOG.resolve(turn, conversation)
    assert (settled.provider, settled.model) == expected


def test_turn_sampling_overrides() -> None:
    """A turn's temperature, 0 included, overrides the conversation's; what the turn leaves open is inherited."""
    settled = CATALOG.resolve(Sampling(temperature=0.0), Sampling(temperature=1.0, max_tokens=5))
    assert (settled.temperature, settled.max_tokens) == (0.0, 5)


@pytest.mark.parametrize("turn", [Sampling(provider="nobody"), Sampling(provider="scripted", model="unheard-of")])
def test_unknown_model_lists_the_choices(turn: Sampling) -> None:
    """An unknown provider or model is refused with a list of those that exist."""
    with pytest.raises(UnknownModel, match="choose one of"):
        CATALOG.resolve(turn, Sampling())
