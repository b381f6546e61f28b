"""The program runs as Pulumi's language host runs it."""

from __future__ import annotations

from pathlib import Path

from tests.unit.localcloud.deployer.test_run import Toy


def test_a_program_is_a_folder_whose_files_import_each_other(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    (tmp_path / "program/helper.py").write_text("WORD = 'found'")
    assert toy.up("import helper, pulumi; pulumi.export('word', helper.WORD)").outputs == {"word": "found"}


def test_a_program_knows_whether_it_is_a_preview(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    program = "import pulumi; pulumi.export('dry', pulumi.runtime.is_dry_run())"
    assert [toy.up(program, preview=preview).outputs for preview in (True, False)] == [{"dry": True}, {"dry": False}]
