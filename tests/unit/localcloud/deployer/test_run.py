"""A deployment from the caller's side: a real process runs a real Pulumi program, here one that needs no cloud."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localcloud import deployer
from localcloud.deployer import DeployError, Event
from tests.support.toy_project import ENDPOINT, Toy

ROOT = Path(__file__).parents[4]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_a_program_gets_its_configuration_and_gives_its_exports(toy: Toy) -> None:
    result = toy.up(
        """
        import os, pulumi
        class Box(pulumi.ComponentResource):
            def __init__(self, name):
                super().__init__("toy:index:Box", name, {})
                self.register_outputs({"x": 1})
        Box("box")
        pulumi.export("word", pulumi.Config().require("word"))
        pulumi.export("stack", pulumi.get_stack())
        pulumi.export("password", pulumi.Output.secret("hunter2"))
        pulumi.export("cwd", os.path.basename(os.getcwd()))
        pulumi.export("root", pulumi.get_root_directory())
        print("printed by the program")
        pulumi.log.warn("careful")
        """,
        word="goodbye",
    )
    expected = {"word": "goodbye", "stack": "local", "password": "[secret]", "cwd": "program", "root": str(toy.root)}
    assert result.outputs == expected
    assert deployer.outputs("local", state_dir=toy.root / "state") == expected
    assert {"printed by the program", "careful"} <= set(toy.said())


def test_a_stack_that_was_never_deployed_has_no_outputs(tmp_path: Path) -> None:
    assert deployer.outputs("local", state_dir=tmp_path) is None


def test_a_preview_leaves_no_state(toy: Toy) -> None:
    toy.up("import pulumi; pulumi.export('x', 1)", preview=True)
    assert deployer.outputs("local", state_dir=toy.root / "state") is None


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("1 / 0", "the program failed: ZeroDivisionError: division by zero (__main__.py:1)"),
        ("import pulumi; raise pulumi.RunError('set the owner')", "the program refused: set the owner"),
        ("raise SystemExit(3)", "the program failed: SystemExit: 3 (__main__.py:1)"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_what_a_program_raises_is_said_in_one_line(toy: Toy, program: str, message: str) -> None:
    with pytest.raises(DeployError) as caught:
        toy.up(program)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_process_that_dies_says_its_last_words(toy: Toy) -> None:
    with pytest.raises(DeployError, match=r"ended without an answer: (?s:.*)famous last words"):
        toy.up("import os; print('famous last words', flush=True); os._exit(9)")


def test_a_program_may_print_what_is_no_text(toy: Toy) -> None:
    toy.up("import os; os.write(1, bytes([255, 10]))")
    assert "\N{REPLACEMENT CHARACTER}" in toy.said()


def test_the_callers_account_does_not_reach_the_program(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    result = toy.up("import os, pulumi; pulumi.export('profile', os.environ.get('AWS_PROFILE', ''))")
    assert result.outputs == {"profile": ""}


def test_a_listener_that_fails_ends_the_deployment(toy: Toy) -> None:
    class TooMuchError(Exception):
        pass

    def listen(_event: Event) -> None:
        raise TooMuchError

    (toy.root / "program/__main__.py").write_text("import pulumi; pulumi.log.warn('x')")
    with pytest.raises(TooMuchError):
        deployer.up(toy.root, "local", endpoint=ENDPOINT, state_dir=toy.root / "state", on_event=listen)


def test_importing_the_deployer_is_cheap() -> None:
    code = "import sys, localcloud.deployer; sys.exit(bool({'pulumi', 'boto3', 'moto', 'grpc', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_program_of_another_project_does_not_take_a_stack_over(toy: Toy) -> None:
    toy.up("import pulumi\nclass Box(pulumi.ComponentResource): ...\nBox('toy:index:Box', 'box', {})\n")
    description = toy.root / "Pulumi.yaml"
    description.write_text(description.read_text().replace("name: toy", "name: webshop"))

    with pytest.raises(DeployError, match="belongs to the Pulumi project 'toy', not to 'webshop'"):
        toy.up("")

    assert deployer.owner("local", state_dir=toy.root / "state") == "toy"


def test_a_program_imports_the_packages_beside_it_and_not_those_of_the_deployer(toy: Toy) -> None:
    (toy.root / "infra").mkdir()
    (toy.root / "infra/__init__.py").write_text("WHOSE = 'of the project'\n")

    assert toy.up("import infra, pulumi\npulumi.export('whose', infra.WHOSE)\n").outputs == {"whose": "of the project"}
