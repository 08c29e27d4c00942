#!/usr/bin/env python3
"""The kernels one by one: time beside stock's launches, and tile sizes for the table.

    micro.py run OUT [--variants E2B,E4B] [--rows 1,8,32] [--seconds 170]
    micro.py tune OUT [--variants E2B] [--rows 1,8] [--seconds 170]
    micro.py decode OUT [--variants E2B,E4B] [--rows 64,100] [--kinds sliding] [--seconds 170]
    micro.py show OUT

``run`` writes OUT/micro-GPU.json: microseconds of a call within a CUDA graph, fused and stock,
bytes a second of it and of a copy, and whether the result is that of the reference. ``tune``
tries tiles for every product (compiling in parallel processes), writes OUT/tune-GPU.json and
prints rows for ``gemma4ctl/sglang_model/kernels/configs.py``. ``decode`` tries ways to split the
attention of many requests, and stock's, into OUT/decode-GPU.json. All go on where an earlier call
stopped, and begin nothing more after ``--seconds``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parent))

import cases
import crowds
import graphs
import servers
import tiles
import torch
from shared import write

Record = dict[str, Any]
T = TypeVar("T")
FILES = {"run": "micro"}


def main(arguments: list[str] | None = None) -> None:
    """Run a command."""
    options = parsed(arguments)
    if options.command == "show":
        for path in sorted(options.out.glob("*.json")):
            show(json.loads(path.read_text()))
        return
    gpu = servers.gpus()[0]
    path = options.out / f"{FILES.get(options.command, options.command)}-{gpu.short}.json"
    record = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    record |= {**servers.host(gpu), "command": sys.argv}
    deadline = time.monotonic() + options.seconds
    work = {"tune": tune, "decode": crowd}.get(options.command, run)
    for name, row in work(options, record, deadline):
        record["rows"][name] = row
        write(path, record)
    show(record)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "tune", "decode", "show"))
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--variants", default="E2B,E4B,12B,26B-A4B,31B")
    parser.add_argument("--rows", default="1,8")
    parser.add_argument("--kinds", default="sliding,full", help="layers that `decode` attends in")
    parser.add_argument("--seconds", type=float, default=170)
    return parser.parse_args(arguments)


def missing(
    named: Iterable[tuple[str, T]], record: Record, deadline: float
) -> Iterator[tuple[str, T]]:
    """What the record has not yet, until there is no time for more."""
    for name, one in named:
        if name in record["rows"]:
            continue
        if time.monotonic() > deadline:
            print(f"stopped before {name}: call again to go on", file=sys.stderr)
            return
        yield name, one


def about(record: Record) -> None:
    """Note what a copy reaches, and whose launches the kernels are compared with."""
    if "copy_bytes_per_second" not in record:
        record["copy_bytes_per_second"] = graphs.copy_bandwidth()
    record["against"] = cases.stock().against


def wanted(options: argparse.Namespace) -> tuple[list[str], list[int]]:
    """Variants and numbers of rows."""
    return options.variants.split(","), list(map(int, options.rows.split(",")))


def run(options: argparse.Namespace, record: Record, deadline: float) -> Iterator[tuple[str, Any]]:
    """Every case that the record has not yet."""
    about(record)
    every = (
        (f"{variant} {rows} {case.name}", (case, rows))
        for variant, rows in product(*wanted(options))
        for case in cases.cases(cases.VARIANTS[variant], rows)
    )
    for name, (case, rows) in missing(every, record, deadline):
        yield name, measured(case, rows, record["copy_bytes_per_second"])


def crowd(
    options: argparse.Namespace, record: Record, deadline: float
) -> Iterator[tuple[str, Any]]:
    """Attention of many requests in every layer that the record has not yet."""
    about(record)
    variants, rows = wanted(options)
    crowds.compile_all(variants)
    every = crowds.every_case(variants, rows, options.kinds.split(","))
    for name, case in missing(every, record, deadline):
        yield name, crowds.measured(case, difference)
    tiles.stop()


def measured(case: cases.Case, rows: int, bandwidth: float) -> Record:
    """A case's times; an error instead where it does not run."""
    try:
        off = difference(*case.make(0))
        fused, stock = zip(*(case.make(number) for number in range(case.copies)), strict=True)
        ours, theirs = graphs.microseconds(fused), graphs.microseconds(stock)
    except Exception as error:
        return {"rows": rows, "error": f"{type(error).__name__}: {error}"}
    return {
        "rows": rows,
        "bytes": case.bytes,
        "fused_us": round(ours, 3),
        "stock_us": round(theirs, 3),
        "ratio": round(theirs / ours, 3),
        "share_of_copy": round(case.bytes / (1e-6 * ours) / bandwidth, 3),
        "difference": off,
    }


def difference(fused: Callable[[], Any], stock: Callable[[], Any]) -> float | None:
    """Norm of the difference of the results as a share; None where stock's call returns none."""
    got = fused()
    got = got[0] if isinstance(got, tuple) else got
    expected = stock()
    if not isinstance(got, torch.Tensor) or not isinstance(expected, torch.Tensor):
        return None
    return round(float((got.float() - expected.float()).norm() / expected.float().norm()), 5)


def tune(options: argparse.Namespace, record: Record, deadline: float) -> Iterator[tuple[str, Any]]:
    """The fastest tiles of every product that the record has not yet."""
    variants, batches = wanted(options)
    products = {
        tiles.name(one, rows): (one, rows)
        for variant in variants
        for rows in batches
        for one in cases.products(cases.VARIANTS[variant])
        if one.name != "output layer"  # stays SGLang's
    }
    for name, (one, rows) in missing(products.items(), record, deadline):
        yield name, tiles.best(one, rows)
    tiles.stop()


def show(record: Record) -> None:
    """Print the rows."""
    if "copy_bytes_per_second" in record:
        speed = record["copy_bytes_per_second"] / 1e12
        print(f"copy {speed:.2f} TB/s, against {record['against']}")
    for name, row in record["rows"].items():
        if "error" in row:
            print(f"{name:44} {row['error']}")
        elif "fused_us" in row:
            print(
                f"{name:44} {row['fused_us']:9.2f} us, stock {row['stock_us']:9.2f}: "
                f"{row['ratio']:.2f}x, {row['share_of_copy']:.0%} of a copy"
            )
        elif "fastest" in row:
            speed = row["bytes"] / row["us"] / 1e6
            print(
                f"{name:44} {row['us']:9.2f} us {row['fastest']}, stock {row['stock_us']:9.2f}: "
                f"{row['stock_us'] / row['us']:.2f}x, {speed:.2f} TB/s"
            )
        else:
            print(
                f"{name:44} {row['us']:9.2f} us {row['tiles']}, untuned {row['untuned_us']:.2f}, "
                f"pytorch {row['pytorch_us']:.2f}"
            )
    tuned = [row for row in record["rows"].values() if "tiles" in row]
    if tuned:
        print("\n".join(tiles.table(tuned)))


if __name__ == "__main__":
    main()
