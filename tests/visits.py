"""A page that is open in Chromium, with all that it complained of and asked for; runs of many axes to make pages of."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from constructed import EPS, VERDICTS, planned, result
from waiting import PATIENCE

from gradcheck.errors import Meaningless
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.views.record import Record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFF = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
OFF += ("--disable-component-update", "--disable-sync")
CHARTS = ("detection", "v_curve", "rules", "histogram", "weights")


class Visit:
    """A page that is open, with all that it complained of and asked for."""

    def __init__(self, browser: Any, path: Path, address: str = "", **settings: Any) -> None:
        self.browser, self.path = browser, path
        # reduced motion: a page behind another one would scroll smoothly when it comes to the front
        self.page = browser.new_page(
            **({"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | settings)
        )
        self.page.set_default_timeout(1000 * PATIENCE)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # what a chart is saved from is made by the page itself
        self.page.on("request", lambda one: one.url.startswith("blob:") or self.requests.append(one.url))
        self.page.goto(path.as_uri() + address)

    @property
    def record(self) -> Record:
        """The run of which this is the page."""
        return Record(self.path.parent)

    def wait(self) -> Visit:
        """Until everything is drawn."""
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self

    def choose(self, key: str, value: str) -> None:
        """Choose a value in a drop-down, and wait until everything shows it."""
        with self.answered():
            self.page.get_by_label(key, exact=True).select_option(value)

    def answered(self) -> Answered:
        """Wait at the end of a block until everything shows what was chosen in it."""
        return Answered(self.page)

    def column(self, table: str, name: str) -> list[str]:
        """Texts of a column of a table, from top to bottom."""
        heads = self.page.locator(f"#{table} th").all_inner_texts()
        place = [head.strip(" ▲▼") for head in heads].index(name) + 1
        return list(self.page.locator(f"#{table} td:nth-child({place})").all_inner_texts())

    def square(self, *words: str) -> tuple[float, float]:
        """The middle of the first square that says these words when it is pointed at, in the window."""
        places = self.page.evaluate(
            """() => { const svg = document.querySelector("#chart-detection svg"), box = svg.getBoundingClientRect();
                return [...svg.querySelectorAll(".outline")].flatMap((path) => [...path.getAttribute("d").matchAll(
                    /M([\\d.]+) ([\\d.]+)h([\\d.]+)v([\\d.]+)/g)].map(([, x, y, w, h]) =>
                    [box.left + Number(x) + w / 2, box.top + scrollY + Number(y) + h / 2])); }"""
        )
        # in the middle of the window: at its top the filters stand over the picture
        show = "(y) => { scrollTo({ top: y - innerHeight / 2, behavior: 'instant' }); return y - scrollY; }"
        for x, at in places:
            y = self.page.evaluate(show, at)
            self.page.mouse.move(x, y)
            if all(word in self.page.inner_text("#tip") for word in words):
                return x, y
        raise AssertionError(f"no square says {words}")

    def colours(self, selector: str) -> dict[str, int]:
        """Pixels of an element, counted by colour."""
        picture = base64.b64encode(self.page.locator(selector).screenshot()).decode()
        canvas = self.browser.new_page()  # a page without a policy
        counted = canvas.evaluate(
            """async (picture) => {
                const image = new Image();
                image.src = "data:image/png;base64," + picture;
                await image.decode();
                const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
                canvas.drawImage(image, 0, 0);
                const found = {};
                const pixels = canvas.getImageData(0, 0, image.width, image.height).data;
                for (let i = 0; i < pixels.length; i += 4) {
                    const hex = "#" + [0, 1, 2].map((k) => pixels[i + k].toString(16).padStart(2, "0")).join("");
                    found[hex] = (found[hex] || 0) + 1;
                }
                return found;
            }""",
            picture,
        )
        canvas.close()
        return dict(counted)


class Answered:
    """A block in which something is chosen."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def __enter__(self) -> None:
        self.before = self.page.get_attribute("html", "data-serial")

    def __exit__(self, *_: object) -> None:
        self.page.wait_for_function("before => document.documentElement.dataset.serial !== before", arg=self.before)


def many_axes(folder: Path, seed: int = 0, functions: bool = False) -> None:
    """A grid over bug, step, dtype, scheme, a size and seeds, with any verdict anywhere; some cells failed or were skipped."""
    rng = np.random.default_rng(seed)
    bugs, schemes = ["none", "scale", "sign_flip"], ["central", "forward", "five_point"][: int(rng.integers(2, 4))]
    dtypes = ["float32", "float64"]
    with Writer(folder, {"gradcheck": "9.9", "overrides": ["bug=none,scale"]}) as writer:
        for k in range(int(rng.integers(120, 200))):
            model = "function" if functions and rng.random() < 0.2 else str(rng.choice(["logistic", "mlp"]))
            bug = str(rng.choice(bugs))
            cell = planned(k, bug, model)
            scheme, dtype, n = str(rng.choice(schemes)), str(rng.choice(dtypes)), int(rng.choice([10, 100]))
            cell.config |= {"scheme": scheme, "dtype": dtype, "eps": EPS[int(rng.integers(4))]}
            cell.config["data"] |= {"n": n}
            verdict = str(rng.choice(VERDICTS, p=[0.4, 0.4, 0.15, 0.05]))
            made = result(k, int(rng.integers(1, 7)), verdict, bug)
            made.summary |= {"data_n": n, "n_missed": int(bug != "none" and verdict == "match" and rng.random() < 0.5)}
            lost = rng.random()
            outcome = ValueError("the loss is nan") if lost < 0.03 else Meaningless("no bias") if lost < 0.08 else made
            writer.add(cell_row(cell, outcome, 0.01))
