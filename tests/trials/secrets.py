"""URIs with a secret in them, of every kind that people type, given to every command: nobody sees the secret.

The filesystems are folders of this machine, so that what can be opened is written and read; what pyarrow says about a
URI is what it says.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import re
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs

from gradcheck.columns import lease, places, remote

from .kills import Failure

QUICK = ("engine=serial", "progress=none", "data.n=5", "data.d=1")
# parts of a secret: none of them can stand in an output by chance
TOKENS = st.text("BCDFGHJKMNPQRSTVWXYZ23456789", min_size=8, max_size=10)
SIGNS = st.sampled_from(
    ["/", "#", "?", "@", ":", "&", "=", "+", "%2F", "%40", " ", "'", '"', "\\", "$", "//", "?x=", ""]
)


@st.composite
def uris(draw: Callable[[Any], Any]) -> tuple[str, list[str]]:
    """A URI and the tokens of the secrets in it."""
    tokens = [draw(TOKENS) for _ in range(draw(st.integers(1, 3)))]
    secret = tokens[0] + "".join(draw(SIGNS) + token for token in tokens[1:])
    if draw(st.booleans()):
        secret = quote(secret, safe="")
    scheme = draw(
        st.sampled_from(["s3", "s3", "s3", "S3", "gs", "abfs", "abfss", "hdfs", "s3a", "http", "file", " s3"])
    )
    place = draw(st.sampled_from(["bucket/runs", "bucket", "bucket/a@b/runs", "bucket.host:9000/runs"]))
    user = draw(st.sampled_from(["key", "KEY", "container", "a/b", ""]))
    where = draw(
        st.sampled_from(["user", "user", "user", "user", "alone", "query", "value", "fragment", "key", "twice"])
    )
    if where == "alone":  # with an @ in it, it would be a URI as good as any
        secret = secret.replace("@", "/")
    query = draw(st.sampled_from(["", "?region=us-east-1", "?scheme=http&region=here"]))
    name = draw(st.sampled_from(["secret_key", "client_secret", "password", "x", "access_key", "sas"]))
    joined = "&" if query else "?"
    rest = {
        "user": f"{user}:{secret}@{place}{query}",
        "alone": f"{user}:{secret}/{place}{query}",  # the @ was forgotten
        "query": f"{place}{query}{joined}{name}={secret}",
        "value": f"{place}{query}{joined}endpoint_override=http://me:{secret}@host",
        "fragment": f"{place}{query}#{secret}",
        "key": f"{place}{query}{joined}{secret}",
        "twice": f"{user}:{secret}@{place}?{name}={secret}",
    }[where]
    return f"{scheme}://{rest}", tokens


def _fake(folder: Path) -> contextlib.ExitStack:
    """Opens every URI that pyarrow takes as a folder of this machine."""
    real = places.filesystem

    def opened(*arguments: Any) -> tuple[Any, str]:
        return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), real(*arguments)[1]

    write = remote.Remote.write

    def making_folders(self: remote.Remote, content: Any) -> None:  # as HDFS and object stores do
        self.filesystem.create_dir(self.key.rpartition("/")[0])
        write(self, content)

    ends = contextlib.ExitStack()
    ends.enter_context(mock.patch.object(remote.Remote, "write", making_folders))
    for name, seconds in (("BEAT", 0.2), ("DEAD", 1.0), ("SETTLE", 0.01)):
        ends.enter_context(mock.patch.object(lease, name, seconds))
    ends.enter_context(mock.patch.object(places, "filesystem", opened))
    return ends


def _commands(uri: str, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    from gradcheck.run import main

    def module(name: str, *arguments: str) -> Callable[[], Any]:
        return lambda: importlib.import_module(f"gradcheck.{name}").main([*arguments])

    def typed(*arguments: str) -> Callable[[], Any]:
        return lambda: main([*arguments, *QUICK])

    here = f"hydra.run.dir={folder}/run"
    yield "store=", typed(f"store={uri}", here)
    yield "store= of a sweep", typed(f"++store={uri}", "eps=1e-4,1e-5", "-m", f"hydra.sweep.dir={folder}/sweep")
    yield "resume=", lambda: main([f"resume={uri}", *QUICK[:2]])
    yield "show", module("show", uri)
    yield "show --json", module("show", uri, "--json")
    yield "show of several", module("show", uri, str(folder / "run"))
    yield "diff", module("diff", uri, uri)
    yield "diff --json", module("diff", uri, str(folder / "run"), "--json")
    yield "report", module("report", uri, "--out", str(folder / "page.html"))
    yield "reproduce", module("reproduce", uri, "--sample", "1")
    yield "report --out", module("report", str(folder / "run"), "--out", uri)
    yield "an option that is none", module("show", "run", f"--folder={uri}")
    yield "a word alone", typed(uri)
    yield "a key that is none", typed(f"stor={uri}")
    yield "quoted", typed(f"store='{uri}'", here)
    yield "hydra.run.dir=", typed(f"hydra.run.dir='{uri}'")
    yield "hydra.sweep.dir=", typed(f"hydra.sweep.dir='{uri}'", "eps=1e-4,1e-5", "-m")
    yield "a key of Hydra", typed(f"+hydra.sweeper.params.store='{uri}'", "eps=1e-4,1e-5", "-m", here)
    yield "engine.address=", lambda: main(["engine=dask", f"engine.address='{uri}'"])
    yield "data.path=", typed("data=file", f"data.path='{uri}'", "data.target=y")
    yield "--cfg job", typed(f"store={uri}", "--cfg", "job")
    yield "--config-dir", typed(f"--config-dir={uri}")
    for name, more in (("of a file", ()), ("of a file, shown", ("--cfg", "job")), ("of a file, sweep", ("-m",))):
        yield f"store {name}", typed("--config-dir=conf", "+experiment=mine", here, *more)
    yield "load", lambda: importlib.import_module("gradcheck").load(uri)


def _said(act: Callable[[], Any]) -> tuple[str, bool]:
    """All that a command prints, a traceback included, and whether it ended as commands do."""
    out, well = io.StringIO(), True
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            act()
        except SystemExit:
            pass
        except BaseException as error:
            traceback.print_exc()
            well = type(error).__name__ == "BadInput"
    return out.getvalue(), well


def attempt(folder: Path, uri: str, tokens: list[str]) -> tuple[int, list[str]]:
    """Every command with a URI: how many ended with a run that is stored, and where the secret was seen."""
    (folder / "conf/experiment").mkdir(parents=True)
    (folder / "store").mkdir()
    where, wrong, stored = Path.cwd(), [], 0
    os.chdir(folder)
    try:
        with _fake(folder / "store"):
            for name, act in _commands(uri, folder):
                experiment = folder / "conf/experiment/mine.yaml"
                if name.startswith("store of a file"):
                    text = uri.replace("'", "''")
                    experiment.write_text(f"# @package _global_\nstore: '{text}'\n")
                said, well = _said(act)
                experiment.unlink(missing_ok=True)  # it is the user's own
                stored += "saved  " in said
                places = {"output": said.encode()}
                places |= {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
                places["a name"] = "\n".join(str(p.relative_to(folder)) for p in folder.rglob("*")).encode()
                seen = [place for place, held in places.items() if any(t.encode() in held for t in tokens)]
                wrong += [f"{name}: {place}: {uri!r}" for place in seen]
                if not well:
                    wrong.append(f"{name}: {said[-300:]}: {uri!r}")
                for made in ("run", "sweep", "store"):
                    if seen:
                        shutil.rmtree(folder / made, ignore_errors=True)
                (folder / "store").mkdir(exist_ok=True)
    finally:
        os.chdir(where)
        for handler in list(logging.root.handlers):
            if isinstance(handler, logging.FileHandler):
                handler.close()
                logging.root.removeHandler(handler)
    return stored, wrong


def trial(folder: Path, count: int) -> str:
    """So many URIs with every command.  Raises Failure where a secret is seen."""
    tried, runs, wrong = 0, 0, []

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(uris())
    def each(made: tuple[str, list[str]]) -> None:
        nonlocal tried, runs
        if tried >= count:
            return
        tried += 1
        stored, found = attempt(folder / f"uri-{tried}", *made)
        runs += stored
        wrong.extend(found)
        shutil.rmtree(folder / f"uri-{tried}", ignore_errors=True)

    each()
    if wrong:
        raise Failure("; ".join(re.sub(r"\s+", " ", one) for one in wrong[:8]))
    return f"{tried} URIs with a secret, {len(list(_commands('', folder)))} ways to give each, {runs} runs stored: seen 0 times"
