"""`python -m tests.fuzz.by_hand SUBJECT`: feed a subject for minutes, led by what code its inputs reach.

See the README beside this file. Not run by CI: it needs a fuzzer that is no requirement of the project.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["breaker", "config", "proxy", "tests.fuzz", "yaml"]):
    from tests.fuzz.by_hand.seeds import DICTIONARY, SEEDS
    from tests.fuzz.subjects import SUBJECTS

HANG = 20
"""Seconds that one input may take."""
MEMORY = 2048
"""MiB that the process may take."""


def main() -> None:
    """Set up the fuzzer and hand over to it; it ends the process itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.by_hand")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--seconds", type=int, default=600, help="how long (600)")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept from run to run; else in a temporary folder")
    parser.add_argument("inputs", nargs="*", type=Path, help="files to be tried again, instead of fuzzing")
    arguments = parser.parse_args()
    subject = SUBJECTS[arguments.subject]
    if arguments.inputs:
        for path in arguments.inputs:
            subject(path.read_bytes())
        return
    corpus = arguments.corpus or Path(tempfile.mkdtemp(prefix="corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS[arguments.subject]:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    words = corpus.with_name(corpus.name + ".dict")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in DICTIONARY[arguments.subject]))
    options = [
        *(f"-max_total_time={arguments.seconds}", f"-timeout={HANG}", f"-rss_limit_mb={MEMORY}", "-max_len=20000"),
        *(f"-dict={words}", f"-artifact_prefix={corpus.parent}/found-", "-print_final_stats=1", str(corpus)),
    ]
    atheris.Setup([sys.argv[0], *options], subject)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """A word as a dictionary of libFuzzer's has it."""
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in word[:60])


if __name__ == "__main__":
    main()
