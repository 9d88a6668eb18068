"""Prepares a data set with masks of lesions for training: same-eye safe, on canvases, in folds; and its report."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.lesion_build import write_lesion_canvases
from dr_pipeline.canvases.lesion_render import MaskedSource, RenderedMasks
from dr_pipeline.canvases.store import INDEX
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.errors import DataError
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.intake.lesion_adapters.choice import read_lesion_set
from dr_pipeline.intake.lesion_adapters.lesion_set import LesionSet
from dr_pipeline.intake.records import shortlist
from dr_pipeline.lesions.kinds import Kind, kinds_named
from dr_pipeline.lesions.on_canvas import um_per_px
from dr_pipeline.params.lesions import LesionData
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.splitting.balanced_folds import ALL, balanced_folds
from dr_pipeline.tables.lesion_index import LesionRow, write_lesion_index
from dr_pipeline.training.healthy_photographs import draw_healthy
from dr_pipeline.training.lesion_photographs import GradingSet, LesionPhotographs, select_photographs

LESION_REPORT_VERSION = 1
NOT_LEARNED = "annotated for none of `kinds`"


def prepare_lesion_canvases(
    name: str,
    data: LesionData,
    grading: GradingSet,
    out: Path,
    scratch: Path,
    engines: EngineChoice,
    *,
    grading_root: Path,
) -> dict[str, Any]:
    """Reads a data set with masks, leaves out what tests grades, and writes the store.

    Args:
        name: Of the entry of the section `lesions`.
        data: What it states.
        grading: The photographs with grades.
        out: The folder of the store, see `dr_pipeline.canvases.lesion_store`.
        scratch: Folder of the canvases that are compared with the grading set.
        engines: Where photographs are decoded.
        grading_root: The folder of the photographs with grades, for those without lesions.

    Returns:
        The report, for JSON.

    Raises:
        DataError: The data set differs from its layout, its masks cannot be used, too few photographs are left, or a
            kind is annotated or shown nowhere.
    """
    root, where = Path(data.root), f"params.yaml, lesions.{name}.data"
    kinds = kinds_named(data.kinds, where=where)
    lesion_set = read_lesion_set(data)
    _require_annotated(lesion_set, kinds, where=where)
    learned, others = _learned(lesion_set, kinds)
    photographs = select_photographs(learned, root, grading, scratch, engines)
    photographs = replace(photographs, left_out={**photographs.left_out, **dict.fromkeys(others, NOT_LEARNED)})
    if (count := len(set(photographs.groups.values()))) < data.folds:
        reasons = Counter(photographs.left_out.values())
        raise DataError(
            f"{count} groups of photographs are left for {data.folds} folds; left out: "
            + (", ".join(f"{number} {reason}" for reason, number in reasons.items()) or "none"),
            where=where,
            todo="use fewer folds, more photographs, or a split whose test part has other ones (split.test)",
        )
    sources = [
        MaskedSource(one.image_id, root, one.path, one.masks, tuple(kind for kind in kinds if kind in one.annotated))
        for one in lesion_set.photographs
        if one.image_id in photographs.groups
    ]
    healthy = draw_healthy(grading, lesion_set, photographs, data.healthy, data.seed, where=where)
    none = tuple(kind for kind in kinds if kind.is_lesion)
    sources += [MaskedSource(one.image_id, grading_root, one.path, (), none) for one in healthy]
    groups = {**photographs.groups, **{one.image_id: one.image_id for one in healthy}}
    found = write_lesion_canvases(sources, out, PixelPath(data.canvas_px), engines)
    _require_shown(found, kinds, where=where)
    folds = balanced_folds(_shown_by_group(found, groups), data.folds, data.seed)
    sites = {one.image_id: one.site for one in lesion_set.photographs}
    scale = um_per_px(data.canvas_px, data.field_degrees)
    rows = []
    for image_id, rendered in found.items():
        group = groups[image_id]
        rows.append(_row(image_id, rendered, group, folds[group], sites.get(image_id, ""), scale))
    write_lesion_index(out / INDEX, rows, private=True)
    return {"lesion_canvases": {name: _report(data, lesion_set, photographs, rows, found, kinds)}}


def _require_annotated(lesion_set: LesionSet, kinds: tuple[Kind, ...], *, where: str) -> None:
    annotated = {kind for photograph in lesion_set.photographs for kind in photograph.annotated}
    if lesion_set.photographs and (missing := [kind.name for kind in kinds if kind not in annotated]):
        orphans = lesion_set.orphan_masks
        raise DataError(
            "; ".join(
                [
                    f"annotated in no photograph: {', '.join(missing)}",
                    *lesion_set.warnings,
                    *([f"masks without a photograph: {shortlist(orphans)}"] if orphans else []),
                ]
            ),
            where=where,
            todo="correct the folder or the names of the masks; or leave the kind out of `kinds`: annotated are "
            + ", ".join(sorted(kind.name for kind in annotated)),
        )


def _learned(lesion_set: LesionSet, kinds: tuple[Kind, ...]) -> tuple[LesionSet, list[str]]:
    """The data set without photographs in which none of these kinds was annotated; and their ids."""
    learned = tuple(one for one in lesion_set.photographs if not set(kinds).isdisjoint(one.annotated))
    ids = {one.image_id for one in learned}
    return replace(lesion_set, photographs=learned), [
        one.image_id for one in lesion_set.photographs if one.image_id not in ids
    ]


def _require_shown(found: Mapping[str, RenderedMasks], kinds: tuple[Kind, ...], *, where: str) -> None:
    """A kind that no photograph shows cannot be learned."""
    missing = [kind.name for kind in kinds if not any(one.pixels.get(kind.name) for one in found.values())]
    if missing:
        raise DataError(
            f"shown by none of the {len(found)} photographs: {', '.join(missing)}",
            where=where,
            todo="leave it out of `kinds`, or add photographs that show it",
        )


def _shown_by_group(found: Mapping[str, RenderedMasks], groups: Mapping[str, str]) -> dict[str, Counter[str]]:
    shown: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for image_id, rendered in found.items():
        shown[groups[image_id]].update([ALL, *(name for name, pixels in rendered.pixels.items() if pixels)])
    return dict(shown)


def _row(image_id: str, rendered: RenderedMasks, group: str, fold: int, site: str, scale: float) -> LesionRow:
    return LesionRow(
        image_id=image_id,
        group=group,
        fold=fold,
        site=site,
        labelled=" ".join(rendered.pixels),
        pixels=" ".join(f"{name}={number}" for name, number in rendered.pixels.items()),
        pixel_hash=rendered.pixel_hash,
        um_per_px=scale,
        width=rendered.width,
        height=rendered.height,
        window_left=rendered.window.left,
        window_top=rendered.window.top,
        window_width=rendered.window.width,
        window_height=rendered.window.height,
    )


def _report(
    data: LesionData,
    lesion_set: LesionSet,
    photographs: LesionPhotographs,
    rows: list[LesionRow],
    found: Mapping[str, RenderedMasks],
    kinds: tuple[Kind, ...],
) -> dict[str, Any]:
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, reason in sorted(photographs.left_out.items()):
        by_reason[reason].append(image_id)
    overlapping = {image_id: one.overlapping_px for image_id, one in found.items() if one.overlapping_px}
    healthy = len(rows) - len(photographs.groups)
    fewer = [f"{healthy} photographs of grade 0 were found for `healthy: {data.healthy}`"] * (healthy < data.healthy)
    by_kind = {kind.name: _kind_figures(kind.name, rows, found, data.folds) for kind in kinds}
    return {
        "schema_version": LESION_REPORT_VERSION,
        "research_use": RESEARCH_USE,
        "data_set": asdict(lesion_set.provenance),
        "canvas": {"canvas_px": data.canvas_px, "um_per_px": round(rows[0].um_per_px, 4)},
        "photographs": {
            "with_masks": len(lesion_set.photographs),
            "used": len(photographs.groups),
            "healthy": healthy,
            "left_out": {reason: len(image_ids) for reason, image_ids in by_reason.items()},
            "not_annotated": len(lesion_set.not_annotated),
            "groups": len({row.group for row in rows}),
        },
        "left_out": by_reason,
        "not_annotated": list(lesion_set.not_annotated),
        "orphan_masks": list(lesion_set.orphan_masks),
        "in_grading_set": [asdict(match) for match in photographs.matches],
        "folds": {str(fold): sum(row.fold == fold for row in rows) for fold in range(data.folds)},
        "kinds": by_kind,
        "overlapping": {"photographs": len(overlapping), "pixels": sum(overlapping.values())},
        "warnings": [*lesion_set.warnings, *_warnings(lesion_set, found, by_kind), *fewer],
    }


def _kind_figures(name: str, rows: list[LesionRow], found: Mapping[str, RenderedMasks], folds: int) -> dict[str, Any]:
    annotated = [row for row in rows if name in row.labelled_kinds]
    showing = [row for row in annotated if row.pixels_of[name]]
    components = [found[row.image_id].components[name] for row in annotated]
    return {
        "annotated": len(annotated),
        "showing": len(showing),
        "groups_showing": len({row.group for row in showing}),
        "folds_without": [fold for fold in range(folds) if fold not in {row.fold for row in showing}],
        "pixels": sum(row.pixels_of[name] for row in showing),
        "components": {
            "in_photographs": sum(original for original, _ in components),
            "on_canvases": sum(on_canvas for _, on_canvas in components),
        },
    }


def _warnings(
    lesion_set: LesionSet, found: Mapping[str, RenderedMasks], by_kind: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    warnings = []
    if lesion_set.not_annotated:
        warnings.append(f"photographs without any mask, left out: {shortlist(lesion_set.not_annotated)}")
    if lesion_set.orphan_masks:
        warnings.append(f"masks without a photograph, not used: {shortlist(lesion_set.orphan_masks)}")
    masked = [one for one in lesion_set.photographs if one.image_id in found]
    if turned := sorted(one.image_id for one in masked if found[one.image_id].turned):
        warnings.append(
            f"photographs that are stored turned; their masks are taken as upright: {shortlist(turned)}; look at one"
        )
    if unknown := sum(not one.patient_id for one in masked):
        warnings.append(
            f"the patients of {unknown} of {len(masked)} photographs are unknown: the two eyes of one may be in "
            "different folds. The adapter `masks` reads patients from names, see masks.name_pattern"
        )
    for name, figures in by_kind.items():
        if figures["folds_without"]:
            warnings.append(f"{name} is in {figures['groups_showing']} groups only: some folds have none")
    return warnings
