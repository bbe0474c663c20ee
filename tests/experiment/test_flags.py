"""What other commands write with dashes or quotes: the line says what to type here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.experiment.config import flags, hydra_private, quotes, words
from gradcheck.experiment.config.written import Files
from gradcheck.run import main

TYPED = {
    ("--eps=1e-4",): "type eps=1e-4",
    ("--eps", "1e-4"): "type eps=1e-4",
    ("-eps=1e-4",): "type eps=1e-4",
    ("--model", "mlp", "-m"): "type model=mlp",
    ("--n=5",): "type data.n=5",
    ("--seed=3",): "type data.seed=3 or init.seed=3 or bug.seed=3",
    ("--dry-run",): "type dry_run=true",
    ("--hydra.run.dir=x",): "type hydra.run.dir=x",
    ("--verbose",): "type hydra.verbose=true",
    ("--multi-run",): "did you mean --multirun?",
    ("--config_dir=x",): "did you mean --config-dir?",
    ("--multirun=true",): "--multirun=true: takes no value; type --multirun",
    ("--frobnicate",): "a key of the config takes no dashes, as eps=1e-4; see --help",
    ("--experimental-rerun=runs/x",): "type python -m gradcheck.reproduce RUN_DIR",
    ("--config-path=mine",): "type --config-dir=mine",
    ("-cn", "mine"): "type +experiment=mine",
    ("--experimental-rerun",): "type python -m gradcheck.reproduce RUN_DIR",
    ("--config-path",): "type --config-dir=NAME",
    ("--config-n=mine",): "type +experiment=mine",
    ("--experiment=eps_sweep",): "--experiment=eps_sweep: there is no such option; a ready grid is chosen with a plus",
    ("--experiment", "eps_sweep"): "type +experiment=eps_sweep",
    ("--+experiment=eps_sweep",): "type +experiment=eps_sweep",
    ("-model=mlp",): "-model=mlp: there is no such option; a key of the config takes no dashes; type model=mlp",
    ("-m=true",): "--multirun=true: takes no value; type --multirun",
    ("=5",): "=5: has no key before the sign; must be key=value",
    ("~=5",): "~=5: has no key before the sign; must be key=value",
    ("'-m'",): "'-m': is text because of its quotes: leave them out, as -m",
    ('"--config-dir=x"',): "leave them out, as --config-dir=x",
    ("'data.n'=5",): "'data.n'=5: a key takes no quotes; write data.n=5",
    ("eps=\u201c1e-4\u201d",): "typographic quotes, which no shell takes away; write eps=1e-4",
    ("'eps=1e-4'",): "'eps=1e-4': is text because of its quotes: leave them out, as eps=1e-4",
    ("'eps=1e-4,1e-6'", "-m"): "leave them out, as eps=1e-4,1e-6",
    ("eps='1e-4,1e-6'", "-m"): "eps='1e-4,1e-6': is text because of its quotes: leave them out, as eps=1e-4,1e-6",
    ('eps="[1e-4,1e-6]"',): "leave them out, as eps=[1e-4,1e-6]",
    ("bug='scale,none'", "-m"): "leave them out, as bug=scale,none",
    ("init.seed='range(3)'", "-m"): "leave them out, as init.seed=range(3)",
    ("model=mlp", "model.layers='[3]'"): "leave them out, as model.layers=[3]",
    ("'eps=[1e-4,", "1e-6]'"): "'eps=[1e-4,: the shell left a quote and split the text at its blanks",
}


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_the_line_says_what_to_type(typed: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert TYPED[typed] in err


@given(st.sampled_from(sorted(flags._keys())), st.sampled_from(["-", "--"]), st.booleans())
def test_every_key_with_dashes_is_proposed_without(key: str, dashes: str, blank: bool) -> None:
    known = hydra_private.options_of(hydra_private.arguments_parser())
    name = f"{dashes}{key.replace('_', '-')}"
    if name not in known and not any(option.startswith(name) for option in known):
        proposed = flags.instead([name, "3"] if blank else [f"{name}=3"], known)
        assert proposed is not None
        assert f"type {key}=3" in proposed


@pytest.mark.parametrize(
    "typed", ["model='mlp'", "data.path='a b.csv'", "eps='auto'", "bug.param='W'", "hydra.job.name='a,b'"]
)
def test_quotes_that_change_nothing_or_belong_to_a_text_are_not_blamed(typed: str) -> None:
    message = f"{typed.replace(chr(39), '')}: must be another"
    assert words.explained(message, [typed], Files()) == message


def test_quotes_that_are_needed_are_not_blamed() -> None:
    assert quotes.because_of_quotes("data.path='a b.csv'") is None
    assert quotes.because_of_quotes("data.path='a") is not None  # a quote alone: something was split
