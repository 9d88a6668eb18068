"""How many machines, hours and how much money a number of photographs takes, from a measured rate.

python -m benchmarks.capacity --files-per-s 40 --cores 2 [--price-per-core-hour 0.02] [--usable 0.9]

The rate is that of `dr-pipeline bench score` on the machine to be used, with photographs like those to be scored. It is
taken to grow with the cores, since workers share nothing; `--usable` is the share that is left after what does not
scale (a shared drive, jobs that wait for the last one). Prints a table in Markdown. No price is assumed.
"""

import argparse
import math
from dataclasses import dataclass

PHOTOGRAPHS = (10_000, 1_000_000, 3_000_000)
MACHINES = ((1, 2), (1, 16), (8, 16), (32, 16))


@dataclass(frozen=True)
class Rate:
    """Photographs per second that `cores` score; `usable` of it remain when many machines work together."""

    files_per_s: float
    cores: int
    usable: float = 1.0

    def core_hours(self, photographs: int) -> float:
        """Hours of one core."""
        return photographs * self.cores / (self.files_per_s * self.usable) / 3600

    def hours(self, photographs: int, machines: int, cores: int) -> float:
        """Hours of so many machines of so many cores each."""
        return self.core_hours(photographs) / (machines * cores)


def table(rate: Rate, price_per_core_hour: float | None) -> str:
    """One row per number of photographs: core-hours, cost if there is a price, hours by machines."""
    priced = [] if price_per_core_hour is None else [f"cost at {price_per_core_hour:g} per core-hour"]
    heads = ["photographs", "core-hours", *priced, *(f"{count} × {cores} cores" for count, cores in MACHINES)]
    lines = [heads, ["---"] * len(heads)]
    for photographs in PHOTOGRAPHS:
        core_hours = rate.core_hours(photographs)
        cost = [] if price_per_core_hour is None else [f"{core_hours * price_per_core_hour:,.3f}"]
        times = [duration(rate.hours(photographs, *machines)) for machines in MACHINES]
        lines.append([f"{photographs:,}", f"{core_hours:,.2f}", *cost, *times])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def duration(hours: float) -> str:
    """`4 min`, `2.5 h` or `3.1 days`, rounded up in minutes."""
    if hours < 1:
        return f"{math.ceil(hours * 60)} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files-per-s", type=float, required=True, help="of `bench score`, start included")
    parser.add_argument("--cores", type=int, required=True, help="cores of the machine that this was measured on")
    parser.add_argument("--usable", type=float, default=1.0, help="share of the rate that many machines keep, to 1")
    parser.add_argument("--price-per-core-hour", type=float, help="yours; without it the table has no cost")
    args = parser.parse_args()
    print(table(Rate(args.files_per_s, args.cores, args.usable), args.price_per_core_hour))


if __name__ == "__main__":
    main()
