"""Inputs that are worth trying again, one file for each target: Python's bytes, one a line."""

from ast import literal_eval
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("corpus")


def read(target: str) -> list[bytes]:
    lines = (FOLDER / f"{target}.txt").read_text("ascii").splitlines()
    return [literal_eval(line) for line in lines]


def write(target: str, inputs: Iterable[bytes]) -> None:
    """The shortest first; each once."""
    lines = (ascii(each) for each in sorted(set(inputs), key=lambda each: (len(each), each)))
    (FOLDER / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")
