"""The pages that the benchmark writes: `python -m bench.pages` renders them anew from the newest results."""

from __future__ import annotations

from bench import benchmarkpage, report, scalingpage, storepage, storerun


def benchmarks() -> str:
    """docs/benchmarks.md."""
    stores = storerun.newest()
    return benchmarkpage.render(report.newest(), "" if stores is None else storepage.render(stores))


def write() -> None:
    """Write all of them."""
    report.PAGE.write_text(benchmarks(), encoding="utf-8")
    for path, picture in benchmarkpage.pictures(report.newest()).items():
        path.write_text(picture, encoding="utf-8")
    stores = storerun.newest()
    if stores is not None:
        scalingpage.write(stores)


if __name__ == "__main__":
    write()
