"""How many patients keep their part when a tenth comes or goes, how exact the strata are, and what the probe costs.

python -m benchmarks.splits --out FILE.json

A draw is one random tenth of the patients, removed or added, and one fold; kept is the share of the others that stay in
the same one of training, validation and test. `least_possible` is the most that any division with strata within one
patient can keep: a tenth that goes takes unequal numbers from the parts, and someone must fill them. `tolerance` shows
what would be kept if each stratum were allowed to be off by that many patients.
"""

import argparse
import math
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.splitting.groups import Group, Photograph
from dr_pipeline.splitting.hash_draw import costs, min_cost_assignment
from dr_pipeline.splitting.similarity_probe import probe_similarity
from dr_pipeline.splitting.stratified import TEST, TRAIN, assign_groups, part_shares
from dr_pipeline.tables.splits import SplitRow

GRADE_SHARES = (0.36, 0.14, 0.22, 0.14, 0.14)
BARS = {2000: 0.98, 5000: 0.99}
PROPORTIONS = {
    "0.16, 6 folds": part_shares(0.16, 6),
    "0.1, 5 folds": part_shares(0.1, 5),
    "0.2, 10 folds": part_shares(0.2, 10),
    "0.3, 3 folds": part_shares(0.3, 3),
    "0.5, 2 folds": part_shares(0.5, 2),
    "0.15/0.05/0.8": {TEST: 0.15, "0": 0.05, TRAIN: 0.8},
    "0.05/0.15/0.8": {TEST: 0.05, "0": 0.15, TRAIN: 0.8},
    "0.2/0.2/0.6": {TEST: 0.2, "0": 0.2, TRAIN: 0.6},
    "thirds": dict.fromkeys((TEST, "0", TRAIN), 1 / 3),
}


def patients(count: int, rng: np.random.Generator) -> list[Group]:
    """Two photographs each, the other eye as bad or one grade better."""
    worst, better = rng.choice(5, count, p=GRADE_SHARES).tolist(), rng.integers(0, 2, count).tolist()
    made = []
    for number in range(count):
        name = f"P{number:06}"
        eyes = (
            Photograph(f"{number:06}-left", name, "", worst[number]),
            Photograph(f"{number:06}-right", name, "", max(0, worst[number] - better[number])),
        )
        made.append(Group(f"patient:{name}", eyes))
    return made


def nine_tenths(groups: Sequence[Group], rng: np.random.Generator) -> list[Group]:
    return [groups[index] for index in rng.permutation(len(groups))[len(groups) // 10 :].tolist()]


def role(part: str, fold: str) -> str:
    return part if part in (TEST, fold) else TRAIN


def folds_of(shares: Mapping[str, float]) -> list[str]:
    return [part for part in shares if part not in (TEST, TRAIN)]


def draws(shares: Mapping[str, float], count: int, seeds: int) -> Iterator[dict[str, Any]]:
    """Every kept share and the bound, by seed, direction and fold; how exact the strata and shares were."""
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        everyone = patients(count + count // 10, rng)
        groups, grade = everyone[:count], {group.key: group.worst_grade for group in everyone}
        before = assign_groups(groups, shares, str(seed))
        removed = assign_groups(nine_tenths(groups, rng), shares, str(seed))
        added = assign_groups(everyone, shares, str(seed))
        for after, larger, smaller in ((removed, before, removed), (added, added, before)):
            off, share_off = exactness(after, grade, shares)
            for fold in folds_of(shares):
                moved = sum(role(larger[key], fold) != role(smaller[key], fold) for key in smaller)
                yield {
                    "kept": 1 - moved / len(smaller),
                    "least_possible": 1 - forced(larger, smaller, grade, shares, fold) / len(smaller),
                    "strata_off": off,
                    "share_off": share_off,
                }


def exactness(parts: Mapping[str, str], grade: Mapping[str, int], shares: Mapping[str, float]) -> tuple[float, float]:
    """How far the worst stratum of a part is off, in patients, and the worst part, as a share of photographs."""
    strata = Counter(grade[key] for key in parts)
    drawn = Counter((grade[key], part) for key, part in parts.items())
    totals = Counter(parts.values())
    off = max(abs(drawn[level, part] - shares[part] * strata[level]) for level in strata for part in shares)
    return off, max(abs(totals[part] / len(parts) - share) for part, share in shares.items())


def forced(
    larger: Mapping[str, str], smaller: Iterable[str], grade: Mapping[str, int], shares: Mapping[str, float], fold: str
) -> float:
    """The fewest that must change parts where only `smaller` is left, for strata within one patient of the ideal."""
    ideal = {TEST: shares[TEST], fold: shares[fold], TRAIN: 1 - shares[TEST] - shares[fold]}
    now: dict[int, Counter[str]] = defaultdict(Counter)
    for key in smaller:
        now[grade[key]][role(larger[key], fold)] += 1
    moves = 0
    for counts in now.values():
        size = counts.total()
        too_many = sum(max(0, counts[part] - math.floor(share * size + 1)) for part, share in ideal.items())
        too_few = sum(max(0, math.ceil(share * size - 1) - counts[part]) for part, share in ideal.items())
        moves += max(too_many, too_few)
    return moves


def with_tolerance(shares: Mapping[str, float], count: int, seeds: int, tolerance: float) -> dict[str, float]:
    """Kept by the same draw, all parts at once, if every stratum may be off by `tolerance` patients."""
    parts, weights, kept = list(shares), np.array([*shares.values()]), []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        groups = patients(count, rng)
        names = {group.key for group in nine_tenths(groups, rng)}
        stay = 0
        for level in range(5):
            keys = [group.key for group in groups if group.worst_grade == level]
            cost = costs(keys, parts, weights.tolist(), str(seed))
            left = np.array([key in names for key in keys])
            before, after = (loosely(cost[which], weights, tolerance) for which in (left | True, left))
            stay += int((before[left] == after).sum())
        kept.append(stay / len(names))
    return {"mean": round(float(np.mean(kept)), 5), "min": round(min(kept), 5)}


def loosely(cost: Any, weights: Any, tolerance: float) -> Any:
    """Seats as the free draw has them, but within the tolerance."""
    ideal = weights * len(cost)
    free = np.bincount(cost.argmin(axis=1), minlength=len(weights))
    seats = np.clip(free, np.ceil(ideal - tolerance), np.floor(ideal + tolerance)).astype(int)
    while seats.sum() != len(cost):
        step = 1 if seats.sum() < len(cost) else -1
        room = np.where(np.abs(seats + step - ideal) <= max(tolerance, 1), (ideal - seats) * step, -np.inf)
        seats[room.argmax()] += step
    return min_cost_assignment(cost, seats)


def probe_time(test: int, development: int) -> dict[str, Any]:
    """Seconds and memory of the look-alike probe on random hashes."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**63, (test + development, 4), dtype=np.int64)
    hashes = {f"{row:06}": words[row].tobytes().hex() for row in range(len(words))}
    rows = [
        SplitRow(image_id=name, group=f"g{row // 2}", grade=0, split="test", fold=None)
        if row < test
        else SplitRow(
            image_id=name,
            patient_id="",
            duplicate_cluster="",
            group=f"g{row // 2}",
            grade=0,
            split="development",
            fold=row // 2 % 5,
        )
        for row, name in enumerate(hashes)
    ]
    start = time.perf_counter()
    found = probe_similarity(rows, hashes, "s")
    return {
        "test": test,
        "development": development,
        "seconds": round(time.perf_counter() - start, 1),
        "sampled": found.sampled,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "false_alarms": sum(part.leaks for part in found.parts.values()),
    }


def measure(count: int, bar: float, seeds: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, shares in PROPORTIONS.items():
        lines = list(draws(shares, count, seeds))
        kept = np.array([line["kept"] for line in lines])
        table[name] = {
            "draws": len(kept),
            "kept_mean": round(float(kept.mean()), 5),
            "kept_min": round(float(kept.min()), 5),
            "draws_below_bar": round(float((kept < bar).mean()), 4),
            "least_possible_mean": round(float(np.mean([line["least_possible"] for line in lines])), 5),
            "least_possible_min": round(min(line["least_possible"] for line in lines), 5),
            "strata_off_patients_max": round(max(line["strata_off"] for line in lines), 3),
            "photograph_share_off_max": round(max(line["share_off"] for line in lines), 5),
        }
        print(count, name, table[name], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--probe", type=int, nargs=2, default=[20_000, 80_000], help="test and development photographs")
    args = parser.parse_args()
    stability = {
        str(count): {"bar": bar, "proportions": measure(count, bar, args.seeds)} for count, bar in BARS.items()
    }
    tolerances = {
        name: {
            f"{tolerance:g}": with_tolerance(PROPORTIONS[name], 5000, args.seeds, tolerance)
            for tolerance in (0.5, 1, 2, 4, 8, 16)
        }
        for name in ("thirds", "0.15/0.05/0.8")
    }
    for name, figures in tolerances.items():
        print("5000 removed, tolerance", name, figures, flush=True)
    result = {
        "seeds": args.seeds,
        "stability": stability,
        "tolerance_5000": tolerances,
        "probe": probe_time(*args.probe),
        "machine": describe_machine(),
    }
    print(result["probe"])
    write_json(args.out, result)


if __name__ == "__main__":
    main()
