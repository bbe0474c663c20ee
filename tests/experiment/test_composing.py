"""What tests compose with a memory is what Hydra composes without one: else they would ask for something else."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict
from trials import composing, interpolations
from trials.composing import plainly, remembering, without_a_folder_of_a_user

from gradcheck.errors import BadInput
from gradcheck.experiment.config import compose, registration

pytestmark = pytest.mark.skipif(not registration.ASKS_FOR_A_BASE, reason="nothing is remembered with later Hydras")


def said(cfg: DictConfig) -> Any:
    """All that a config holds and knows of itself: values as they are written, types, flags."""

    def walk(node: Any) -> Any:
        own = (type(node), node._metadata.flags, node._metadata.object_type, node._metadata.ref_type, node._key())
        content = node.__dict__.get("_content")
        if isinstance(content, dict):
            return *own, [(key, walk(value)) for key, value in content.items()]
        if isinstance(content, list):
            return *own, [walk(value) for value in content]
        return *own, content if OmegaConf.is_config(node) else node._value()

    return walk(cfg)


def composed(overrides: Sequence[str], *, multirun: bool, points: Sequence[str] = ()) -> Any:
    """A config, or what is said of it, and the one of a point of a sweep."""
    with compose.opened() as hydra:
        try:
            master = compose.compose(hydra, [*overrides, interpolations.OUTPUT], multirun=multirun)
            return said(master), said(compose.compose_point(hydra, master, points, []))
        except BadInput as error:
            return str(error)


CHOICES = [
    *("model=mlp", "model=one_d", "model=nothing", "model=linear,mlp", "data=none", "data=values", "data=gaussian"),
    *("bug=scale", "bug=none,scale", "~bug", "~bug=none", "init=values", "init=normal", "+experiment=textbook_1d"),
    *(
        "+experiment=course_net",
        "+experiment=eps_sweep",
        "hydra/job_logging=disabled",
        "hydra/launcher=basic",
        "+data=none",
    ),
    *(
        "model={l2:1}",
        "model.l2=2",
        "eps=1e-4,1e-5",
        "eps=x",
        "data.n=7",
        "++model.extra=1",
        "~eps",
        "hydra.job.name=a",
    ),
    *(
        "match_at=0.5",
        "eps=${match_at}",
        "data.seed=${init.seed}",
        "nothing=1",
        "bug=${data}",
        "+hydra.job.env_set.A=7",
    ),
]


@settings(max_examples=15)
@given(
    overrides=st.lists(st.sampled_from(CHOICES), max_size=4, unique=True),
    points=st.lists(
        st.sampled_from([one for one in CHOICES if "," not in one and "/" not in one]), max_size=2, unique=True
    ),
    multirun=st.booleans(),
)
def test_a_config_is_the_same_with_and_without_a_memory(
    overrides: list[str], points: list[str], multirun: bool
) -> None:
    found = composed(overrides, multirun=multirun, points=points)
    with plainly():
        assert composed(overrides, multirun=multirun, points=points) == found


def test_what_is_done_to_a_config_is_not_remembered() -> None:
    with compose.opened() as hydra:
        first = compose.compose(hydra, ["bug=scale"])
        before = copy.deepcopy(said(first))
        first.bug.magnitude, first.hydra.job.name = 7.0, "another"
        with open_dict(first):
            del first["model"]
        assert said(first) != before
        assert said(compose.compose(hydra, ["bug=scale"])) == before


def test_a_memory_that_mixes_two_things_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with plainly():
        expected = composed(["bug=scale"], multirun=False)
    for fault in ("copies nothing", "forgets a choice"):
        made: dict[Any, Any] = {}
        with plainly(), monkeypatch.context() as patch:
            if fault == "copies nothing":
                patch.setattr(composing, "kept", lambda config: lambda: config)
            else:
                patch.setattr(composing, "repr", lambda defaults: "", raising=False)
            with remembering(made, without_a_folder_of_a_user):
                composed(["model=mlp"], multirun=False)
                composed(["bug=scale", "hydra.job.name=b"], multirun=False)
                assert composed(["bug=scale"], multirun=False) != expected


def test_the_folder_of_a_user_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for l2 in (1.0, 2.0):
        (tmp_path / "model/mine.yaml").write_text(f"defaults:\n  - /schema/model/linear@_here_\n  - _self_\nl2: {l2}\n")
        with compose.opened(str(tmp_path)) as hydra:
            assert compose.compose(hydra, ["model=mine"]).model.l2 == l2
        with compose.opened() as hydra:
            assert compose.compose(hydra, [f"hydra.searchpath=[file://{tmp_path}]", "model=mine"]).model.l2 == l2
            with pytest.raises(BadInput, match="model=mine"):
                compose.compose(hydra, ["model=mine"])
