"""`kpbench data add`, `remove` and `fetch`: a labelled project is a protocol like any other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kpbench.cli.main import main
from kpbench.data import locate
from kpbench.data.projects.described import read_description
from kpbench.data.protocol import RealProtocol
from kpbench.errors import DataError, InvalidInputError
from kpbench.records.record import all_records
from kpbench.registry import available, faults, load_protocol
from kpbench.testing import check_protocol
from tests.conftest import Install
from tests.data.projects import writers
from tests.data.projects.writers import labels

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))

    def call(*words: str) -> tuple[int, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writers.write_deeplabcut(tmp_path / "project", labels(90, videos=15))
    return tmp_path / "project"


def described(tmp_path: Path) -> Path:
    return tmp_path / "config" / "protocols" / "mice.toml"


def test_from_a_folder_to_a_board_without_a_line_of_code(
    run: Run, root: Path, tmp_path: Path
) -> None:
    code, text = run("data", "add", "mice", str(root), "--k", "3", "--normaliser", "nose,tail")
    assert code == 0, text
    assert "mice, version 1: A project of deeplabcut: 88 labelled images, 4 landmarks" in text
    assert "kpbench evaluate -p mice" in text
    code, text = run("list", "protocols")
    assert "mice" in text and "A project of deeplabcut" in text
    code, text = run("show", "mice")
    assert code == 0
    assert "L2 / distance of nose and tail in %" in text
    code, text = run("list", "evaluators")
    assert "mice/strict" in text
    code, text = run("data", "verify", "mice")
    assert code == 0, text
    assert "0 errors" in text
    assert run("data", "prepare", "mice", "--recipe", "smoke")[0] == 0
    code, text = run("data", "list")
    assert f"found    mice           {root}" in text
    assert "protocols: mice" in text
    code, text = run("data", "info", "mice")
    assert code == 0 and "labelled project (deeplabcut)" in text
    results = tmp_path / "board" / "results"
    words = ["evaluate", "-p", "mice", "--recipe", "smoke", "--results", str(results)]
    code, text = run(*words, "-m", "mean_shape", "-m", "oracle", "-m", "autolink")
    assert code == 0, text
    records = {record.identity.method: record for record in all_records(results)}
    assert {record.status for record in records.values()} == {"ok"}
    assert records["oracle"].scores["mice/strict"].value == pytest.approx(0, abs=1e-6)
    assert records["mean_shape"].scores["mice/strict"].value > 10
    words = ["evaluate", "-p", "mice", "--recipe", "quick", "--results", str(results)]
    assert run(*words, "-m", "mean_shape", "-m", "oracle")[0] == 0
    code, text = run("leaderboard", "--folder", str(tmp_path / "board"))
    assert code == 0, text
    assert "mice.md" in text
    assert not any(str(root) in path.read_text() for path in results.rglob("*.json"))
    check_protocol(load_protocol("mice"))


def test_a_description_can_be_shared_and_names_no_folder(
    run: Run, root: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared.toml"
    words = ["--split", "frame", "--pairs", "ear_L:ear_R", "--crop", "2,2,40,30", "--unit", "px"]
    assert run("data", "add", "mice", str(root), *words, "--write", str(shared))[0] == 0
    assert str(tmp_path) not in shared.read_text()
    first = load_protocol("mice")
    assert isinstance(first, RealProtocol)
    mark = first.fingerprint("smoke")
    assert run("data", "remove", "mice")[0] == 0
    assert "mice" not in available("protocols")
    assert run("data", "path", "mice")[0] != 0
    shutil.move(str(root), str(tmp_path / "copy"))
    code, text = run("data", "add", str(shared), str(tmp_path / "copy"))
    assert code == 0, text
    assert "both sides" in text
    second = load_protocol("mice")
    assert isinstance(second, RealProtocol)
    assert second.fingerprint("smoke") == mark
    assert second.evaluators == first.evaluators


def test_a_description_is_added_beside_the_project(run: Run, root: Path) -> None:
    file = root / "protocol.toml"
    assert run("data", "add", "mice", str(root), "--write", str(file))[0] == 0
    assert run("data", "remove", "mice")[0] == 0
    assert run("data", "add", str(file))[0] == 0
    assert "mice" in available("protocols")


def test_a_change_makes_a_new_version_and_none_does_not(
    run: Run, root: Path, tmp_path: Path
) -> None:
    for words, version in (([], 1), ([], 1), (["--k", "9"], 2), (["--k", "9"], 2)):
        assert run("data", "add", "mice", str(root), *words)[0] == 0
        assert read_description(described(tmp_path)).version == version
    before = load_protocol("mice")
    assert before.n_keypoints == 9 and before.version == 2
    (root / "labeled-data" / "vid 1" / "CollectedData_ann.csv").unlink()
    code, text = run("data", "prepare", "mice", "--recipe", "smoke")
    assert code == 2 and "have changed since the project was added" in text
    assert run("data", "add", "mice", str(root), "--k", "9")[0] == 0
    assert load_protocol("mice").version == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Mice"], "a protocol cannot be called 'Mice'"),
        (["people_plain"], "the name 'people_plain' is taken"),
        (["autolink"], "the name 'autolink' is taken"),
        (["celeba"], "the name 'celeba' is taken"),
        (["mice", "--format", "dlc"], "no format called 'dlc'"),
        (["mice", "--normaliser", "nose,hat"], "no landmark called 'hat'"),
        (["mice", "--pairs", "ear_L:ear_R:nose"], "write LEFT:RIGHT"),
        (["mice", "--pairs", "ear_L:hat"], "no landmark called 'hat'"),
        (["mice", "--crop", "box"], "have no boxes"),
        (["mice", "--unit", "px", "--crop", "labels"], "shown at different scales"),
        (["mice", "--unit", "cm"], "image or px"),
        (["mice", "--split", "day"], "no value of split called 'day'"),
        (["mice", "--labels", "eve"], "nobody called 'eve' labelled"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    words: list[str], said: str, run: Run, root: Path, tmp_path: Path
) -> None:
    code, text = run("data", "add", words[0], str(root), *words[1:])
    assert code == 2
    assert said in " ".join(text.split())
    assert not (tmp_path / "config").exists()


def test_what_a_user_has_to_mind_is_said(run: Run, root: Path) -> None:
    code, text = run("data", "add", "mice", str(root), "--test", "*/vid 1", "--k", "40")
    assert code == 0
    assert "only 6 labelled images test" in text
    assert "than the regression of 40 keypoints has numbers (81)" not in text
    code, text = run("data", "add", "mice", str(root), "--k", "60")
    assert "4 landmarks have fewer labels in training" in text
    assert "no symmetric score" in text


def test_only_what_was_added_is_removed(run: Run) -> None:
    code, text = run("data", "remove", "people_plain")
    assert code == 2 and "was not added" in text
    code, text = run("data", "remove", "mice")
    assert code == 2 and "no added protocol called 'mice'" in text


def test_a_broken_description_costs_its_own_row(run: Run, root: Path, tmp_path: Path) -> None:
    assert run("data", "add", "mice", str(root))[0] == 0
    text = described(tmp_path).read_text()
    broken = {
        "k = 'many'": "k = 'many' should be a whole number",
        "hat = 1": "nothing is called 'hat'",
        "unit = 'cm'": "known: image, px",
        "landmarks = [1]": "should be a list of texts",
    }
    for line, said in broken.items():
        key = line.partition(" ")[0]
        kept = [row for row in text.splitlines() if not row.startswith(f"{key} =")]
        described(tmp_path).write_text("\n".join([line, *kept]))
        with pytest.raises(DataError, match=said):
            read_description(described(tmp_path))
        code, shown = run("list", "protocols")
        assert code == 0 and "people_plain" in shown and "mice" in shown
    described(tmp_path).write_text("not TOML")
    code, shown = run("list", "protocols")
    assert code == 0 and "cannot be read" in shown
    assert run("show", "people_plain")[0] == 0
    code, shown = run("show", "mice")
    assert code == 2 and "mice.toml: not TOML" in shown
    described(tmp_path).write_text(text.replace('name = "mice"', 'name = "rats"'))
    with pytest.raises(InvalidInputError, match="should be as its file is"):
        load_protocol("mice")


def test_a_plugin_and_a_description_of_one_name_are_told(
    run: Run, root: Path, install: Install
) -> None:
    assert run("data", "add", "mice", str(root))[0] == 0
    from tests.conftest import TOY_PROTOCOL

    install("protocols", {"mice": TOY_PROTOCOL.replace('"toy_discs', '"mice')})
    assert "mice" not in available("protocols")
    [fault] = [fault for fault in faults("protocols") if fault.name == "mice"]
    assert "mice.toml" in str(fault.error)


WINGS = '''
"""Wings in a public repository."""
from kpbench import Dataset
from kpbench.data.dataset import Clone

DATASET = Dataset(
    name="wings", title="Wings", about="wings", licence="CC BY", source="there", layout="a.txt",
    clone=Clone("file://{place}", "{commit}", "data/wings", 7, "who labelled it"),
)
'''


@pytest.fixture
def public(tmp_path: Path, install: Install) -> Path:
    """Make a repository of two commits, of which the data set names the first."""
    repository = tmp_path / "public"
    (repository / "data" / "wings").mkdir(parents=True)
    (repository / "data" / "wings" / "a.txt").write_text("first")
    (repository / "other").mkdir()
    (repository / "other" / "big.bin").write_bytes(b"0" * 1000)

    def git(*words: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@e"]
        command = ["git", "-C", str(repository), *who, *words]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    git("config", "uploadpack.allowFilter", "true")
    git("add", "-A")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    (repository / "data" / "wings" / "a.txt").write_text("second")
    git("commit", "-qam", "second")
    source = WINGS.replace("{place}", str(repository)).replace("{commit}", commit)
    install("protocols", {"wings": source})
    return repository


def test_a_public_set_is_cloned_at_its_commit_and_found(
    run: Run, public: Path, tmp_path: Path
) -> None:
    code, text = run("data", "info", "wings")
    assert code == 0
    assert f"clone:   file://{public}" in text
    assert "folder:  data/wings, about 7 MB" in text
    assert "unclear: who labelled it" in text
    where = tmp_path / "clone"
    code, text = run("data", "fetch", "wings", str(where), "--yes")
    assert code == 0, text
    assert text.index("about 7 MB") < text.index("it lies in")
    assert (where / "data" / "wings" / "a.txt").read_text() == "first"
    assert not (where / "other").exists()
    assert locate.find_root("wings") == where / "data" / "wings"
    assert run("data", "fetch", "wings", str(where), "--yes")[0] == 0  # goes on where it was


def test_a_fetch_that_cannot_be_says_what_to_do(run: Run, public: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.txt").write_text("mine")
    code, text = run("data", "fetch", "wings", str(full), "--yes")
    assert code == 2 and "is not empty" in text
    code, text = run("data", "fetch", "taichi")
    assert code == 2 and "lies in no public repository" in text
    shutil.rmtree(public)
    code, text = run("data", "fetch", "wings", str(tmp_path / "clone"), "--yes")
    assert code == 2 and "kpbench data path NAME DIR" in " ".join(text.split())
    assert locate.find_root("wings") is None


@pytest.mark.parametrize("name", ["lips", "tongue", "mirror_mouse", "yt_faces", "fly_wings"])
def test_info_says_where_public_frames_are_and_what_is_unclear(name: str, run: Run) -> None:
    code, text = run("data", "info", name)
    assert code == 0
    assert "https://github.com/" in text and "unclear: " in text and "licence: " in text
    commit = text.partition("commit:  ")[2][:40]
    assert all(letter in "0123456789abcdef" for letter in commit)
    assert f"kpbench data fetch {name} DIR" in text
