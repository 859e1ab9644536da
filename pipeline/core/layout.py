"""All paths of the project. ``dvc.yaml`` repeats them; a test compares the two."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.model_files import WEIGHTS_NAME

CODE_ROOT = Path(__file__).resolve().parents[2]
"""Folder that contains the packages of the running code."""


_COPIES = (".dvc", "tmp", "exps")
"""Folders below a checkout in which DVC makes the temporary copies of experiments."""


@dataclass(frozen=True)
class Layout:
    """Paths below one checkout."""

    root: Path

    @property
    def home(self) -> Path:
        """The checkout that remains: of a temporary copy the checkout from which DVC made it, else ``root``.

        `dvc exp run --temp` and `--queue` run in a copy of the tracked files below ``.dvc/tmp/exps`` and remove it
        afterwards. What git and DVC do not track is therefore read from ``home``, and what must outlast the run is
        written to it.
        """
        inside = (folder for folder in self.root.absolute().parents if folder.parts[-3:] == _COPIES)
        return next((folder.parents[2] for folder in inside), self.root)

    def find(self, path: Path) -> Path:
        """A path that the user gave. A relative one starts at ``root``, and at ``home`` if it does not exist there."""
        here = self.root / path.expanduser()
        return here if here.exists() else self.home / path.expanduser()

    @property
    def params_path(self) -> Path:
        return self.root / "params.yaml"

    @property
    def raw_dir(self) -> Path:
        """Rendered clips. DVC does not cache them."""
        return self.root / "data" / "raw"

    @property
    def downloads_dir(self) -> Path:
        """Downloaded corpora. DVC does not cache them. Temporary copies use those of the checkout that remains."""
        return self.home / "data" / "raw"

    @property
    def clips_root(self) -> Path:
        """The folder at which the manifest's relative paths start."""
        return self.root if self.raw_dir.is_dir() else self.home

    @property
    def manifest_path(self) -> Path:
        return self.root / "data" / "manifest.parquet"

    @property
    def shards_dir(self) -> Path:
        return self.root / "data" / "shards"

    @property
    def clips_dir(self) -> Path:
        """Index of the clips that are used. It refers to the shards."""
        return self.root / "data" / "clips"

    @property
    def artifacts_dir(self) -> Path:
        return self.root / "artifacts"

    @property
    def weights_dir(self) -> Path:
        """Downloaded weights. ``LIPSMITH_WEIGHTS_DIR`` sets a folder that several checkouts share."""
        return Path(os.environ.get("LIPSMITH_WEIGHTS_DIR") or self.home / "weights")

    @property
    def scratch_dir(self) -> Path:
        return self.root / ".scratch"

    @property
    def exports_dir(self) -> Path:
        """Generators that were exported to ONNX because a dub needed them, named by their digest."""
        return self.scratch_dir / "onnx"

    @property
    def logs_dir(self) -> Path:
        """The full log of every stage's last run, ``STAGE.log``, which the flows write."""
        return self.scratch_dir / "logs"

    @property
    def prefect_log_path(self) -> Path:
        """The log of the server that ``flows.serve --with-server`` starts."""
        return self.logs_dir / "prefect-server.log"

    def stage_lock_path(self, stage: str) -> Path:
        """The lock of a running stage, such as ``train_gan@lstm_cbam``."""
        return self.scratch_dir / "locks" / f"{stage}.lock"

    @property
    def durations_path(self) -> Path:
        """Seconds that every stage took when it last ran in a flow."""
        return self.scratch_dir / "durations.json"

    @property
    def mlflow_db_path(self) -> Path:
        return self.home / "mlflow.db"

    @property
    def comparison_path(self) -> Path:
        return self.stage_dir("compare") / "comparison.json"

    @property
    def summary_path(self) -> Path:
        """The comparison's findings and scores as a text for a terminal."""
        return self.stage_dir("compare") / "summary.txt"

    @property
    def decision_path(self) -> Path:
        """The decision that ``pipeline.promote`` writes."""
        return self.stage_dir("promote") / "decision.json"

    @property
    def champion_manifest_path(self) -> Path:
        """The list of clips when the champion was promoted. ``pipeline.promote`` copies it."""
        return self.stage_dir("promote") / "manifest.parquet"

    @property
    def drift_path(self) -> Path:
        """What ``pipeline.corpora.drift`` measured."""
        return self.stage_dir("promote") / "drift.json"

    def code_path(self, stage: str) -> Path:
        """The file with the digest of a stage's code."""
        return self.artifacts_dir / "code" / f"{stage}.txt"

    def stage_dir(self, stage: str, variant: str | None = None) -> Path:
        """The output folder of a stage, or of one variant of it."""
        base = self.artifacts_dir / stage
        return base / variant if variant else base

    def model_dir(self, stage: str, variant: str | None = None) -> Path:
        """The folder of the model that a training stage writes."""
        return self.stage_dir(stage, variant) / "model"

    def weights_path(self, stage: str, variant: str | None = None) -> Path:
        """The weights of the model that a training stage writes."""
        return self.model_dir(stage, variant) / WEIGHTS_NAME

    def metrics_path(self, stage: str, variant: str | None = None) -> Path:
        return self.stage_dir(stage, variant) / "metrics.json"


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above ``start`` (None: working directory) with ``params.yaml`` and ``dvc.yaml``.

    Raises UserError if there is none, or if its path contains a question mark.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            if "?" in str(folder):
                raise UserError(
                    f"the path of the checkout, {folder}, contains a question mark, which ends a path in the addresses "
                    "that MLflow uses: its files would lie outside the checkout; rename the folder"
                )
            return folder
    raise UserError(f"no params.yaml and dvc.yaml at or above {here}; run this inside a lipsmith checkout")
