"""What modules import, read off the source: lazy, relative, re-exported; never what types need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kpbench.files.python_imports import Import, Modules, imports_of
from kpbench.files.python_source import code_hash

FILES = {
    "__init__": """
        TYPE_CHECKING = False
        if TYPE_CHECKING:
            from house.door import Chair, Table, lamp
        else:
            def __getattr__(name): ...
        """,
    "door": "from house.wood.chair import Chair\nfrom house.wood.table import Table\nlamp = 1",
    "wood/__init__": "",
    "wood/chair": "def sit():\n    from . import leg\n    from ..metal import screw",
    "wood/table": "from house.wood.leg import length",
    "wood/leg": "length = 1",
    "metal/__init__": "from house.metal.screw import turn",
    "metal/screw": "turn = 1",
    "metal/rust": "import house.wood.table",
    "lone": """
        from typing import TYPE_CHECKING
        import json
        if TYPE_CHECKING:
            import house.metal.rust
        if not TYPE_CHECKING:
            from house import Chair
        else:
            from house.metal import rust
        """,
}


@pytest.fixture
def house(tmp_path: Path) -> Modules:
    folder = tmp_path / "house"
    for name, text in FILES.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line.removeprefix("        ") for line in text.splitlines()]
        path.write_text("\n".join(lines) + "\n")
    return Modules("house", folder, ("house", "house.door"))


def reached(house: Modules, *start: str) -> set[str]:
    return {name.removeprefix("house.") for name in house.reached([f"house.{s}" for s in start])}


def test_lazy_and_relative_imports_are_followed(house: Modules) -> None:
    assert reached(house, "wood.chair") == {
        "wood", "wood.chair", "wood.leg", "metal", "metal.screw",
    }  # fmt: skip
    assert reached(house, "wood.table") == {"wood", "wood.table", "wood.leg"}


def test_a_name_is_followed_through_doors_to_where_it_is_defined(house: Modules) -> None:
    def through(text: str) -> set[str]:
        path = house.folder / "user.py"
        path.write_text(text)
        return set(house.imported(imports_of(path, "elsewhere.user")))

    assert through("from house import Table") == {"house.wood.table"}
    assert through("from house.door import Table as T") == {"house.wood.table"}
    assert through("from house import lamp") == {"house.door"}, "what a door defines is its own"
    assert through("from house import wood") == {"house.wood"}
    assert through("import house.metal.screw as s") == {"house.metal.screw"}
    assert through("import house") == {"house.wood.chair", "house.wood.table", "house.door"}
    assert through("from house_of_cards import Table") == set()


def test_what_only_types_need_is_not_reached(house: Modules) -> None:
    found = reached(house, "lone")
    assert "metal.rust" not in found and "wood.chair" in found
    imports = imports_of(house.folder / "lone.py", "house.lone")
    assert Import("house.metal.rust", (), typing=True) in imports
    assert Import("house.metal", ("rust",), typing=True) in imports


def test_a_change_of_a_module_is_seen_at_once(house: Modules) -> None:
    path = house.folder / "wood" / "leg.py"
    path.write_text("from house.metal import rust\n")
    assert "metal.rust" in reached(house, "wood.table")


def test_a_source_that_is_no_python_is_an_error(house: Modules) -> None:
    (house.folder / "wood" / "leg.py").write_text("def broken(:\n")
    with pytest.raises(SyntaxError):
        reached(house, "wood.table")


def test_static_analysis_finds_what_python_loads() -> None:
    """All that importing a module loads of kpbench is found without importing it."""
    core = Modules("kpbench", Path(__file__).parents[2] / "kpbench")
    for module in ("kpbench.running.measure", "kpbench.people.protocol", "kpbench.nn.detector"):
        script = (
            f"import sys, {module}; print(*(m for m in sys.modules if m.startswith('kpbench.')))"
        )
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        loaded = set(done.stdout.decode().split())
        assert len(loaded) > 10 and loaded <= core.reached([module]).keys()


def hashed(path: Path, text: str) -> str:
    path.write_text(text)
    return code_hash(path)


def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    plain = hashed(path, "class A:\n    def f(self, x):\n        return (x + 1)\n")
    said = '"""Module."""\n\n\nclass A:\n    """A."""\n\n    # why\n'
    assert hashed(path, said + '    def f(self, x):\n        "f."\n        return x + 1\n') == plain
    for other in ("x + 2", "x - 1", "x + 1.0", "'x + 1'", "x + True"):
        assert hashed(path, f"class A:\n    def f(self, x):\n        return {other}\n") != plain
    assert hashed(path, "x = None\n") != hashed(path, "x = ()\n") != hashed(path, "x = ''\n")
    assert hashed(path, "x: int\n") != hashed(path, "x: str\n")
