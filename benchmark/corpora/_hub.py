"""What ``datasets`` loads: folders of ``save_to_disk``, and names on the hub at one commit; its errors in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.errors import DataError

_SCRIPT = "scripts are no longer supported"  # as datasets 4 and later say it (datasets/load.py)


def saved(folder: Path) -> dict[str, Any]:
    """Return the splits of a folder made by ``save_to_disk``; a single ``Dataset`` is the split that it was cut from.

    Raises:
        DataError: the folder was not made so, or cannot be read.
    """
    from datasets import Dataset, load_from_disk

    try:
        found = load_from_disk(str(folder))
    except Exception as error:  # there is no end to what is raised at files that are odd
        raise DataError(
            f"corpus 'dataset': {folder} cannot be opened: {_line(error)}; it takes what save_to_disk of datasets wrote"
        ) from None
    return {str(found.split or "train"): found} if isinstance(found, Dataset) else dict(found)


def fetched(source: str, config: str | None, commit: str, data_dir: str | None) -> dict[str, Any]:
    """Return the splits of a data set on the hub; what the cache of ``datasets`` holds is not fetched again.

    Raises:
        DataError: it is not there or not to be had, is a script, or the cache alone is there with another commit.
    """
    import datasets

    try:
        builder = datasets.load_dataset_builder(source, config, data_dir=data_dir, revision=commit)
        if builder.hash == commit:
            builder.download_and_prepare()
            return dict(builder.as_dataset())
    except Exception as error:  # of datasets, huggingface_hub, pyarrow, and whatever they send requests with
        raise DataError(f"corpus 'dataset': {source} at commit {commit[:12]} {_reason(error)}") from None
    # Without a network, datasets serves whatever commit its cache has last, with no more than a warning.
    raise DataError(
        f"corpus 'dataset': {source} cannot be had at commit {commit[:12]}: the hub is out of reach, and the last that "
        f"the cache of datasets holds is {str(builder.hash)[:12]}; load it once with a network"
    )


def _reason(error: Exception) -> str:
    import datasets

    if _SCRIPT in str(error):
        return (
            f"is a loading script, which datasets {datasets.__version__} does not run; take a copy in parquet, e.g. "
            "revision: <commit of its branch refs/convert/parquet>, data_dir: <configuration>"
        )
    if isinstance(error, ConnectionError):
        return f"cannot be loaded: {_line(error)}; it needs a network, or to have been loaded here before"
    return f"cannot be loaded: {_line(error)}"


def _line(error: Exception) -> str:
    """Return what an error says, in one line; what caused it where it says no more than that something failed."""
    said = " ".join(f"{error}".split()) or type(error).__name__
    if error.__cause__ is not None and type(error).__name__ == "DatasetGenerationError":
        said = f"{said}: {' '.join(str(error.__cause__).split())}"
    return said[:300]
