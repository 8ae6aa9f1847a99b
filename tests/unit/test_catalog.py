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
def test_turn_then_conversation_then_deployment_decide(
    turn: Sampling, conversation: Sampling, expected: tuple[str, str]
) -> None:
    """The nearest level that names a provider or model decides; a model stays with the provider it was named for."""
    settled = CATALOG.resolve(turn, conversation)
    assert (settled.provider, settled.model) == expected


def test_a_turn_s_sampling_goes_before_its_conversation_s() -> None:
    """Temperature 0 and a bound of the reply are the turn's own, where it has them."""
    settled = CATALOG.resolve(Sampling(temperature=0.0), Sampling(temperature=1.0, max_tokens=5))
    assert (settled.temperature, settled.max_tokens) == (0.0, 5)


@pytest.mark.parametrize("turn", [Sampling(provider="nobody"), Sampling(provider="scripted", model="unheard-of")])
def test_an_unknown_choice_is_refused_with_the_choices(turn: Sampling) -> None:
    """Who names what is not there is told what is."""
    with pytest.raises(UnknownModel, match="choose one of"):
        CATALOG.resolve(turn, Sampling())
