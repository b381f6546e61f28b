"""Who may import whom, as docs/design says: between rooms travel data, never objects."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"tasks", "runctl", "commands", "infra", "remote", "agent", "contract", "training", "localcloud"}
# Room -> what it may import of ours (longest prefix wins), and which libraries it must leave alone.
ALLOWED = {
    "tasks.py": {"commands"},
    "runctl": {"runctl", "commands.cli.process", "commands.program"},
    "commands": {"commands", "contract", "remote", "localcloud"},
    "infra": {"infra", "contract"},
    "agent": {"agent", "contract"},
    "contract": {"contract"},
    "remote": {"remote", "contract"},
    "training": {"training"},
    "localcloud": {"localcloud"},
}
FORBIDDEN = {
    "tasks.py": {"boto3", "botocore", "fabric", "pulumi", "pulumi_aws", "moto"},
    "commands": {"boto3", "botocore", "fabric", "pulumi", "pulumi_aws", "moto"},
    "infra": {"boto3", "botocore", "moto", "fabric"},
    "remote": {"pulumi", "pulumi_aws", "moto"},
    "training": {"boto3", "botocore", "moto", "fabric", "pulumi", "pulumi_aws"},
    "localcloud": {"fabric"},
}
SOURCES = sorted(path for room in OURS for path in [*ROOT.glob(f"{room}.py"), *ROOT.glob(f"{room}/**/*.py")])


def room_of(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return next(room for room in sorted(ALLOWED, key=len, reverse=True) if name == room or name.startswith(f"{room}/"))


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def is_under(module: str, prefixes: set[str]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    of_ours = {module for module in imports_of(path) if module.split(".")[0] in OURS}

    assert {module for module in of_ours if not is_under(module, ALLOWED[room])} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_leaves_alone_the_libraries_of_the_others(path: Path) -> None:
    forbidden = FORBIDDEN.get(room_of(path), set())

    assert {module for module in imports_of(path) if module.split(".")[0] in forbidden} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "agent").rglob("*.py")), ids=lambda path: path.name)
def test_the_agent_needs_nothing_but_the_standard_library_and_boto3(path: Path) -> None:
    tops = {module.split(".")[0] for module in imports_of(path)}

    assert tops - set(sys.stdlib_module_names) - {"boto3", "botocore", "s3transfer", "agent", "contract"} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "contract").rglob("*.py")), ids=lambda path: path.name)
def test_the_contract_needs_nothing_but_the_standard_library(path: Path) -> None:
    tops = {module.split(".")[0] for module in imports_of(path)}

    assert tops - set(sys.stdlib_module_names) - {"contract"} == set()


def test_the_outputs_contract_is_importable_without_pulumi() -> None:
    assert not {module for module in imports_of(ROOT / "contract" / "outputs.py") if "pulumi" in module}


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
    graph = {
        name: {module for module in map(nearest(names), imports_of(path)) if module} for name, path in names.items()
    }

    assert circle_in({name: needs - {name} for name, needs in graph.items()}) == []


def nearest(names: Mapping[str, Path]) -> Callable[[str], str]:
    """The module of ours that an import means: `remote.runs.run.Run` is in `remote.runs.run`."""
    return lambda text: (
        text if text in names else next((name for name in [text.rpartition(".")[0]] if name in names), "")
    )


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules that are left when those without needs are taken away again and again."""
    left = dict(graph)
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    return sorted(left)
