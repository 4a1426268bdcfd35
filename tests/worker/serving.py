"""The verb `serve` as a module, for torchrun to start."""

import sys

from worker.serve import run


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], say))
