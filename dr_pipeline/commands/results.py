"""Turns a table of predictions into results per photograph, eye and patient.

Writes photographs.csv, eyes.csv, patients.csv and results.json into a folder that only its owner may read: who is
referred and how soon, who is photographed again, who returns for the next screening, and where a person must decide,
with the result in plain words. Optionally the same as FHIR R4, into a file or to a server; nothing is sent without
--fhir-server. Research use only. Not a medical device.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.commands.argument_types import positive_int
from dr_pipeline.schema import GRADES, RESEARCH_USE
from dr_pipeline.stages.outcome import Outcome

if TYPE_CHECKING:
    from dr_pipeline.clinic.fhir.resources import Resource
    from dr_pipeline.clinic.fhir.server import FhirServer
    from dr_pipeline.clinic.results.roll_up import Results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="the table that `score` or the node wrote"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--people",
        type=Path,
        metavar="CSV",
        help="table with a column path, file, filename or image, and birth_date, study_uid or both: patients whose id "
        "has two birth dates get no decision",
    )
    parser.add_argument(
        "--on-ungradable",
        choices=("rescreen", "refer"),
        default="rescreen",
        help="what to do about an ungradable eye where no eye is referable (default: rescreen)",
    )
    parser.add_argument(
        "--months",
        type=positive_int,
        nargs=len(GRADES),
        metavar="N",
        help="within how many months to see patients of grades 0 to 4 (default: 12 12 6 3 1, after ICO 2017)",
    )
    parser.add_argument(
        "--texts", default="en", metavar="NAME", help="language of the texts: en, es, zh, or your own TOML file"
    )
    parser.add_argument("--fhir", type=Path, metavar="FILE", help="write FHIR R4 resources too, as NDJSON")
    parser.add_argument(
        "--fhir-server",
        metavar="URL",
        help="send them to this FHIR R4 server, with the token in DR_PIPELINE_FHIR_TOKEN where it needs one",
    )
    parser.add_argument(
        "--patient-system", default="", metavar="URI", help="the system of the patients' ids, for FHIR identifiers"
    )


def run(args: argparse.Namespace) -> Outcome:
    """Rolls up the photographs, and writes and sends the results."""
    from dr_pipeline.clinic.results.photograph_facts import NOTHING_KNOWN, read_photograph_facts
    from dr_pipeline.clinic.results.policy import MONTHS_OF_GRADE, Policy
    from dr_pipeline.clinic.results.roll_up import roll_up
    from dr_pipeline.clinic.results.texts import Texts
    from dr_pipeline.clinic.results.write import result_files, summarise, with_texts, write_results
    from dr_pipeline.scoring.input_safety import require_not_read
    from dr_pipeline.scoring.outputs import read_rows
    from dr_pipeline.tables.result_patients import Decision

    server = _server(args.fhir_server) if args.fhir_server else None
    policy = Policy(Decision(args.on_ungradable), tuple(args.months or MONTHS_OF_GRADE))
    require_not_read((*result_files(args.out), args.fhir), (args.predictions, args.people, Path(args.texts)))
    texts = Texts.load(args.texts)
    rows = list(read_rows(args.predictions))
    facts = read_photograph_facts(args.people, rows) if args.people else NOTHING_KNOWN
    results = with_texts(roll_up(rows, policy, facts.birth_dates), texts)
    wrote = write_results(args.out, results, summarise(results, policy, texts))
    notes = [_headline(results)]
    if facts.num_unmatched:
        notes.append(f"{facts.num_unmatched} rows of --people fit no photograph")
    if args.fhir or server:
        from dr_pipeline.clinic.fhir.resources import FhirOptions, examination_resources

        options = FhirOptions(texts.language, args.patient_system, facts.study_uids)
        examinations = list(examination_resources(results, options))
        notes.append(f"FHIR: {len(examinations)} of {len(results.patients)} examinations")
        if args.fhir:
            from dr_pipeline.clinic.fhir.ndjson import write_ndjson

            write_ndjson(args.fhir, examinations)
            wrote = (*wrote, args.fhir)
        if server:
            notes.append(_send(server, examinations))
    return Outcome(wrote=wrote, headline=f"{'; '.join(notes)}. {RESEARCH_USE}", next_command="")


def _server(url: str) -> "FhirServer":
    from dr_pipeline.clinic.fhir.server import TOKEN_VARIABLE, FhirServer
    from dr_pipeline.logs import logger

    server = FhirServer(url, token=os.environ.get(TOKEN_VARIABLE, ""))
    if not server.is_encrypted:
        logger.warning("the FHIR server's connection is not encrypted: patients' results can be read on the way")
    return server


def _send(server: "FhirServer", examinations: "list[list[Resource]]") -> str:
    from dr_pipeline.clinic.fhir.server import Sent
    from dr_pipeline.errors import DataError

    counts = server.send(examinations)
    if counts[Sent.REFUSED]:
        raise DataError(
            f"the FHIR server refused {counts[Sent.REFUSED]} of {len(examinations)} examinations and has the others",
            where="--fhir-server",
            todo="read the server's log, then run the same command again: what is stored stays",
        )
    return "sent: " + ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number)


def _headline(results: "Results") -> str:
    """`12 photographs, 3 examinations: 1 recall, 1 refer, 1 rescreen; 1 need a human`."""
    from collections import Counter

    decisions = Counter(row.decision for row in results.patients)
    counts = ", ".join(f"{number} {decision}" for decision, number in sorted(decisions.items())) or "no decision"
    nameless = sum(not row.patient_id for row in results.photographs)
    human = sum(row.needs_human for row in results.patients)
    total = f"{len(results.photographs)} photographs, {len(results.patients)} examinations: {counts}"
    return f"{total}; {human} need a human" + (f"; {nameless} photographs of unknown patients" if nameless else "")
