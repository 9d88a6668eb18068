"""What a run answers of the reporting checklists: one sentence per question, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr_pipeline.reporting.format_figure import format_figure
from dr_pipeline.reporting.headline import evidence_limits, headlines, warnings
from dr_pipeline.reporting.report_inputs import Sources
from dr_pipeline.schema import GRADE_NAMES, GRADES

_PAGE = "reports/index.html"


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: The answer, from the run's documents.
        where: The file, and the section of the page, that holds more.
    """

    text: str
    where: str


def run_answers(sources: Sources) -> dict[str, Answer]:
    """The answers by the names that the checklists use; nothing in them is entered by hand."""
    return _about_the_data(sources) | _about_the_model(sources) | _about_the_test(sources)


def _about_the_data(sources: Sources) -> dict[str, Answer]:
    intake, audit, split, test = sources.intake, sources.audit, sources.split, sources.test
    provenance = "; ".join(f"{key}: {value}" for key, value in intake["provenance"].items() if value)
    development = sources.bundle.get("development", {})
    excluded, rejected = len(audit["excluded"]), test["screening"]["ungradable"]
    readings = intake["readings"]
    parts = sources.grades_by_role()
    sizes = ", ".join(f"{role} {sum(counts.values())}" for role, counts in parts.items())
    grades = "; ".join(f"{role} {_slashed(counts)}" for role, counts in parts.items())
    shared = ", ".join(f"{kind} {count}" for kind, count in split["shared_between_parts"].items())
    data, figures = f"{_PAGE}, Data", f"{_PAGE}, Figures"
    return {
        "data_source": Answer(f"Data set read by the adapter {intake['adapter']}; {provenance or 'not named'}.", data),
        "eligibility": Answer(
            f"All graded photographs of the data set, but those that the audit excludes ({excluded}). Ungradable "
            "photographs stay in the figures of all photographs, and are left out of those of gradable ones.",
            "reports/audit.json",
        ),
        "flow": Answer(
            f"{audit['photographs']} photographs, {audit['used']} used after the audit, {split['photographs']} graded "
            f"in {split['groups']} groups: {sizes}. Rejected as ungradable in the test part: {rejected}.",
            data,
        ),
        "de_identification": Answer(
            "The bundle holds no name of a patient or file; the report and data/ hold photograph ids.", "MODEL_CARD.md"
        ),
        "missing_data": Answer(
            f"Photographs without a grade: {intake['ungraded']}; files that cannot be read: "
            f"{len(intake['unreadable'])}; photographs of unknown patients: {split['photographs_of_unknown_patients']}."
            " Nothing is imputed.",
            "reports/intake.json",
        ),
        "cameras": Answer(
            f"By EXIF or DICOM header or by the labels, development part: {_counted(development.get('cameras', {}))}.",
            "MODEL_CARD.md",
        ),
        "sites": Answer(f"Sites of the development part: {_counted(development.get('sites', {}))}.", "MODEL_CARD.md"),
        "reference_standard": Answer(
            "The data set's own grades on the International Clinical Diabetic Retinopathy scale, 0–4; referable: 2 or "
            "more; vision-threatening: 3 or more.",
            data,
        ),
        "readings": Answer(
            f"Photographs with several readings: {readings['photographs']}, all alike in {readings['unanimous']}.",
            "reports/intake.json",
        ),
        "partitions": Answer(
            f"Photographs: {sizes}. Test part by {split['asked']['test']}, validation by {split['asked']['validation']}"
            " (params.yaml, split); what is drawn is drawn by group, stratified by grade.",
            "reports/split.json",
        ),
        "disjoint": Answer(
            f"By group: patients, joined by copies of one photograph ({split['patients_said']}). Shared between parts: "
            f"{shared}.",
            "reports/split.json",
        ),
        "grades_by_part": Answer(f"Photographs by grade 0 / 1 / 2 / 3 / 4: {grades}.", data),
        "severity": Answer(f"Test part, by grade 0 / 1 / 2 / 3 / 4: {_slashed(parts['test'])}.", data),
        "prevalence": Answer(
            "Prevalence of referable disease in the test part: "
            f"{format_figure(test['screening']['intention_to_screen']['prevalence_here'])}. Predictive values are "
            "stated for the prevalences of params.yaml.",
            f"{_PAGE}, Screening",
        ),
        "sample_size": Answer(
            f"Test part: {test['n']} photographs of {test['groups']} groups. {_needed(test['agreement'])}", figures
        ),
    }


def _about_the_model(sources: Sources) -> dict[str, Answer]:
    bundle, machine = sources.bundle, sources.machine
    model, decision, gradability = bundle["model"], bundle["decision"], sources.gradability["thresholds"]
    pixel_path = ", ".join(f"{key} {value}" for key, value in bundle["preprocessing"]["pixel_path"].items())
    versions = bundle["required_packages_version"] | bundle["export_versions"]
    trained = "; ".join(
        f"{name}: {row['epochs']} epochs, best {row['best_epoch']}, on {row['device']}"
        for name, row in sources.training.items()
    )
    members, views = model["ensemble"]["members"], model["ensemble"]["views"]
    provenance = f"{_PAGE}, Provenance"
    return {
        "ai_kind": Answer(f"Deep learning: image classification by {model['model']}.", provenance),
        "intended_use": Answer(bundle["intended_use"], "MODEL_CARD.md"),
        "preprocessing": Answer(
            f"Field of view found, cropped and resized by the pixel path ({pixel_path}), the same bytes in training "
            f"and use; input {model['input_px']} px, normalised inside the network.",
            "metadata.json, preprocessing",
        ),
        "quality_gate": Answer(
            f"A photograph whose quality score is under {gradability['default']:.3f}, or under its site's threshold, "
            f"gets no grade; at most {100 * gradability['max_rejected_share']:g} % of a site's development part.",
            f"{_PAGE}, Gradability",
        ),
        "predictors": Answer(
            "The pixels of one photograph alone; none is selected or assessed by a person.", provenance
        ),
        "model": Answer(
            f"{model['model']}, {model['parameters']:,} parameters, input {model['input_px']} px, five outputs; loss "
            f"{model['loss']}; bundle {bundle['bundle_id']}.",
            "metadata.json, model",
        ),
        "software": Answer(
            f"dr_pipeline {bundle['version']}, {', '.join(f'{name} {one}' for name, one in versions.items())}; "
            f"{machine['system']}, {machine['cpu']}.",
            provenance,
        ),
        "initial_weights": Answer(f"{model['weights']}.", provenance),
        "training": Answer(f"{trained}. All parameters: params.yaml.", f"{_PAGE}, Candidates"),
        "imbalance": Answer(
            f"Sampling and weights of the grades: params.yaml, training; loss {model['loss']}. The probabilities are "
            "calibrated on validation afterwards.",
            "params.yaml",
        ),
        "selection": Answer(f"{sources.selection['rule']} Chosen: {sources.chosen}.", f"{_PAGE}, Candidates"),
        "ensemble": Answer(
            f"{len(members)} network(s) on {len(views)} view(s) ({', '.join(views)})"
            f"{'' if len(members) == len(views) == 1 else ', combined: ' + model['ensemble']['combine']}.",
            "metadata.json, model",
        ),
        "thresholds": Answer(
            f"Cut points {', '.join(f'{cut:.3f}' for cut in decision['cut_points'])} of the expected grade, and "
            f"P(grade ≥ 2) ≥ {decision['referable_threshold']:.3f}, fitted on {decision['fitted_on']['split']} for the "
            "operating point of params.yaml and locked before the test.",
            "metadata.json, decision",
        ),
        "human_readers": Answer(
            f"Sent to a human reader in the test part: {format_figure(sources.test['needs_human'])}; those that are "
            "ungradable or near a cut point. No other input by users.",
            f"{_PAGE}, Uncertainty",
        ),
        "availability": Answer(
            f"dr_pipeline {bundle['version']}, Apache-2.0; bundle {bundle['bundle_id']}, model.onnx sha256 "
            f"{model['sha256']}.",
            provenance,
        ),
    }


def _about_the_test(sources: Sources) -> dict[str, Answer]:
    test, validation = sources.test, sources.validation[sources.chosen]
    graded, missed = sources.graded, len(sources.graded.missed_vision_threatening())
    sets = ", ".join(f"{name} (n = {report['n']})" for name, report in sources.external.items())
    subgroups = test["subgroups"]
    figures, external = f"{_PAGE}, Figures", f"{_PAGE}, External validation"
    kind = f"external validation on {sets}" if sets else "no external validation"
    return {
        "study_goal": Answer(f"Development and internal test of a grader; {kind}.", external),
        "measures": Answer(
            "Quadratic, linear and unweighted kappa, sensitivity, specificity, area under the curve, average "
            "precision, Brier score, calibration error, predictive values at stated prevalences, workload, net "
            "benefit, risk and coverage.",
            figures,
        ),
        "intervals": Answer(f"{100 * test['confidence']:g} %; {test['intervals']}.", "docs/explanation/statistics.md"),
        "robustness": Answer("Not part of this run; dr-pipeline shifts measures it.", "docs/how-to/shift-suite.md"),
        "internal_test": Answer(
            f"QWK: validation {format_figure(validation['qwk'])}, which chose thresholds and candidate; test "
            f"{format_figure(test['qwk'])}, opened {test['openings']} time(s).",
            figures,
        ),
        "external_test": Answer(f"{sets or 'None in this run'}.", external),
        "performance": Answer(
            "; ".join(f"{row.label} {format_figure(row.every)}" for row in headlines(sources)) + " (test).", figures
        ),
        "subgroups": Answer(
            f"Figures of {sum(bool(row['figures']) for row in subgroups['rows'])} subgroups by camera, site, quality "
            f"and the like; worse than all in {subgroups['flagged']} of {subgroups['compared']} intervals.",
            f"{_PAGE}, Subgroups",
        ),
        "failures": Answer(
            f"Severe or proliferative disease called none or mild: {missed} of {graded.vision_threatening.sum()}.",
            f"{_PAGE}, Errors",
        ),
        "cross_tabulation": Answer(
            "; ".join(
                f"{grade} {GRADE_NAMES[grade]}: {' / '.join(map(str, test['confusion'][grade]))}" for grade in GRADES
            )
            + " (called 0 / 1 / 2 / 3 / 4).",
            figures,
        ),
        "indeterminate": Answer(
            f"Ungradable photographs ({test['screening']['ungradable']} of {test['n']}) count as referred in the "
            "figures by intention to screen, and are left out of those of gradable photographs.",
            f"{_PAGE}, Screening",
        ),
        "blind_test": Answer(
            "The bundle as shipped graded the photographs, without their labels.",
            "reports/test.json",
        ),
        "same_photograph": Answer("None: bundle and readers grade the same photograph.", figures),
        "updating": Answer(
            "A decision fitted locally is shown apart, cross-fitted." if sets else "None in this run.", external
        ),
        "limits": Answer(
            " ".join([*evidence_limits(sources), *(f"{text[0].upper()}{text[1:]}." for text in warnings(sources))])
            or "None found.",
            _PAGE,
        ),
        "stored_outputs": Answer(
            "Each graded photograph with its probabilities; each opening of the test part.",
            "data/test_predictions.csv, reports/test_openings.jsonl",
        ),
    }


def _needed(agreement: Mapping[str, Any]) -> str:
    rows = (agreement.get("sample_size") or {}).get("photographs_in_each_of_two_sets", [])
    needed = ", ".join(f"{row['difference']} with {row['photographs']}" for row in rows)
    return f"Differences of QWK between two sets of other patients are found from: {needed}." if needed else ""


def _slashed(counts: Mapping[str, int]) -> str:
    return " / ".join(str(count) for count in counts.values())


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'unknown'} {count}" for name, count in counts.items()) or "not stated"
