"""What `import gradcheck` offers: pages of help whose examples run, and types that are exact."""

from __future__ import annotations

import doctest
import inspect
import pydoc
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradcheck
from gradcheck import textbook
from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.names import Verdict, WeightVerdict
from gradcheck.numerics.schemes import SCHEMES, SchemeName
from gradcheck.numerics.verdict import OF_MANY, VERDICTS

ROOT = Path(__file__).resolve().parent.parent
NAMES = [name for name in gradcheck.__all__ if name != "__version__"]
PUBLIC: dict[str, Any] = {"gradcheck": gradcheck} | {n: getattr(gradcheck, n) for n in NAMES}
FUNCTIONS: list[Callable[..., Any]] = [
    gradcheck.check_gradient,
    gradcheck.assert_gradient,
    gradcheck.check_hessian,
    gradcheck.check_adjoint,
    gradcheck.check_layer,
    gradcheck.check_layers,
    gradcheck.check_intermediates,
    gradcheck.load,
    gradcheck.run_experiment,
    textbook.logistic_gradient_check,
    textbook.linear_gradient_check,
    textbook.forward_propagation_n,
]

OUTCOMES: list[type] = [
    gradcheck.Outcome,
    gradcheck.DirectionalOutcome,
    gradcheck.HessianOutcome,
    gradcheck.AdjointOutcome,
]

# --- pages of help ---------------------------------------------------------------------------------------------------


def sections(doc: str) -> dict[str, list[str]]:
    """The sections of a docstring in NumPy's format, each as its lines; the summary under ''."""
    lines = inspect.cleandoc(doc).splitlines()
    found: dict[str, list[str]] = {"": []}
    title = ""
    for i, line in enumerate(lines):
        under = lines[i + 1] if i + 1 < len(lines) else ""
        if line and under and set(under) == {"-"} and len(under) == len(line):
            title = line
            found[title] = []
        elif not (line and set(line) == {"-"}):
            found[title].append(line)
    return found


def named(lines: list[str]) -> list[str]:
    """The names that a section describes: those of the lines that are not indented."""
    heads = [line.partition(" : ")[0].lstrip("*") for line in lines if line and not line.startswith(" ")]
    return [name for head in heads for name in re.split(r", *", head)]


def lacking(function: Callable[..., Any], doc: str) -> list[str]:
    """What a docstring must tell of a function and does not."""
    found = sections(doc)
    parameters = list(inspect.signature(function).parameters)
    wrong = []
    if sorted(named(found.get("Parameters", []))) != sorted(parameters):
        wrong.append("Parameters")
    if inspect.signature(function).return_annotation != "None" and "Returns" not in found:
        wrong.append("Returns")
    return wrong + [title for title in ("Raises", "Examples") if title not in found]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_page_tells_every_parameter_and_what_comes_back(function: Callable[..., Any]) -> None:
    assert lacking(function, function.__doc__ or "") == []


def test_a_page_that_lacks_something_is_seen() -> None:
    doc = inspect.cleandoc(gradcheck.load.__doc__ or "")
    assert lacking(gradcheck.load, doc.replace("run : str", "runs : str")) == ["Parameters"]
    assert lacking(gradcheck.load, re.sub(r"Returns\n-+\n(.+\n)+", "", doc)) == ["Returns"]
    assert lacking(gradcheck.load, doc.split("Raises")[0]) == ["Raises", "Examples"]


@pytest.mark.parametrize("kind", [*OUTCOMES, gradcheck.ChainOutcome, gradcheck.Runs])
def test_a_page_of_a_class_tells_what_it_holds(kind: type) -> None:
    told = set(named(sections(kind.__doc__ or "")["Attributes"]))
    held = {name for name, value in vars(kind).items() if isinstance(value, property) and not name.startswith("_")}
    fields = {name for name in vars(kind).get("__annotations__", {}) if not name.startswith("_")}
    inherited = {name for base in kind.__mro__[1:] for name in vars(base)}
    assert told == (held | fields) - (inherited if kind is gradcheck.DirectionalOutcome else set())


def examples(name: str, thing: Any) -> Iterator[doctest.DocTest]:
    """The examples of a public name and of its members."""
    found = doctest.DocTestFinder().find(thing, name, module=thing if isinstance(thing, ModuleType) else False)
    yield from (test for test in found if test.examples)


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_of_the_pages_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tests = list(examples(name, PUBLIC[name]))
    assert tests
    told: list[str] = []
    for test in tests:
        assert doctest.DocTestRunner().run(test, out=told.append).failed == 0, "".join(told)


def test_an_example_that_says_something_else_is_seen() -> None:
    def wrong() -> None:
        """>>> 1 + 1
        3
        """

    (test,) = examples("wrong", wrong)
    assert doctest.DocTestRunner().run(test, out=lambda _: None).failed == 1


def test_the_page_of_the_package_names_all_that_it_offers() -> None:
    page = pydoc.plain(pydoc.render_doc(gradcheck))
    front = inspect.cleandoc(gradcheck.__doc__ or "")
    for name in NAMES:
        assert re.search(rf"(?m)^(\w+, )*{name}(, \w+)*$", front), name
        assert name in page
    assert "Compare the gradient ``jac`` of ``fun`` with finite differences" in page


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "table"), [(SchemeName, tuple(SCHEMES)), (Verdict, OF_MANY), (WeightVerdict, VERDICTS)]
)
def test_the_type_of_a_name_has_the_names_of_the_table(names: Any, table: tuple[str, ...]) -> None:
    assert set(typing.get_args(names)) == set(table)
    assert len(typing.get_args(names)) == len(table)


def test_the_assertion_takes_what_the_check_takes_and_strict() -> None:
    check, assertion = inspect.signature(gradcheck.check_gradient), inspect.signature(gradcheck.assert_gradient)
    own = dict(assertion.parameters)
    assert own.pop("strict") == inspect.Parameter(
        "strict", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool"
    )
    assert list(own.values()) == list(check.parameters.values())


def test_the_assertion_hands_on_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keyword arrives under its own name: none is forgotten, and no two are exchanged."""
    import gradcheck.functions.gradient as module

    seen: dict[str, Any] = {}

    class Fine:
        ok, verdict = True, "match"

    def check(*given: Any, **settings: Any) -> Fine:
        seen.update(dict(zip(("fun", "jac", "x0", "args"), given, strict=True)) | settings)
        return Fine()

    monkeypatch.setattr(module, "check_gradient", check)
    names = [name for name in inspect.signature(gradcheck.assert_gradient).parameters if name != "strict"]
    marks = {name: object() for name in names}
    gradcheck.assert_gradient(**marks)  # type: ignore[arg-type]
    assert seen == marks


@pytest.mark.parametrize("function", [*FUNCTIONS, Outcome.worst, Outcome.to_parquet, Outcome.count])
def test_public_signatures_name_their_types(function: Callable[..., Any]) -> None:
    signature = inspect.signature(function)
    annotations = [p.annotation for n, p in signature.parameters.items() if n != "self"] + [signature.return_annotation]
    assert all(re.search(r"\bAny\b", str(a)) is None and a is not inspect.Parameter.empty for a in annotations)
    further = [p for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    # further settings are those of a TypedDict, each with its type
    assert all(str(p.annotation).startswith("Unpack[") for p in further)
