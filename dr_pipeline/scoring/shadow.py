"""A challenger beside the champion: the same files, scored after the champion's table is whole.

The challenger comes second, in workers of its own: whatever it does, slow, broken or out of memory, the champion's rows
are those of a run without it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dr_pipeline.bundle.identity import BundleIdentity
from dr_pipeline.errors import DataError
from dr_pipeline.files import canonical_json, write_text
from dr_pipeline.scoring.agreement import agreement_report, agreement_row, pair_rows
from dr_pipeline.scoring.outputs import read_rows
from dr_pipeline.scoring.run import Run, lies_in
from dr_pipeline.tables.agreement import write_agreement


@dataclass(frozen=True)
class Shadow:
    """The challenger's run beside the champion's.

    Attributes:
        champion: Its run.
        run: The challenger's, whose table is `<out>.shadow.<suffix>`.
        identity: The champion.
        challenger: The challenger.
    """

    champion: Run
    run: Run
    identity: BundleIdentity
    challenger: BundleIdentity

    @classmethod
    def of(cls, champion: Run, identity: BundleIdentity, bundle: Path, challenger: BundleIdentity) -> "Shadow":
        """The challenger's run.

        Args:
            champion: The champion's run.
            identity: The champion.
            bundle: The challenger's folder or file.
            challenger: The challenger.

        Raises:
            DataError: Both are one bundle; the run is a shard; the tables would lie among the photographs.
        """
        out = champion.out
        if identity.bundle_id == challenger.bundle_id:
            raise DataError(
                f"champion and challenger are one bundle, {identity.bundle_id}",
                where=str(bundle),
                todo="name another bundle after --shadow",
            )
        if champion.shard.count > 1:
            raise DataError(
                "a challenger is scored beside a whole run, not beside one shard",
                where="--shadow",
                todo="leave out --num-shards",
            )
        if lies_in(out, champion.sources):
            raise DataError(
                "the tables would lie inside a folder that is scored, and be taken for photographs",
                where=str(out),
                todo="name an --out in another folder",
            )
        shadow_out = out.with_name(f"{out.stem}.shadow{out.suffix}")
        run = replace(champion, bundle=bundle, out=shadow_out, lesions=False)  # grades are compared
        return cls(champion, run, identity, challenger)

    @property
    def outputs(self) -> tuple[Path, Path]:
        """The table of both, and the report."""
        out = self.champion.out
        return out.with_name(f"{out.stem}.agreement.csv"), out.with_name(f"{out.stem}.agreement.json")

    def write_agreement(self) -> dict[str, Any]:
        """Writes the table and the report of both, which only their owner may read; returns the report."""
        ids = (self.identity.bundle_id, self.challenger.bundle_id)
        pairs = list(pair_rows(read_rows(self.champion.out), read_rows(self.run.out)))
        report = agreement_report(pairs, bundle_ids=ids)
        table, figures = self.outputs
        write_agreement(table, (agreement_row(pair, bundle_ids=ids) for pair in pairs), private=True)
        write_text(figures, canonical_json(report), private=True)
        return report
