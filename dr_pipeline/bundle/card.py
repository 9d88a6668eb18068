"""MODEL_CARD.md, from what the bundle states of itself (Mitchell et al., "Model cards for model reporting", FAT* 2019).

What only a person knows is left open, in lines that begin with `OPEN`.
"""

import re
from collections.abc import Mapping
from typing import Any

from dr_pipeline.bundle.lesions import LesionDescription
from dr_pipeline.bundle.recalibrated import site_text
from dr_pipeline.bundle.session import FLOAT32
from dr_pipeline.metrics.intervals import format_estimate, is_estimate
from dr_pipeline.schema import VISION_THREATENING_FROM, Grade

OPEN = "> **To be completed by the person responsible:**"


def model_card(metadata: Mapping[str, Any], lesions: LesionDescription | None = None) -> str:
    """The card as Markdown; every statement comes from metadata.json, or from the description in lesions.onnx."""
    model, decision, latency = metadata["model"], metadata["decision"], metadata["latency"]
    gradability = metadata["gradability"]
    classes = metadata["network_data_format"]["outputs"]["probabilities"]["channel_def"]
    lines = [
        f"# {metadata['name']} · bundle {metadata['bundle_id']}",
        "",
        f"**{metadata['research_use']}**",
        "",
        metadata["description"],
        "",
        "## Intended use",
        "",
        metadata["intended_use"],
        "",
        f"{OPEN} users and their training, place in the care pathway, who is responsible for the bundle.",
        "",
        "## Population and cameras",
        "",
        *_population(metadata.get("development")),
        "",
        f"{OPEN} age, sex, ethnicity, type and duration of diabetes, treatment, dates and setting; the readers' "
        "qualification.",
        "",
        "## The model",
        "",
        "| what | value |",
        "|---|---|",
        f"| network | {model['model']} ({model['family']}), {model['parameters']:,} parameters{_precision(model)} |",
        *_ensemble(model["ensemble"]),
        f"| initial weights | {model['weights']} |",
        f"| input | {model['input_px']} × {model['input_px']} px, RGB, 8 bit; normalisation inside the network |",
        f"| pixel path | {_listed(metadata['preprocessing']['pixel_path'])} |",
        f"| photographs (splits) | sha256 {metadata['data_hashes']['splits_sha256']} |",
        "",
        "## The decision",
        "",
        f"Fitted on: {_listed(decision['fitted_on'])}. A grade is the expected grade cut at "
        f"{', '.join(f'{cut:.3f}' for cut in decision['cut_points'])}, after temperature "
        f"{decision.get('severity_temperature', decision['temperature']):.3f}. Referable: P(grade ≥ 2) ≥ "
        f"{decision['referable_threshold']:.3f}, after temperature {decision['temperature']:.3f}. A photograph "
        f"whose expected grade lies within {decision['review_margin']:.3f} of a cut goes to a human reader.",
        "",
        f"Ungradable: a quality score under {gradability['default']:.3f}{_site_thresholds(gradability)}, or a fault "
        f"that alone is enough. Fitted on: {_listed(gradability['fitted_on'])}. Target: "
        f"{gradability['min_score']:g}, with at most {100 * gradability['max_rejected_share']:g} % of a site's "
        "photographs rejected.",
        "",
        "## Validation",
        "",
        *_validated(metadata),
        "",
        "| figure | value, confidence interval, photographs |",
        "|---|---|",
        *(
            f"| {name} | {format_estimate(figure)} |"
            for name, figure in sorted(metadata["validation"].items())
            if is_estimate(figure)
        ),
        "",
        "## Latency",
        "",
        f"From the file on disk to the grade, batch 1, {latency['threads']} thread(s), n = {latency['n']}: "
        f"p50 {latency['p50_ms']:.1f} ms, p95 {latency['p95_ms']:.1f} ms, p99 {latency['p99_ms']:.1f} ms "
        f"on machine {latency['machine']}.",
        "",
        "## Grades",
        "",
        *(f"- {grade}: {name}" for grade, name in classes.items()),
        "",
        *(_lesions(lesions) if lesions else ()),
        "## Limits",
        "",
        "- Trust no figure here for photographs of another camera, clinic or population before validating on them.",
        "- The grade is of one photograph, not of a patient; an ungradable photograph has none and needs a human.",
        "- Validation figures are internal: they say nothing about another clinic. Figures of other data sets come "
        "from `dr-pipeline validate-external`.",
        "- `golden.npz` holds drawings, not photographs; the self-test proves that the network runs as packaged, not "
        "that it is right.",
        "",
        "## Failure modes",
        "",
        "On the photographs of the figures above:",
        "",
        *_failures(metadata["validation"]),
        "",
        "## Change protocol",
        "",
        *_CHANGE_PROTOCOL,
        "",
        "## References",
        "",
        *(f"- {reference}" for reference in metadata["references"]),
        "",
    ]
    return "\n".join(lines)


_CHANGE_PROTOCOL = (
    "- In use this bundle does not change: it learns nothing from the photographs that it grades. Its id covers "
    "network, pixel path, decision and quality thresholds; equal ids give equal grades.",
    "- Another network, decision or threshold is another bundle with another id. Before it replaces this one, "
    "`dr-pipeline compare` grades the same photographs with both and refuses where a declared margin is not kept.",
    "- Before a new site, camera or population: `dr-pipeline validate-external` with the operating point locked. "
    "`dr-pipeline recalibrate` fits the decision to a site and writes a child, which names its parent.",
    "- In use: `dr-pipeline drift` compares photographs and scores with those of the development, reference.json.",
    "",
    f"{OPEN} margins, who decides about a change, how often drift and local figures are looked at, and how a fault is "
    "reported.",
)


def _lesions(described: LesionDescription) -> list[str]:
    """What the second network looks for, and how well networks of its training found it."""
    counting = described.counting
    rows = []
    for kind in counting.kinds:
        figure = described.aupr.get(kind.name, {})
        measured = format_estimate(figure) if is_estimate(figure) else "not stated"
        threshold, smallest = counting.thresholds[kind.name], counting.min_pixels[kind.name]
        peak = counting.min_peaks[kind.name]
        rows.append(f"| {kind.name} | {threshold:g} | {smallest} | {peak:g} | {measured} |")
    return [
        "## Lesions",
        "",
        f"`lesions.onnx` outlines lesions for `dr-pipeline score --lesions`, on a canvas of {described.canvas_px} px "
        f"({counting.um_per_px:.1f} µm a pixel). It gives no grade: where the ICDR rules on its counts differ from the "
        "grade, a human is asked. The bundle's id does not cover it; SHA256SUMS does.",
        "",
        "| kind | probability from which a pixel shows it | smallest place, px | its surest pixel, at least | area "
        "under precision and recall, confidence interval, photographs |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Areas by cross-validation, with networks of the same training that did not see the photograph; the one in the "
        "bundle learned from all of them.",
        "",
        _false_alarms(described.false_alarms),
        "",
    ]


def _false_alarms(figure: Mapping[str, Any]) -> str:
    if is_estimate(figure):
        return (
            f"Fraction of photographs without lesions in which lesions were counted: {format_estimate(figure)}. The "
            "second opinion is not grade 0 there, and a human is asked."
        )
    return (
        "No photograph without lesions was measured: how often the second opinion calls a healthy eye diseased, and "
        "asks a human, is unknown. Count it in photographs of grade 0 before use."
    )


def _population(development: Mapping[str, Any] | None) -> list[str]:
    """Of the photographs that the network was trained and the decision fitted on."""
    if development is None:
        return ["Not stated by this bundle; it was packaged before bundles stated it."]
    data_set, unknown = development["data_set"], development["photographs_of_unknown_patients"]
    named = "; ".join(f"{key}: {_escaped(data_set[key])}" for key in ("name", "licence", "citation") if key in data_set)
    patients = f"{development['patients']} patients" if development["patients"] else "unknown patients"
    if unknown and development["patients"]:
        patients += f"; the patients of {unknown} photographs are unknown"
    lines = [
        "| training and validation | value |",
        "|---|---|",
        f"| data set | {named or 'not named'} |",
        f"| photographs | {development['photographs']} of {patients} |",
        f"| by grade 0 / 1 / 2 / 3 / 4 | {' / '.join(str(count) for count in development['by_grade'].values())} |",
        f"| sites | {_counted(development['sites'])} |",
        f"| cameras (by EXIF, DICOM or labels) | {_counted(development['cameras'])} |",
        f"| file formats | {_counted(development['formats'])} |",
    ]
    if unknown:
        lines += [
            "",
            "**Patients are not known for all photographs: those of one patient may be in training and in validation, "
            "and the figures below may be too good.**",
        ]
    return lines


def _counted(counts: Mapping[str, int]) -> str:
    """Such as `hill 120, sea 40`, the most frequent first; what has no name is unknown."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{_escaped(name) or 'unknown'} {count}" for name, count in ordered)


def _failures(validation: Mapping[str, Any]) -> list[str]:
    """What went wrong on the validation photographs; figures of other protocols may state less."""
    lines = []
    if confusion := validation.get("confusion"):
        severe = confusion[VISION_THREATENING_FROM:]
        missed, total = sum(sum(row[: Grade.MILD + 1]) for row in severe), sum(map(sum, severe))
        lines.append(f"- Severe or proliferative disease called none or mild: {missed} of {total} photographs.")
        errors = {
            (grade, called): count
            for grade, row in enumerate(confusion)
            for called, count in enumerate(row)
            if grade != called and count
        }
        if errors:
            grade, called = max(errors, key=lambda pair: errors[pair])
            lines.append(
                f"- Most frequent error: grade {grade} called {called}, {errors[grade, called]} of "
                f"{sum(confusion[grade])} photographs."
            )
    if recalls := {grade: one for grade, one in validation.get("recall", {}).items() if is_estimate(one)}:
        grade = min(recalls, key=lambda each: recalls[each]["value"])
        lines.append(f"- Grade found least often: {grade}, recall {format_estimate(recalls[grade])}.")
    if rates := {grade: one for grade, one in validation.get("rejection_by_grade", {}).items() if is_estimate(one)}:
        grade = max(rates, key=lambda each: rates[each]["value"])
        lines.append(f"- Rejected most often as ungradable: grade {grade}, {format_estimate(rates[grade])}.")
    if is_estimate(validation.get("ece")):
        lines.append(f"- Expected calibration error: {format_estimate(validation['ece'])}.")
    return lines or ["- Not stated: these figures hold no counts by grade."]


def _validated(metadata: Mapping[str, Any]) -> list[str]:
    fit = metadata.get("recalibration")
    if fit is None:
        return [
            "On the validation split, which also chose thresholds and model, so these figures are optimistic; the "
            "figures on the test split stand beside the bundle, in reports/test.json. Graded by "
            f"{metadata['model']['ensemble']['validated_by']}."
        ]
    before, difference = fit["before"]["qwk"], fit["difference"]["qwk"]
    return [
        f"On {fit['photographs']} photographs of {fit['patients']} patients of {site_text(fit['site'])}, each graded "
        "by a decision fitted on the other four fifths of the patients. "
        f"The parent, bundle {fit['parent']}, had qwk {format_estimate(before)} on them: the difference is "
        f"{format_estimate(difference)}. For other sites than this one take the parent."
    ]


def _escaped(text: str) -> str:
    r"""Text of the data for a cell of a Markdown table: neither a cell, a tag nor a link."""
    return re.sub(r"([\\`*_{}\[\]<>|#!])", r"\\\1", " ".join(text.split()))


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in sorted(values))


def _precision(model: Mapping[str, Any]) -> str:
    precision = model.get("precision", FLOAT32)
    return "" if precision == FLOAT32 else f", {precision}"


def _ensemble(ensemble: Mapping[str, Any]) -> list[str]:
    members, views = ensemble["members"], ensemble["views"]
    if len(members) == len(views) == 1:
        return []
    if ensemble["combine"] == "cascade":
        fitted = ensemble["fitted"]
        return [
            f"| two networks in a row | {fitted['small']} grades; {fitted['large']} grades again where the expected "
            f"grade lies closer than {fitted['margin']:.3f} to a cut point: {fitted['asked_share']:.1%} of the "
            "validation photographs. Logits are divided by each network's own temperature. The time of a photograph "
            "depends on whether both grade it |",
            "| attribution | none in `explain.onnx`: which network grades is no smooth function of the picture; "
            "`explain` takes occlusion |",
        ]
    trained = ", ".join(f"fold {member['fold']} seed {member['seed']}" for member in members)
    return [
        f"| ensemble | {len(members)} network(s) ({trained}) on {len(views)} view(s) ({', '.join(views)}), "
        f"combined: {ensemble['combine']} |"
    ]


def _site_thresholds(gradability: Mapping[str, Any]) -> str:
    sites = "; ".join(f"{_escaped(site)} {threshold:.3f}" for site, threshold in gradability["sites"].items())
    return f" (by site: {sites})" if sites else ""
