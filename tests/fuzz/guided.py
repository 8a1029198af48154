"""Fuzzing for as long as one likes, guided by what the inputs reach in the code: `make fuzz`.

Each target has a process of its own, under atheris (libFuzzer). What reaches something new stays in
`.venv/fuzz` for the next time, and what fails ends there in a file with `crash` in its name.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from tests.fuzz import corpus

ROOT: Final = Path(__file__).resolve().parents[2]
WORK: Final = ROOT / ".venv" / "fuzz"
COMMANDS: Final = "commands"
NAMES: Final = ("json", "msgpack", "frames", "polling", COMMANDS)
LONGEST: Final = 4_096
"""Bytes of an input."""
HANGS_S: Final = 20
"""An input that takes longer has hung."""
WATCHED: Final = (
    "realtime/wire.py",
    "realtime/engine.py",
    "realtime/websocket.py",
    "realtime/gateway.py",
    "realtime/payloads.py",
    "realtime/rides.py",
    "_websocket/reader_py.py",
)
READER: Final = "aiohttp._websocket.reader_py"
PURE: Final = {"AIOHTTP_NO_EXTENSIONS": "1"}
"""aiohttp's reader of frames in Python, which is the source of the compiled one: only what an
input reaches in Python is seen."""


def fuzz(name: str, options: list[str]) -> None:
    """Run one target in this process, which ends with it."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

    with atheris.instrument_imports(
        include=["realtime", "models", "handlers", "aiohttp._websocket"]
    ):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - what is imported here is watched
        from tests.fuzz.test_commands import (  # noqa: PLC0415
            test_whatever_is_sent_is_answered_and_what_is_refused_changes_nothing as commands,
        )

    given: Any = commands  # what hypothesis makes of a test has more than its type tells
    targets = TARGETS | {COMMANDS: given.hypothesis.fuzz_one_input}
    atheris.Setup([sys.argv[0], *options], targets[name])
    atheris.Fuzz()


def run(name: str, *options: str) -> int:
    """Run one target in a process of its own; its exit status."""
    command = [sys.executable, "-m", "tests.fuzz.guided", "--target", name, "--", *options]
    return subprocess.run(command, cwd=ROOT, env=os.environ | PURE, check=False).returncode  # noqa: S603


def unpacked(name: str) -> Path:
    """The corpus as files, as libFuzzer reads it, beside what it found before."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    if name != COMMANDS:
        for number, data in enumerate(corpus.read(name)):
            (folder / f"corpus-{number}").write_bytes(data)
    return folder


def search(name: str, seconds: int) -> int:
    """Look for inputs that fail, for so long."""
    return run(
        name,
        str(unpacked(name)),
        f"-artifact_prefix={WORK}/{name}-",
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={HANGS_S}",
        "-print_final_stats=1",
        "-verbosity=0",
    )


def keep(name: str) -> int:
    """Add what was found to the corpus of the repository, where it reaches lines that nothing else
    there does; how many inputs.
    """
    os.environ.update(PURE)
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - after it is known which aiohttp

    kept = corpus.read(name)
    known = {line for data in kept for line in _reached(TARGETS[name], data)}
    found = sorted((each.read_bytes() for each in (WORK / name).iterdir()), key=len)
    for data in found:
        reached = _reached(TARGETS[name], data)
        if not reached <= known:
            known |= reached
            kept.append(data)
    added = len(set(kept)) - len(corpus.read(name))
    corpus.write(name, kept)
    return added


def _reached(target: Callable[[bytes], None], data: bytes) -> set[tuple[CodeType, int]]:
    """The lines of code that an input reaches."""
    reached: set[tuple[CodeType, int]] = set()

    def note(frame: FrameType, _event: str, _about: object) -> Any:
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        reached.add((frame.f_code, frame.f_lineno))
        return note

    sys.settrace(note)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--keep", action="store_true", help="what was found, in the repository")
    parser.add_argument("--target", choices=NAMES, help="one target, in this process")
    parser.add_argument("options", nargs="*", help="libFuzzer's")
    given = parser.parse_args()
    if given.target is not None:
        fuzz(given.target, given.options)
        return
    failed = [name for name in NAMES if search(name, given.seconds)]
    if given.keep:
        for name in set(NAMES) - {COMMANDS}:
            print(f"{name}: {keep(name)} new in the corpus")  # noqa: T201 - what it is for
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}. The inputs are in {WORK}, as files.")


if __name__ == "__main__":
    main()
