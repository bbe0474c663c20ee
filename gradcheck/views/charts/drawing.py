"""Charts as specifications, images and files.  Altair and vl-convert are imported when a chart is made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.views.charts.theme import THEMES

if TYPE_CHECKING:
    from altair.typing import ChartType


def require_altair() -> None:
    """Raise BadInput where Altair, or vl-convert, which draws what Altair describes, is missing."""
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError:
        raise BadInput("charts need Altair and vl-convert: pip install 'gradcheck[charts]'") from None


def specification(chart: ChartType) -> dict[str, object]:
    """The chart as a Vega-Lite specification, its data in it."""
    import altair as alt

    with alt.data_transformers.enable(consolidate_datasets=False):
        return dict(chart.to_dict())


def version() -> str:
    """The version of Vega-Lite that Altair writes, in vl-convert's form."""
    import altair as alt

    return ".".join(str(alt.SCHEMA_VERSION).lstrip("v").split(".")[:2])


@cache
def bundle() -> str:
    """The JavaScript that draws in a browser: Vega, Vega-Lite, Vega-Embed."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version()))


def svg(chart: ChartType) -> str:
    """The chart for a paper."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(_for_paper(chart), vl_version=version()))


def png(drawn: str) -> bytes:
    """A chart that was drawn as SVG, as an image of 300 dots an inch."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(drawn, ppi=300))


def _for_paper(chart: ChartType) -> dict[str, object]:
    # aria: otherwise the words of each point's tooltip are written into the SVG
    return {**specification(chart), "config": {**THEMES["paper"], "aria": False}}


def write_figures(charts: Mapping[str, ChartType], folder: Path, option: str = "--figures") -> list[Path]:
    """Write each chart as SVG and PNG; no file is ever half-written.  Raises BadInput where the folder cannot be written."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, chart in charts.items():
            drawn = svg(chart)
            for path, content in ((folder / f"{name}.svg", drawn.encode()), (folder / f"{name}.png", png(drawn))):
                with store.whole(path) as file:
                    file.write(content)
                written.append(path)
    except OSError as error:
        raise BadInput(f"{option}={folder}: {error.strerror or error}") from error
    return written
