"""A checkout with an empty MLflow store, and parameters with fixed rules."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core.layout import Layout
from pipeline.params import Params, load_params


@pytest.fixture
def params(repo_root: Path) -> Params:
    content = load_params(repo_root / "params.yaml")
    rules = {"variant": "lstm_cbam", "max_fid_increase": 5.0, "min_lse_d_gain": 0.0}
    return content.model_copy(update={"promote": content.promote.model_copy(update=rules)})


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without rows, to be copied: the migrations that make them take seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("store")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", (folder / "mlruns").as_uri())
    return folder / "mlflow.db"


@pytest.fixture
def layout(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    layout = Layout(tmp_path)
    shutil.copy(empty_store, layout.mlflow_db_path)
    return layout
