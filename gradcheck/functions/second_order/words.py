"""What a person sees of the outcome of a check of a Hessian: as text, and as HTML for a notebook."""

from __future__ import annotations

import html
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.functions.outcome import Outcome
from gradcheck.functions.second_order.entries import Labels
from gradcheck.functions.wording import digits, ratio, reason_text
from gradcheck.numerics.steps import eps_text
from gradcheck.numerics.verdict import ACCEPTED, CORNER, EXEMPT, STATIONARY, is_judged

if TYPE_CHECKING:
    from gradcheck.functions.second_order.outcome import HessianOutcome

Array = np.ndarray

# Rows of wrong entries that are printed.
SHOWN = 5


def _headline(r: HessianOutcome) -> str:
    total = len(r.hessian.table["verdict"])
    wrong = r.hessian.count("mismatch")
    if r.verdict == "mismatch":
        if wrong:
            said = [f"{wrong} of {total} {_what(r)} {'is' if wrong == 1 else 'are'} wrong"]
        else:
            said = [_matching(r, total)]
        if not r.symmetric:
            pairs = max(len(s.pairs) for s in r.symmetry)
            said.append(f"{pairs} {'pair differs' if pairs == 1 else 'pairs differ'} from the transpose")
        if any(p.wrong.any() for p in r.products):
            said.append("hessp is not the product with hess")
        return f"MISMATCH  {'; '.join([*said, *_of_gradient(r)])}"
    seen = f"a relative error above {r.resolution:.0e} would have been seen"
    if r.verdict in ("match", "partial"):
        return f"{r.verdict.upper()}  {'; '.join([_matching(r, total), *_of_gradient(r)])}; {_of_transpose(r)}{seen}"
    return f"{r.verdict.upper()}  {_matching(r, total)}; {'; '.join(_of_gradient(r))}".rstrip("; ")


def _matching(r: HessianOutcome, total: int) -> str:
    exempt = r.hessian.table["reason"].count(EXEMPT)
    if exempt == total:
        return f"all {total} {_what(r)} are 0 and exempt"
    counted = f"{total - exempt} {_what(r)} that are not exempt (of {total})"
    return f"{r.hessian.count('match')} of {counted if exempt else f'{total} {_what(r)}'} agree"


def _what(r: HessianOutcome) -> str:
    return f"entries of H v, for {r.drawn} drawn vectors v," if r.drawn else "entries of the Hessian"


def _of_gradient(r: HessianOutcome) -> list[str]:
    if r.gradient is None:
        return []
    total = len(r.gradient.table["verdict"])
    wrong = r.gradient.count("mismatch")
    if r.gradient.verdict == "mismatch":
        return [f"the gradient is wrong in {wrong} of {total}" if wrong else "the gradient is wrong"]
    if r.gradient.verdict == "match":
        return ["the gradient is right"]
    judged = r.gradient.count("match")
    return [f"{judged} of {total} entries of the gradient agree" if judged else "the gradient could not be judged here"]


def _of_transpose(r: HessianOutcome) -> str:
    return "it is symmetric; " if r.symmetry else ""


def _rows(r: HessianOutcome) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for part in r.parts:
        table = part.table
        wrong = np.array([i for i, v in enumerate(table["verdict"]) if v == "mismatch"], dtype=np.intp)
        # to three digits: which of two equal differences is the larger is rounding
        size = np.array([float(f"{x:.2e}") for x in np.nan_to_num(table["abs_err"][wrong], nan=np.inf)])
        for row in wrong[np.argsort(-size, kind="stable")][:SHOWN].tolist():
            at = f" at point {part.decided[row]}" if part.decided else ""
            name = r.name(part, int(table["flat_index"][row])) + at
            rows.append(_row(name, table["analytic"][row], table["numeric"][row], table["bound"][row]))
    return rows


def _other_rows(r: HessianOutcome) -> list[tuple[str, ...]]:
    """Entries that differ from their transpose and are not wrong beyond their bounds, and products."""
    rows = []
    if not r.hessian.count("mismatch"):
        for s in r.symmetry:
            for i, j in s.pairs[:SHOWN]:
                name = f"v{i} H v{j}" if r.drawn else r.labels.entry(i, j)
                rows.append(_row(name, s.hessian[i, j], s.hessian[j, i], s.bound[i, j]))
    return rows[:SHOWN]


def _product_rows(r: HessianOutcome) -> list[tuple[str, ...]]:
    rows = []
    for p in r.products:
        for k, i in np.argwhere(p.wrong).tolist():
            name = f"hessp(x, {_vector(p.vectors[k], r.labels)})[{r.labels.names[i]}]"
            rows.append(_row(name, p.claimed[k, i], p.expected[k, i], p.bound[k, i]))
    return rows[:SHOWN]


def _tables(r: HessianOutcome) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    last = ("ratio", "difference", "correct could show")
    found = [
        (("entry", "analytic", "numeric", *last), _rows(r)),
        (("entry", "itself", "transposed", *last), _other_rows(r)),
        (("entry", "hessp", "hess", *last), _product_rows(r)),
    ]
    return [(header, rows) for header, rows in found if rows]


def _not_judged(r: HessianOutcome) -> list[str]:
    groups = Counter[tuple[str, str]]()
    for part in r.parts:
        of = "H" if part is r.hessian else "the gradient"
        groups.update((reason, of) for reason in part.table["reason"] if reason)
    lines = []
    for (reason, of), count in groups.items():
        kind = {EXEMPT: "exempt", ACCEPTED: "accepted"}.get(reason, "judged" if is_judged("", reason) else "not judged")
        code = "" if reason in (EXEMPT, ACCEPTED) else f"{reason}: "
        lines.append(f" {kind}: {count} in {of}, {code}{_said(reason, r.hessian, of)}")
    return lines


def text(r: HessianOutcome) -> str:
    lines = [_headline(r)]
    if r.diagnosis:
        lines.append(r.diagnosis)
    for header, rows in _tables(r):
        widths = [max(len(row[c]) for row in (header, *rows)) for c in range(len(header))]
        for row in (header, *rows):
            cells = [row[0].ljust(widths[0]), *(row[c].rjust(widths[c]) for c in range(1, len(header)))]
            lines.append(" " + "  ".join(cells))
    more = r.hessian.count("mismatch") - SHOWN
    if more > 0:
        lines.append(f" … {more} more: r.errors.query(\"verdict == 'mismatch'\")")
    lines += _not_judged(r)
    if r.negligible and r.verdict != "mismatch":
        lines.append(
            f" of these {len(r.negligible)} in H are 0 beside the diagonal: less than {r.hessian.match_at:g} of it"
        )
    lines += [f" raised near x0: {note}" for note in r.hessian.notes[:2]]
    how = r.hessian
    points = f"; {len(how.points)} points" if how.points else ""
    lines.append(
        f"{how.scheme}, step {eps_text(how.eps)}, {how.dtype}{points}; {r.nfev + r.njev + r.nhev} loss evaluations"
    )
    return "\n".join(lines)


def page(r: HessianOutcome) -> str:
    """The same for a notebook, every name escaped."""
    parts = [f"<p><b>{html.escape(_headline(r))}</b></p>"]
    if r.diagnosis:
        parts.append(f"<p>{html.escape(r.diagnosis)}</p>")
    for header, rows in _tables(r):
        top = "".join(f"<th>{html.escape(t)}</th>" for t in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        parts.append(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")
    parts += [f"<p>{html.escape(line.strip())}</p>" for line in _not_judged(r)]
    return "".join(parts)


def _vector(p: Array, labels: Labels) -> str:
    """A vector by which the Hessian is multiplied: the unit vector of a parameter, or one that was drawn."""
    (at,) = np.nonzero(p)
    return f"e_{labels.names[int(at[0])]}" if len(at) == 1 and len(p) > 1 else "p"


# What of the reasons of a gradient is said otherwise of an entry of a Hessian.
_OF_AN_ENTRY = {
    EXEMPT: "0, and this entry of the gradient does not change with this parameter at all",
    CORNER: "x0 lies on a kink of the gradient: the entry lies between the slopes on both sides, more cannot be told here",
    STATIONARY: "the entry is 0 and no relative error can be seen beside it: take another x0",
}


def _said(reason: str, how: Outcome, of: str) -> str:
    """A reason in words; what is differentiated for the Hessian is the gradient."""
    if of == "H" and reason in _OF_AN_ENTRY:
        return _OF_AN_ENTRY[reason]
    words = reason_text(reason, how.eps, how.dtype)
    return words.replace("the loss", "the gradient").replace("this weight", "this parameter") if of == "H" else words


def _row(name: str, a: float, n: float, bound: float) -> tuple[str, ...]:
    shown = digits(a, n)
    # 0 over a negative number is -0
    return (name, f"{a:.{shown}e}", f"{n:.{shown}e}", ratio(a, n) if a else "0", f"{abs(a - n):.1e}", f"{bound:.0e}")
