"""`python -m tests.parity FOLDER`: one line a case with its largest absolute error; exit status 1 if one is too big."""
from __future__ import annotations

import sys
from pathlib import Path

from tests.parity.runner import run


def main(arguments: list[str]) -> int:
    """Exit status: 0 all within tolerance, 1 some not, 2 wrong use."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m tests.parity FOLDER (of fixtures: JSON headers beside safetensors files)\n")
        return 2
    cases = failed = 0
    for fixture, outcome in run(Path(arguments[0])):
        cases, failed = cases + 1, failed + (not outcome.holds)
        verdict = "ok  " if outcome.holds else "FAIL"
        sys.stdout.write(f"{verdict} {outcome.error:9.2e} (<= {outcome.tolerance:7.1e})  {fixture}: {outcome.case}\n")
    sys.stdout.write(f"{cases} cases, {failed} above their tolerance\n")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
