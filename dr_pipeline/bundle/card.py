"""MODEL_CARD.md, written from metadata.json alone (Mitchell et al., "Model cards for model reporting", FAT* 2019)."""

from collections.abc import Mapping
from typing import Any

from dr_pipeline.bundle.recalibrated import site_text
from dr_pipeline.bundle.session import FLOAT32
from dr_pipeline.metrics.intervals import format_estimate, is_estimate


def model_card(metadata: Mapping[str, Any]) -> str:
    """The card as Markdown; every statement comes from metadata.json."""
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
        "## Limits",
        "",
        "- Trust no figure here for photographs of another camera, clinic or population before validating on them.",
        "- The grade is of one photograph, not of a patient; an ungradable photograph has none and needs a human.",
        "- `golden.npz` holds drawings, not photographs; the self-test proves that the network runs as packaged, not "
        "that it is right.",
        "",
        "## References",
        "",
        *(f"- {reference}" for reference in metadata["references"]),
        "",
    ]
    return "\n".join(lines)


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


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in sorted(values))


def _precision(model: Mapping[str, Any]) -> str:
    precision = model.get("precision", FLOAT32)
    return "" if precision == FLOAT32 else f", {precision}"


def _ensemble(ensemble: Mapping[str, Any]) -> list[str]:
    members, views = ensemble["members"], ensemble["views"]
    if len(members) == len(views) == 1:
        return []
    trained = ", ".join(f"fold {member['fold']} seed {member['seed']}" for member in members)
    return [
        f"| ensemble | {len(members)} network(s) ({trained}) on {len(views)} view(s) ({', '.join(views)}), "
        f"combined: {ensemble['combine']} |"
    ]


def _site_thresholds(gradability: Mapping[str, Any]) -> str:
    sites = "; ".join(f"{site} {threshold:.3f}" for site, threshold in gradability["sites"].items())
    return f" (by site: {sites})" if sites else ""
