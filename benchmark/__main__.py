"""``python -m benchmark`` is ``prunebench``."""

from benchmark.cli.main import main

if __name__ == "__main__":
    main()
