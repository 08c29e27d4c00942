"""Ports of the tests are free, and each process has its own."""

from __future__ import annotations

import socket

from tests import ports
from tests.ports import FIRST, SLICE, SLICES, first_port, free_port


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        before = free_port()
        taken.bind(("127.0.0.1", before + 3))
        block = free_port(following=4)
    assert not block <= before + 3 <= block + 4


def test_no_port_is_given_twice_in_a_row() -> None:
    blocks = [range(first, first + 3) for first in (free_port(following=2) for _ in range(5))]
    assert len({port for block in blocks for port in block}) == 15


def test_the_last_ones_are_followed_by_the_first() -> None:
    given = [free_port() for _ in range(SLICE + 1)]
    assert {*given} <= {*range(ports._first, ports._first + SLICE)}


def test_workers_have_ports_of_their_own_below_those_of_the_kernel() -> None:
    firsts = [first_port("a run", f"gw{number}") for number in range(8)]
    assert len({*firsts}) == 8
    assert all(FIRST <= first <= FIRST + SLICE * (SLICES - 1) < 32_768 - SLICE for first in firsts)
