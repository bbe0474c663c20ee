"""Runs in an object store: everything that works in a folder works there, and no password is kept."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import QUICK, command, rows, started
from constructed import planned
from constructed import rows as made
from pyarrow import fs
from waiting import PATIENCE, until

import gradcheck
from gradcheck import uris
from gradcheck.columns import lease, lock, places, remote, s3, store
from gradcheck.errors import BadInput, WriteError
from gradcheck.experiment.results import repair
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main

SECRET = "correct-horse"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """host:port of a server that speaks S3's protocol."""
    moto = pytest.importorskip("moto.server")
    served = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    yield f"{host}:{port}"
    served.stop()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def uri(server: str, request: pytest.FixtureRequest) -> str:
    """A prefix of its own for each test, with a password."""
    name = "".join(c for c in request.node.name if c.isalnum())[:40].lower()
    options = f"endpoint_override={server}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    return f"s3://user:{SECRET}@bucket/runs/{name}?{options}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.2), ("DEAD", 4.0), ("SETTLE", 0.1)):
        monkeypatch.setattr(lease, name, seconds)


IMPATIENT = "from gradcheck.columns import lease\nlease.BEAT, lease.DEAD, lease.SETTLE = 0.2, 4.0, 0.2"


def stored(uri: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    place = places.at(uri)
    assert isinstance(place, remote.Remote)

    def read(folder: str) -> pa.Table:
        return pa.concat_tables([pq.read_table(path.open()) for path in (place / folder).glob("*.parquet")])

    return rows(Path(), read)


def keys(uri: str) -> list[str]:
    place = places.at(uri)
    assert isinstance(place, remote.Remote)
    found = place.filesystem.get_file_info(fs.FileSelector(place.key, recursive=True, allow_not_found=True))
    return sorted(info.path.removeprefix(place.key + "/") for info in found if info.type == fs.FileType.File)


def test_run_show_reproduce_load_and_resume_work_there(uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["eps=1e-4,1e-6", f"store={uri}", "-m", *QUICK]) == 0
    found = [re.sub("-[0-9a-f]{16}", "", key) for key in keys(uri)]
    assert found == [f"{t}/part-0000{k}.parquet" for t in ("cells", "errors") for k in (0, 1)] + ["plan.parquet"]
    assert main(["eps=1e-4,1e-6", "hydra.sweep.dir=here", "-m", *QUICK]) == 0
    here = rows(Path("here"))
    assert stored(uri) == here
    assert main(["eps=1e-4", f"store={uri}", *QUICK]) == 2
    assert "holds a run already; finish it with 'resume=s3://bucket/runs/" in capfd.readouterr().err
    assert main([f"resume={uri}", *QUICK]) == 0
    assert stored(uri) == here
    for module, *arguments in (("show", "--all"), ("reproduce",)):
        status, out, err = command(f"gradcheck.{module}", uri, *arguments)
        assert status == 0, err
        assert SECRET not in out + err
        assert "1e-06" in out or "same to the bit" in out
    status, out, err = command("gradcheck.report", uri, "--out", "page.html")
    assert status == 0, err
    page = Path("page.html").read_text(encoding="utf-8")
    assert here[0][0]["cell"] in page
    assert SECRET not in page
    runs = gradcheck.load(uri)
    assert len(runs.cells) == 2
    assert runs.weights(here[0][0]["cell"])["flat_index"].tolist() == list(range(6))
    both = gradcheck.load([uri, "here"])
    assert (len(both.cells), both.errors.count_rows()) == (4, 24)
    assert SECRET not in " ".join(map(str, both.cells["run"]))


def test_a_password_is_kept_nowhere(uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("conf/experiment").mkdir(parents=True)
    text = f"# @package _global_\nstore: '{uri.replace('?', '/written?')}'\n"
    Path("conf/experiment/mine.yaml").write_text(text)
    assert main([f"store={uri}", *QUICK]) == 0
    assert main([f"store={uri.replace('?', '/sweep?')}", "eps=1e-4,1e-5", "-m", *QUICK]) == 0
    assert main([f"++store={uri.replace('?', '/again?')}", *QUICK]) == 0
    assert main(["--config-dir=conf", "+experiment=mine", *QUICK]) == 0
    assert main([f"store={uri}", *QUICK]) == 2
    Path("conf/experiment/mine.yaml").unlink()
    printed = capfd.readouterr()
    assert "bucket/runs" in printed.out
    assert SECRET not in printed.out + printed.err
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert any(path.name == "config.yaml" and "bucket/runs" in path.read_text() for path in files)
    assert [path for path in files if SECRET in path.read_text(errors="replace")] == []
    assert len(keys(uri)) == 4 * 5
    place = places.at(uri)
    assert isinstance(place, remote.Remote)
    for key in keys(uri):
        with (place / key).open() as file:
            assert SECRET.encode() not in file.read()
    assert SECRET not in str(place)
    assert SECRET not in str(place / "cells")


def test_a_killed_run_is_resumed_to_the_rows_of_an_undisturbed_one(uri: str) -> None:
    sweep = ("init.seed=range(100)", "eps=1e-4,1e-5", "-m", *QUICK)
    assert main([*sweep, "hydra.sweep.dir=here"]) == 0
    prelude = IMPATIENT + "\nfrom gradcheck.experiment.results.writer import Writer"
    fast = "\nWriter.__init__.__kwdefaults__['part_cells'] = 7"
    process = started("gradcheck.run", *sweep, f"store={uri}", prelude=prelude + fast, new=True)
    until(lambda: sum(key.startswith("cells/") for key in keys(uri)) >= 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = stored(uri)[0]
    assert 0 < len(found) < 200
    assert ".tmp/lock" in keys(uri)
    status, out, err = command("gradcheck.run", f"resume={uri}", *QUICK, prelude=prelude + fast)
    assert status == 0, err
    assert "200 cells" in out
    assert stored(uri) == rows(Path("here"))
    assert ".tmp/lock" not in keys(uri)


def test_two_processes_on_one_run_are_told_apart(uri: str) -> None:
    place = places.at(uri)
    with lock.locked(place):
        with pytest.raises(BadInput, match="another process is writing there"), lock.locked(place):
            pass
        time.sleep(3 * lease.BEAT)
    with lock.locked(place):
        pass
    assert keys(uri) == []


def test_a_lease_that_nobody_renews_is_taken_over_and_its_holder_stops(uri: str) -> None:
    place = places.at(uri)
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(lock.locked(place))
        assert isinstance(held, remote.Remote)
        assert held._lock is not None
        held._lock._stop.set()  # as if the process were suspended
        with lock.locked(place) as other:
            store.write(other, "cells", "mine", lambda file: file.write(b"1"))
            held._lock._written = -1e9
            with pytest.raises(OSError, match="taken the run over"):
                store.write(held, "cells", "mine", lambda file: file.write(b"2"))
    with (place / "cells" / "mine").open() as file:
        assert file.read() == b"1"


def test_a_writer_whose_store_goes_away_says_so_and_keeps_what_is_there(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, n = remote.Remote.write, 0

    def failing(self: remote.Remote, content: Any) -> None:
        nonlocal n
        n += 1
        if n > 4:
            raise OSError("AWS Error NETWORK_CONNECTION during PutObject operation (Request ID: x y)")
        write(self, content)

    monkeypatch.setattr(remote.Remote, "write", failing)

    def run() -> None:
        with Writer(uri, {}, part_cells=2) as writer:
            for i in range(50):
                writer.add(made(i))

    with pytest.raises(WriteError, match="NETWORK_CONNECTION during PutObject operation; what"):
        run()
    assert {row["cell"] for row in stored(uri)[0]} == {planned(i).cell for i in range(2)}


def test_parts_of_failed_cells_are_replaced_there_too(uri: str) -> None:
    with Writer(uri, {}) as writer:
        writer.add(made(0))
        writer.add(made(1))
        writer.add(cell_row(planned(2), ValueError("no"), 0.0))
    with Writer(uri, {}) as writer:
        writer.add(made(2))
    assert repair.tidy(places.at(uri), {planned(i).cell for i in (0, 2)}, 2)
    cells, errors = stored(uri)
    assert {row["cell"] for row in cells} == {row["cell"] for row in errors} == {planned(i).cell for i in (0, 2)}
    assert [row["status"] for row in cells] == ["ok", "ok"]


# ------------------------------------------------------------------------------------------------------ what is refused


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


REFUSED = [
    ("s3://nobody/here?endpoint_override={server}&scheme=http", "there is no bucket nobody; make it, or add"),
    ("s3://a:b@nobody/here?endpoint_override=127.0.0.1:{port}&scheme=http", "Could not connect"),
    ("s3://a:b@nobody/here?endpoint_override=nowhere.invalid&scheme=http", "nowhere.invalid"),
    ("s3://bucket/here?endpoint={server}", "endpoint is no option; allowed: region, scheme, endpoint_override"),
    ("s3://bucket/here?anonymous=perhaps", "anonymous=perhaps: must be true or false"),
    ("s3://", "must name a bucket"),
    ("s3:///x", "must name a bucket"),
    ("ftp://host/x", "ftp://host/x: must be a folder or begin with one of s3://, gs://"),
    ("gs://", "gs://: "),
]


@pytest.mark.parametrize(("typed", "words"), REFUSED, ids=[typed for typed, _ in REFUSED])
@pytest.mark.parametrize("how", ["store", "resume", "show", "reproduce", "load"])
def test_an_address_that_is_none_is_refused_in_one_line_and_soon(
    typed: str, words: str, how: str, server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if "a:b@" in typed and how not in ("store", "show"):
        pytest.skip("waits for seconds, as the others do")
    address = typed.format(server=server, port=port())
    if how not in ("store", "load") and "nobody/here" in typed and "{server}" in typed:
        words = "not a run" if how != "resume" else "no"
    start = time.monotonic()
    if how == "load":
        with pytest.raises(BadInput) as refused:
            gradcheck.load(address)
        err = str(refused.value) + "\n"
        words = "not a run" if "{server}" in typed and "nobody" in typed else words
    else:
        commands = {"store": main, "resume": main}
        if how in commands:
            status = main([f"{how}={address}", *QUICK])
        else:
            module = __import__(f"gradcheck.{how}", fromlist=["main"])
            status = module.main([address])
        out, err = capfd.readouterr()
        assert (status, out) == (2, "")
        assert err.startswith("gradcheck: ")
    assert err.count("\n") == 1
    assert words in err
    assert time.monotonic() - start < PATIENCE
    assert not list(tmp_path.iterdir())


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "ANSWER_SECONDS", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(20)
        start = time.monotonic()
        with pytest.raises(BadInput, match="cannot be read"):
            locate(f"s3://a:b@bucket/x?endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http")
        assert time.monotonic() - start < PATIENCE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://a:b@bucket/x?region=z", "s3://bucket/x?region=z"),
        ("s3://a:p%40ss@bucket", "s3://bucket"),
        ("s3://a:p@ss@bucket/x", "s3://bucket/x"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("hdfs://me@host:8020/x", "hdfs://host:8020/x"),
        ("folder/a:b@c", "folder/a:b@c"),
    ],
)
def test_credentials_are_what_stands_before_the_host(text: str, shown: str) -> None:
    assert uris.shown(text) == shown


def test_a_uri_of_a_folder_is_the_folder(tmp_path: Path) -> None:
    assert main([f"store=file://{tmp_path}/there", *QUICK]) == 0
    assert len(rows(tmp_path / "there")[0]) == 1
    assert locate(f"file://{tmp_path}/there") == tmp_path / "there"


def test_hydras_own_multirun_has_no_common_store(capfd: pytest.CaptureFixture[str]) -> None:
    typed = ("eps=1e-4,1e-6", "-m", "hydra/launcher=basic", "hydra/sweeper=basic", "store=there")
    assert main([*typed, *QUICK]) == 2
    assert "store=there" in capfd.readouterr().err


def test_where_a_half_written_file_would_be_seen_it_is_written_aside(tmp_path: Path) -> None:
    folder = remote.Remote(fs.LocalFileSystem(), str(tmp_path), ("hdfs://host/x", ""))
    (folder / "cells").mkdir()
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.update(path.stat().st_size for path in (tmp_path / "cells").glob("*.parquet"))

    watcher = threading.Thread(target=look)
    watcher.start()
    for i in range(20):
        store.write(folder, "cells", f"{i}.parquet", lambda file: file.write(b"x" * 1_000_000))
    stop.set()
    watcher.join()
    store.write(folder, "cells", "0.parquet", lambda file: file.write(b"y"))
    assert seen <= {1_000_000}
    assert (tmp_path / "cells/0.parquet").read_bytes() == b"y"
    assert len(list((tmp_path / "cells").iterdir())) == 20
