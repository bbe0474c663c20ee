"""A run as a report in JUnit's XML, which continuous-integration systems read: a test case for each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.printable import printable
from gradcheck.views.outcomes import Kind, Told, told
from gradcheck.views.record import Record

# The element of a case that has not passed.
_ELEMENTS = {Kind.WRONG: "failure", Kind.BROKEN: "error", Kind.SKIPPED: "skipped"}


def write(record: Record, out: Path) -> None:
    """Write the report; the file is never half-written.  Raises BadInput where it cannot be written."""
    try:
        with store.whole(out) as file:
            for line in lines(record):
                file.write(f"{line}\n".encode())
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"--junit={out}: {getattr(error, 'strerror', None) or error}") from error


def lines(record: Record) -> Iterator[str]:
    """The lines of the report."""
    counts, seconds = Counter[Kind](), 0.0
    for one in told(record):
        counts[one.kind] += 1
        seconds += one.seconds
    figures = _attributes(
        name="gradcheck",
        tests=counts.total(),
        failures=counts[Kind.WRONG],
        errors=counts[Kind.BROKEN],
        time=f"{seconds:.3f}",  # the schema of Jenkins takes three decimals and no more
    )
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield f"<testsuites {figures}>"
    yield f"<testsuite {figures} {_attributes(skipped=counts[Kind.SKIPPED])}>"
    for one in told(record):
        yield from _case(one)
    yield "</testsuite>"
    yield "</testsuites>"


def _case(one: Told) -> Iterator[str]:
    named = f"{one.name} [{one.cell}]" if one.name and one.cell else one.name or one.cell
    case = _attributes(classname=f"gradcheck.{one.model}", name=named, time=f"{one.seconds:.3f}")
    element = _ELEMENTS.get(one.kind)
    if element is None and one.kind is Kind.PASSED:
        yield f"<testcase {case}/>"
        return
    yield f"<testcase {case}>"
    if element is None:  # the run does not fail: its words are output
        yield f"<system-out>{_text(f'{one.verdict}: {one.words}')}</system-out>"
    elif element == "skipped":
        yield f"<skipped {_attributes(message=one.words)}/>"
    else:
        said = _attributes(type=one.verdict, message=f"{one.verdict}: {one.words}")
        yield f"<{element} {said}>{_text(one.words)}\n{_text(one.look)}</{element}>"
    yield "</testcase>"


def _attributes(**values: object) -> str:
    return " ".join(f"{name}={quoteattr(printable(value))}" for name, value in values.items())


def _text(text: str) -> str:
    return escape(printable(text))
