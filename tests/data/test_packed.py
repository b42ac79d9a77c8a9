"""Packing: the right pixels and labels, once, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kpbench.data.packing import packing
from kpbench.data.packing.journal import JOURNAL
from kpbench.data.packing.manifest import MANIFEST, TIMES
from kpbench.data.packing.packed import PackedSet, evenly_spaced
from kpbench.data.sample import read_sample
from kpbench.data.source import Rows
from kpbench.errors import CacheError, DataError, MissingDataError, StorageError
from tests.data.toy_source import HEIGHT, WIDTH, Toy, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "toy")
    return tmp_path / "toy"


def packed_set(
    root: Path, source: Toy | None = None, part: str = "train", limit: int | None = None
) -> PackedSet:
    return PackedSet("toy", 1, source or Toy(), root, part, limit, 16)


class StopError(Exception):
    pass


def stop_after(n: int) -> object:
    """Return a progress that raises when n chunks are finished."""
    calls = iter(range(n))  # the first call tells that none is

    def progress(done: int, total: int, text: str) -> None:
        if next(calls, None) is None:
            raise StopError

    return progress


def test_packed_images_are_those_of_the_files(root: Path) -> None:
    from PIL import Image

    wanted = packed_set(root)
    assert wanted.count_if_packed() is None
    with pytest.raises(MissingDataError, match="kpbench data prepare toy"):
        wanted.open()
    wanted.make()
    assert wanted.count_if_packed() == 8
    packed = wanted.open()
    table = json.loads((root / "table.json").read_text())["train"]
    for i, row in enumerate(table):
        image = Image.open(root / row["file"]).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(packed.images[i], np.asarray(image))
        assert packed.landmarks is not None
        np.testing.assert_allclose(
            packed.landmarks[i], np.array(row["points"]) / [WIDTH, HEIGHT], atol=1e-15
        )
    assert packed.boxes is not None
    assert packed.mask is not None
    assert packed.groups is not None
    assert packed.activities is not None
    np.testing.assert_allclose(packed.boxes[0], [10 / 40, 5 / 30, 20 / 40, 20 / 30])
    np.testing.assert_allclose(packed.aspect, WIDTH / HEIGHT)
    assert packed.mask[:, 8, 8].all()
    assert not packed.mask[:, 0, 0].any()
    assert packed.names.tolist() == [row["file"] for row in table]
    assert packed.groups.tolist() == [row["who"] for row in table]
    assert packed.activities.tolist() == [row["what"] for row in table]
    assert isinstance(packed.images, np.memmap)
    assert len(packed) == 8
    with pytest.raises(ValueError, match="read-only"):
        packed.images[0] = 0


def test_labels_of_single_files_and_absent_columns(root: Path) -> None:
    class Bare(Toy):
        def rows(self, root: Path, part: str) -> Rows:
            return Rows(super().rows(root, part).files)

    by_file = packed_set(root, Toy(annotation="files"))
    by_table, bare = packed_set(root), packed_set(root, Bare())
    for wanted in (by_file, by_table, bare):
        wanted.make()
    first, second = by_file.open().landmarks, by_table.open().landmarks
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)
    nothing = bare.open()
    for name in ("mask", "landmarks", "visible", "groups", "activities", "boxes"):
        assert getattr(nothing, name) is None, name


def test_processes_give_what_one_process_gives(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = packed_set(root)
    wanted.make()
    alone = {path.name: path.read_bytes() for path in wanted.folder.glob("*.npy")}
    digest = wanted.open().digest
    shutil.rmtree(wanted.folder)
    monkeypatch.setattr(packing, "CHUNK", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    wanted.make()
    assert {path.name: path.read_bytes() for path in wanted.folder.glob("*.npy")} == alone
    assert wanted.open().digest == digest
    assert not (wanted.folder / JOURNAL).exists()


def test_a_limit_takes_images_evenly(root: Path) -> None:
    wanted = packed_set(root, limit=3)
    wanted.make()
    assert wanted.open().names.tolist() == [f"train/{i:05d}.png" for i in (0, 2, 5)]
    assert evenly_spaced(8, 8).tolist() == list(range(8))


def test_other_arguments_files_and_places_lie_apart(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "other")
    sets = [
        packed_set(root),
        packed_set(root, Toy(background="black")),
        packed_set(root, part="test"),
        packed_set(root, limit=5),
        packed_set(tmp_path / "other"),
    ]
    assert len({wanted.folder for wanted in sets}) == len(sets)
    (tmp_path / "link").symlink_to(root)
    assert packed_set(tmp_path / "link").folder == packed_set(root).folder


def test_the_digest_is_that_of_the_content(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    shutil.copytree(root, tmp_path / "changed")
    table = json.loads((root / "table.json").read_text())
    table["train"][3]["who"] = "somebody else"
    (tmp_path / "changed" / "table.json").write_text(json.dumps(table))
    sets = [packed_set(root), packed_set(tmp_path / "copy"), packed_set(tmp_path / "changed")]
    sets += [packed_set(root, Toy(background="black")), packed_set(root, limit=7)]
    for wanted in sets:
        wanted.make()
    first, copy, *others = [wanted.open().digest for wanted in sets]
    assert first == copy
    assert len({first, *others}) == 4


@pytest.mark.parametrize("place", ["image", "mask", "landmark", "box"])
def test_the_digest_sees_each_change(root: Path, tmp_path: Path, place: str) -> None:
    from PIL import Image

    before = packed_set(root)
    before.make()
    shutil.copytree(root, tmp_path / "changed")
    table = json.loads((root / "table.json").read_text())
    if place in ("image", "mask"):
        path = tmp_path / "changed" / f"train/00002{'.mask' if place == 'mask' else ''}.png"
        pixels = np.array(Image.open(path))
        pixels[7, 11] ^= 1
        Image.fromarray(pixels).save(path)
    elif place == "landmark":
        table["train"][2]["points"][1][0] += 0.01
    else:
        table["train"][2]["box"][3] += 1
    (tmp_path / "changed" / "table.json").write_text(json.dumps(table))
    after = packed_set(tmp_path / "changed")
    after.make()
    assert before.open().digest != after.open().digest


def test_what_was_finished_is_not_done_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    wanted = packed_set(root)
    with pytest.raises(StopError):
        wanted.make(stop_after(2))  # type: ignore[arg-type]
    noted = [json.loads(line) for line in (wanted.folder / JOURNAL).read_text().splitlines()[1:]]
    assert [entry["start"] for entry in noted] == [0, 2]
    assert wanted.count_if_packed() is None
    seen: list[int] = []
    original = packing.pack_chunk

    def spy(*args: object) -> object:
        seen.append(args[5])  # type: ignore[arg-type]
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "pack_chunk", spy)
    wanted.make()
    assert seen == [4, 6]
    wanted.check()


def test_a_chunk_that_did_not_reach_the_disk_is_packed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    wanted, whole = packed_set(root), packed_set(root, part="train", limit=8)
    whole.make()
    with pytest.raises(StopError):
        wanted.make(stop_after(2))  # type: ignore[arg-type]
    np.load(wanted.folder / "images.npy", mmap_mode="r+")[1] = 0
    with (wanted.folder / JOURNAL).open("a") as journal:
        journal.write('{"start": 4, "sha')  # and the last line is cut off
    wanted.make()
    np.testing.assert_array_equal(wanted.open().images, whole.open().images)


def test_a_changed_listing_starts_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    wanted = packed_set(root)
    with pytest.raises(StopError):
        wanted.make(stop_after(2))  # type: ignore[arg-type]
    table = json.loads((root / "table.json").read_text())
    table["train"] = table["train"][1:]
    (root / "table.json").write_text(json.dumps(table))
    wanted.make()
    assert wanted.open().names.tolist() == [f"train/{i:05d}.png" for i in range(1, 8)]


SCRIPT = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from kpbench.data.packing import packing
from kpbench.data.packing.packed import PackedSet
from tests.data.toy_source import Toy

class Slow(Toy):  # known to no process but this one
    def finish(self, image, mask):
        time.sleep(float(sys.argv[2]))
        return super().finish(image, mask)

packing.CHUNK = 4
wanted = PackedSet("toy", 1, Slow(), Path(sys.argv[1]), "train", None, 16)
wanted.make()
print(wanted.open().digest)
"""


def start_script(folder: Path, root: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Start a script that packs on two cores and has no `if __name__ == "__main__"`."""
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "2"}
    # into files: processes of a killed script keep a pipe open until they find nothing to do
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        return subprocess.Popen(
            [sys.executable, str(folder / "script.py"), str(root), str(seconds)],
            env=environment,
            stdout=out,
            stderr=err,
        )


def test_a_killed_script_is_taken_up_by_two_others(tmp_path: Path, own_cache: Path) -> None:
    write(tmp_path / "toy", n_train=48, n_test=1)
    killed = start_script(tmp_path / "killed", tmp_path / "toy", 0.02)
    deadline, noted = time.monotonic() + 60, 0
    while time.monotonic() < deadline and killed.poll() is None and noted < 2:
        noted = sum(len(p.read_text().splitlines()) - 1 for p in own_cache.rglob(JOURNAL))
        time.sleep(0.02)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert noted >= 2
    assert not list(own_cache.rglob(MANIFEST))
    both = [start_script(tmp_path / name, tmp_path / "toy", 0.0) for name in ("a", "b")]
    assert [script.wait(timeout=60) for script in both] == [0, 0]
    assert (tmp_path / "a/out").read_text() == (tmp_path / "b/out").read_text() != ""
    assert (tmp_path / "a/err").read_text() == (tmp_path / "b/err").read_text() == ""


def test_threads_at_once(root: Path) -> None:
    wanted = packed_set(root)
    threads = [threading.Thread(target=wanted.make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted.check()


def test_waiting_for_another_process_is_told(root: Path) -> None:
    from filelock import FileLock

    wanted, told = packed_set(root), []
    wanted.folder.mkdir(parents=True)
    lock = FileLock(wanted.folder / "lock")
    lock.acquire()

    def progress(done: int, total: int, text: str) -> None:
        told.append(text)
        lock.release()

    wanted.make(progress)
    assert told[0].startswith("waiting for another process")
    assert wanted.count_if_packed() == 8


def test_all_broken_images_are_counted_and_five_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    good = (root / "train/00003.png").read_bytes()
    for i in range(1, 7):
        (root / f"train/{i:05d}.png").write_bytes(good[:200])
    (root / "train/00002.png").unlink()
    wanted = packed_set(root)
    with pytest.raises(DataError, match="6 of 8 images") as caught:
        wanted.make()
    text = str(caught.value)
    assert all(f"train/{i:05d}.png" in text for i in range(1, 6))
    assert "train/00006.png" not in text
    assert "kpbench data verify toy" in text
    assert wanted.count_if_packed() is None
    for i in range(1, 7):
        (root / f"train/{i:05d}.png").write_bytes(good)
    wanted.make()
    assert len(wanted.open()) == 8


def test_images_of_other_landmark_counts_are_broken(root: Path) -> None:
    (root / "train/00004.json").write_text("[[1, 2], [3, 4]]")
    wanted = packed_set(root, Toy(annotation="files"))
    with pytest.raises(DataError, match=r"1 of 8 images.*\(2, 2\).*\(3, 2\)"):
        wanted.make()


def test_no_readable_annotation_at_all(root: Path) -> None:
    for path in root.glob("train/*.json"):
        path.write_text("nonsense")
    with pytest.raises(DataError, match="8 of 8 images"):
        packed_set(root, Toy(annotation="files")).make()


def test_no_images_no_table_no_folder(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="kpbench data path toy"):
        packed_set(tmp_path / "nowhere").make()
    (root / "table.json").write_text('{"train": []}')
    with pytest.raises(DataError, match="no images of the part 'train'"):
        packed_set(root).make()
    (root / "table.json").unlink()
    with pytest.raises(DataError, match=r"table\.json"):
        packed_set(root).make()


def test_packed_images_outlive_the_files(root: Path) -> None:
    wanted = packed_set(root)
    wanted.make()
    shutil.rmtree(root)
    wanted.make()
    assert len(wanted.open()) == 8


def alter(path: Path, *, keep_time: bool) -> None:
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    if keep_time:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))


@pytest.mark.parametrize("name", ["images", "mask", "landmarks", "groups", "names"])
def test_altered_packed_images_are_found(root: Path, name: str) -> None:
    wanted = packed_set(root)
    wanted.make()
    alter(wanted.folder / f"{name}.npy", keep_time=False)
    with pytest.raises(CacheError, match="delete the folder"):
        wanted.open()
    with pytest.raises(CacheError, match="delete the folder"):
        wanted.open()  # and not only once


def test_an_alteration_that_hides_its_time_is_found_by_check(root: Path) -> None:
    wanted = packed_set(root)
    wanted.make()
    alter(wanted.folder / "images.npy", keep_time=True)
    wanted.open()
    with pytest.raises(CacheError, match=r"train/00000\.png"):
        wanted.check()


@pytest.mark.parametrize("damage", ["truncated", "missing", "longer", "another type", "manifest"])
def test_damaged_packed_images_are_found(root: Path, damage: str) -> None:
    wanted = packed_set(root)
    wanted.make()
    path = wanted.folder / "images.npy"
    if damage == "missing":
        path.unlink()
    elif damage == "manifest":
        (wanted.folder / MANIFEST).write_text('{"count": 8}')
    elif damage == "another type":
        np.save(path, np.load(path).view(np.int8))
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] if damage == "truncated" else data + b"\0")
    for act in (wanted.open, wanted.check):
        with pytest.raises(CacheError, match="delete the folder"):
            act()


def test_copied_packed_images_are_hashed_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kpbench.data.packing import manifest

    wanted = packed_set(root)
    wanted.make()
    hashed: list[object] = []
    original = manifest.check_chunks

    def spy(*args: object) -> None:
        hashed.append(args)
        original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(manifest, "check_chunks", spy)
    wanted.open()
    assert hashed == []
    os.utime(wanted.folder / "mask.npy")
    wanted.open()
    wanted.open()
    assert len(hashed) == 1
    (wanted.folder / TIMES).write_text("nonsense")
    wanted.open()
    wanted.open()
    assert len(hashed) == 1  # this process knows these times


def test_a_cache_that_cannot_be_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kpbench.data.packing import manifest

    wanted = packed_set(root)
    wanted.make()
    (wanted.folder / TIMES).unlink()

    def refuse(path: Path, data: bytes) -> None:
        raise StorageError("read-only")

    monkeypatch.setattr(manifest, "write_atomically", refuse)
    assert len(wanted.open()) == 8
    wanted.make()
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("KPBENCH_CACHE", str(blocked))
    with pytest.raises(StorageError, match="KPBENCH_CACHE"):
        wanted.make()


def test_too_little_space_is_said_before_anything_is_decoded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(path: object) -> object:
        return type("Usage", (), {"free": 1000})

    monkeypatch.setattr("shutil.disk_usage", usage)
    monkeypatch.setattr(packing, "read_sample", None)
    with pytest.raises(StorageError, match=r"needs 0\.0 GB .* KPBENCH_CACHE"):
        packed_set(root).make()


def stored(root: Path, image: Image.Image, **options: Any) -> None:
    """Put an image in the place of the first that trains."""
    image.save(root / "train/00000.png", **options)


def lying() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_images_of_every_mode_are_packed_as_they_look(root: Path) -> None:
    """A constant image stays so, whatever it is resized to: its colour is the right value."""
    images = {
        (64, 64, 64): (Image.new("I;16", (WIDTH, HEIGHT), 16384), {}),
        (9, 9, 9): (Image.new("L", (WIDTH, HEIGHT), 9), {}),
        (255, 255, 255): (Image.new("RGBA", (WIDTH, HEIGHT), (200, 0, 0, 0)), {}),
        (1, 2, 3): (Image.new("RGB", (HEIGHT, WIDTH), (1, 2, 3)), {"exif": lying()}),
    }
    digests = set()
    for colour, (image, options) in images.items():
        stored(root, image, **options)
        rows = Toy().rows(root, "train")
        sample = read_sample(root, Toy(), rows, 0, 16)
        assert sample.image.reshape(-1, 3).tolist() == [list(colour)] * 256
        assert sample.aspect == WIDTH / HEIGHT
        digests.add(sample.digest)
    assert len(digests) == len(images)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16"])
def test_a_digest_is_that_of_the_files_unless_the_rule_changed_the_image(
    mode: str, root: Path
) -> None:
    """So the records of ordinary images stay what they were before the rule was."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9))
    wide = Image.new("I;16", (WIDTH, HEIGHT), 16384)
    stored(root, wide if mode == "I;16" else image.convert(mode), format="tiff")
    rows = Toy().rows(root, "train")
    sample = read_sample(root, Toy(), rows, 0, 16)
    assert sample.landmarks is not None and sample.visible is not None and sample.box is not None
    content = [(root / f"train/00000{end}").read_bytes() for end in (".png", ".mask.png")]
    content += [sample.landmarks.tobytes(), sample.visible.tobytes()]
    content += [np.array([0.0, 0.0, WIDTH, HEIGHT]).tobytes(), sample.box.tobytes()]
    same = sample.digest == hashlib.sha256(b"".join(content)).digest()
    assert same == (mode != "I;16"), "data verify finds what was packed white"
