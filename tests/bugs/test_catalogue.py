"""What a bug's config file, the page of all bugs and ``--help bug=NAME`` say: what the classes say, and that is true."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import catalogue
import pytest
from additions import HalvedBias, Poisson
from commands import command
from instances import INSTANCES
from omegaconf import OmegaConf
from test_bugs import meaningful

from gradcheck.bugs import BUGS
from gradcheck.bugs.base import BackwardBug, Bug
from gradcheck.bugs.page import formula, in_model, page, words
from gradcheck.experiment.config.bug_help import bug_help, models
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import STEPS

YAMLS = sorted(catalogue.FOLDER.glob("*.yaml"))


def test_config_files_and_catalogue_agree() -> None:
    assert {path.stem for path in YAMLS} == set(BUGS)
    assert all(cls.name == name for name, cls in BUGS.items())


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_config_file_states_all_settings_with_the_defaults_of_the_bug(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(config, dict)
    config.pop("defaults")
    assert list(config) == [field.name for field in dataclasses.fields(Bug)]
    bug = BUGS[path.stem](**config)
    bug.validate()
    assert bug == BUGS[path.stem]()


def test_no_file_and_no_page_says_anything_else_than_the_classes() -> None:
    """``python tests/bugs/catalogue.py`` writes them anew."""
    assert catalogue.PAGE.read_text(encoding="utf-8") == catalogue.page()
    for path in YAMLS:
        assert catalogue.parts(path)[0] == catalogue.head(path.stem)
        assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 120


@pytest.mark.parametrize("name", BUGS)
def test_a_config_file_has_the_words_and_one_formula_and_no_model(name: str) -> None:
    comment = " ".join(line.removeprefix("#") for line in catalogue.head(name).splitlines())
    said = " ".join(comment.split())
    title, how = words(BUGS[name])
    assert said.startswith(f"{title} {how}")
    assert said.count(" ".join(formula(BUGS[name](), models()).split())) == 1
    assert all(key in BUGS[name].uses for key in re.findall(r"\b(param|index|magnitude|fraction): ", comment))


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_has_meaning_on_the_page_where_it_has(name: str) -> None:
    for model, cls in models().items():
        here = [instance for instance in INSTANCES if type(instance.model) is cls]
        lines = in_model(BUGS[name](), cls)
        refused = [line for line in lines if "no meaning" in line]
        if here:
            assert lines[0].startswith("no meaning") == (not any(meaningful(BUGS[name](), i) for i in here)), model
            assert bool(refused) >= any(not meaningful(BUGS[name](), i) for i in here), model
        # what is refused for some settings alone says for which
        assert len(refused) == len(lines) == 1 or all(line.startswith("model.") for line in refused), model


@pytest.mark.parametrize("name", BUGS)
def test_each_mistake_is_said_of_the_step_in_which_it_is_made(name: str) -> None:
    cls = BUGS[name]
    assert {re.sub(r"_\d+$", "", step) for step in cls.formula} <= {*STEPS, "gradient", "entry"}
    if not issubclass(cls, BackwardBug) or "steps" in vars(cls):
        return
    own = cls.__mro__[: cls.__mro__.index(BackwardBug)]
    overridden = {step for step in dir(Parts) if not step.startswith("_") and any(step in vars(one) for one in own)}
    said = {re.sub(r"_(\d+|of_bias)$", "", step) for step in cls.formula}
    assert said == overridden


def test_help_prints_the_page_of_a_bug() -> None:
    status, out, err = command("gradcheck.run", "--help", "bug=stale_batch")
    assert (status, err) == (0, "")
    assert out == page(BUGS["stale_batch"], models())
    for name in models():
        assert re.search(rf"(?m)^  {name} ", out)


def test_the_page_is_no_choice_of_the_group() -> None:
    status, out, _ = command("gradcheck.run", "--help")
    assert status == 0
    listed = re.search(r" bug=none a planted mistake, or none; one of ((?:\w+, )*\w+) ", " ".join(out.split()))
    assert listed is not None
    assert listed[1].split(", ") == sorted(BUGS)
    assert command("gradcheck.run", "bug=README")[0] == 2


@pytest.mark.parametrize(
    "typed", [[], ["eps=1"], ["bug=nonsense"], ["bug="], ["model=mlp"], ["bug=scale", "model.l2=1"], ["bug=scale,x"]]
)
def test_other_help_is_that_of_the_application(typed: list[str]) -> None:
    assert bug_help(typed) is None


def test_help_of_a_model_leaves_the_others_out() -> None:
    said = bug_help(["model=mlp", "bug=scale,clipped"])
    assert said is not None
    assert said.count("\n  mlp ") == 2
    assert "one_d" not in said


def test_settings_that_must_be_given_are_not_asked_for() -> None:
    @dataclasses.dataclass
    class Needy(Poisson):
        rate: float = dataclasses.field(kw_only=True)

    @dataclasses.dataclass
    class Greedy(HalvedBias):
        """Half of it."""

        share: float = dataclasses.field(kw_only=True)

    said = page(Greedy, {"needy": Needy})
    assert "\n  needy  db = sum_i delta_i / n / 2\n" in said
    assert "model.bias=false: not known" not in said
    assert in_model(BUGS["dropped_bias"](), Needy)[1:] == ["model.bias=false: no meaning"]


def test_a_bug_without_a_formula_is_said_in_words() -> None:
    class Odd(BackwardBug):
        """Odd layers are wrong."""

        name = "odd"

    @dataclasses.dataclass
    class Silent(Odd):
        name = "silent"

    assert words(Odd) == ("Odd layers are wrong.", "")
    assert words(Silent) == ("silent", "")
    assert formula(Odd(), models()) == "not known in symbols"
    assert in_model(Odd(), models()["mlp"]) == ["not known in symbols"]
    assert in_model(Odd(), models()["function"])[0].startswith("no meaning: gives its gradient whole")
