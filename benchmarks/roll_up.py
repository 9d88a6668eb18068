"""The results of patients: agreement with the table worked by hand, validity as FHIR, time and memory.

python -m benchmarks.roll_up --patients 20000 --out reports/benchmarks/roll_up.json
"""

import argparse
import csv
import random
import resource
import time
from pathlib import Path

from fhir.resources.R4B.bundle import Bundle

from dr_pipeline.clinic.fhir.resources import FhirOptions, examination_resources, transaction
from dr_pipeline.clinic.results.policy import Policy
from dr_pipeline.clinic.results.roll_up import roll_up
from dr_pipeline.clinic.results.texts import Texts
from dr_pipeline.clinic.results.write import with_texts
from dr_pipeline.files import write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.intervals import wilson
from dr_pipeline.tables.result_patients import Decision
from tests.clinic.results.test_roll_up import HAND_WORKED, described
from tests.factories.predictions import predictions

WORDS = ("R0 L0", "R0 R1 L0 L0", "R2 L1", "Ru R0 L3h", "Ru L0", "R0", "?0 L0", "Rf R4 L0")


def proportion(hits: int, of: int) -> dict[str, float]:
    """A share with its 95 % interval (Wilson) and n."""
    low, high = wilson(hits, of, 0.95)
    return {"value": hits / of, "low": low, "high": high, "n": of}


def hand_worked() -> dict[str, object]:
    with HAND_WORKED.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    rows, births = predictions((case["patient"], case["visit"], case["photographs"]) for case in table)
    found = {
        (policy, row.patient_id, row.visit): described(row)
        for policy in ("rescreen", "refer")
        for row in roll_up(rows, Policy(on_ungradable=Decision(policy)), births).patients
    }
    known = [case for case in table if case["patient"]]
    agree = sum(not found[case["policy"], case["patient"], case["visit"]].items() - case.items() for case in known)
    return {
        "patients": len({case["patient"] for case in known}),
        "photographs": len(rows),
        "agreement": proportion(agree, len(known)),
    }


def at_scale(num_patients: int) -> dict[str, object]:
    draw = random.Random(1)  # noqa: S311
    rows, births = predictions((f"P{number}", "20260101", draw.choice(WORDS)) for number in range(num_patients))
    start_s = time.process_time()
    results = with_texts(roll_up(rows, Policy(), births), Texts.load("en"))
    rolled_s = time.process_time() - start_s
    start_s, valid = time.process_time(), 0
    sample = roll_up(rows[:1000], Policy(), births)
    for resources in examination_resources(with_texts(sample, Texts.load("en")), FhirOptions()):
        Bundle.model_validate(transaction(resources))  # as above, raises where one is not valid
        valid += 1
    return {
        "patients": len(results.patients),
        "photographs": len(rows),
        "cpu_seconds": round(rolled_s, 2),
        "photographs_per_cpu_second": round(len(rows) / rolled_s),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "fhir": {
            "valid_examinations": proportion(valid, len(sample.patients)),
            "cpu_ms_per_examination": round(1000 * (time.process_time() - start_s) / valid, 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    report = {"machine": describe_machine(), "hand_worked": hand_worked(), "drawn": at_scale(args.patients)}
    write_json(args.out, report)
    print(report)


if __name__ == "__main__":
    main()
