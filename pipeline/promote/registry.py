"""The MLflow model registry: the versions of ``lipsmith-generator`` and their aliases.

A version is an MLflow model of the flavour ``python_function`` (`promote.package`) among the artifacts of a run. Its
tags hold the metrics of its latest evaluation. The run also lists the version's training clips, so that a later
evaluation can find those among its held-out clips.

Aliases: ``champion``; ``previous``, the champion before it; ``challenger``, the last model that was not promoted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.choices import Alias
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.params import Params
from pipeline.promote.gate import GateOutcome, ModelScores
from pipeline.promote.lineage import REGISTERED_NAME, describe_version
from pipeline.promote.version_files import (
    RegistryError,
    clip_list_name,
    clip_scores_name,
    downloaded_generator,
    generator_at,
    model_folder,
    names_at,
    read_description,
    read_text,
    upload_model,
    upload_text,
)
from pipeline.promote.version_tags import scores_of, tags_of
from pipeline.tracking.runs import find_training, run_key
from pipeline.tracking.store import experiment_id, naming_the_store, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

HOW_TO_REGISTER = "`python -m pipeline.promote` or `python -m flows.retrain` registers the trained model"


@contextmanager
def open_registry(layout: Layout) -> Iterator[Registry]:
    """Yield the registry in the checkout's MLflow store. Errors of the store within the block become RegistryError."""
    with naming_the_store(layout, RegistryError):
        yield Registry(open_client(layout))


class Registry:
    """The versions and aliases of ``lipsmith-generator``."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def versions(self) -> list[ModelVersion]:
        """All versions, the newest first, with their aliases."""
        numbers = sorted((int(found.version) for found in self._versions()), reverse=True)
        return [self._get(str(number)) for number in numbers]  # a search returns no aliases

    def find(self, name: str) -> ModelVersion:
        """The version with this number or alias. Raises RegistryError that lists the existing ones."""
        aliases = self.aliases()
        known = [str(found.version) for found in self._versions()]
        number = aliases.get(name, name)
        if number not in known:
            if not known:
                raise RegistryError(f"no version of {REGISTERED_NAME} is registered; {HOW_TO_REGISTER}")
            listed = ", ".join([*sorted(aliases), *sorted(known, key=int)])
            raise RegistryError(f"{REGISTERED_NAME} has no version or alias {name!r}; it has {listed}")
        return self._get(number)

    def make_champion(self, version: str) -> None:
        """Give ``champion`` to a version, and ``previous`` to the champion before it.

        A version that becomes the champion is no longer the challenger.
        """
        aliases = self.aliases()
        if aliases.get("champion") == version:
            return
        self.move_aliases(version, aliases.get("champion"), "promoted", keep_challenger=aliases.get("challenger"))

    def state(self) -> dict[str, Any]:
        """The aliases and all versions' tags. Equal states mean that the registry did not change."""
        return {"aliases": self.aliases(), "tags": {v.version: dict(v.tags) for v in self._versions()}}

    def aliases(self) -> dict[str, str]:
        """Alias -> version."""
        found = self._client.search_registered_models(f"name = '{REGISTERED_NAME}'")
        return {alias: str(version) for alias, version in found[0].aliases.items()} if found else {}

    def aliased(self, alias: Alias) -> str:
        """The version of an alias. Raises RegistryError that lists the existing aliases."""
        aliases = self.aliases()
        if alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none yet"
            raise RegistryError(f"{REGISTERED_NAME} has no {alias} (aliases: {known}); {HOW_TO_REGISTER}")
        return aliases[alias]

    def scores(self, version: str) -> ModelScores:
        """The metrics in a version's tags. Raises RegistryError for a version that this pipeline did not register."""
        try:
            return scores_of(self._get(version).tags)
        except (KeyError, ValueError) as error:
            raise RegistryError(
                f"version {version} of {REGISTERED_NAME} has no usable metrics in its tags ({error!r}); move its "
                "aliases to another version, or remove them, in the MLflow UI"
            ) from None

    def register(
        self,
        layout: Layout,
        folder: Path,
        variant: str,
        scores: ModelScores,
        params: Params,
        trained_on: Collection[str],
    ) -> str:
        """The version of the model in ``folder``, created if the model is new. Its tags are set to ``scores``.

        If files of an existing version are missing, they are uploaded again.
        """
        known = [v for v in self._versions() if v.tags.get("model_sha256") == scores.model_sha256]
        if known:
            version = str(known[0].version)
            source = self._source(version)
            root, _, name = source.rpartition(f"/{model_folder(scores.model_sha256)}")
            is_ours = root and not name  # false for a version that was created in the MLflow UI
            if is_ours and not {path.name for path in folder.iterdir()} <= names_at(generator_at(source)):
                upload_model(root, folder, scores.model_sha256, trained_on, params)
                logger.info(
                    "files of version %s were missing at %s; they are uploaded again", version, redacted(source)
                )
        else:
            version = self._create(layout, folder, variant, scores.model_sha256, params, trained_on)
        self.set_scores(version, scores)
        self._client.set_model_version_tag(REGISTERED_NAME, version, "variant", variant)
        describe_version(self._client, version, layout, scores, params)
        return version

    def lse_d_by_video(self, version: str, scores: ModelScores) -> dict[str, float] | None:
        """LSE-D of every video of the version's model under the evaluation of ``scores``; None if it is missing.

        Raises RegistryError if the artifact store cannot be read.
        """
        name = clip_scores_name(scores.model_sha256, scores.evaluation_digest)
        text = self._text(version, scores.model_sha256, name)
        found: dict[str, float] | None = None if text is None else json.loads(text)
        return found

    def _text(self, version: str, sha256: str, name: str) -> str | None:
        """A text file beside the model with this digest; None if it is missing. Raises as ``read_text``."""
        root = self._source(version).removesuffix(f"/{model_folder(sha256)}")
        return read_text(root, name)

    def set_scores(self, version: str, scores: ModelScores) -> None:
        """Set the version's tags and its LSE-D by video to ``scores``."""
        if scores.lse_d_by_video is not None and self.lse_d_by_video(version, scores) is None:
            name = clip_scores_name(scores.model_sha256, scores.evaluation_digest)
            root, _, rest = self._source(version).rpartition(f"/{model_folder(scores.model_sha256)}")
            if root and not rest:  # false for a version that was created in the MLflow UI
                upload_text(root, name, json.dumps(scores.lse_d_by_video))
        for name, value in tags_of(scores).items():
            self._client.set_model_version_tag(REGISTERED_NAME, version, name, value)

    def move_aliases(
        self, version: str, champion: str | None, outcome: GateOutcome, *, keep_challenger: str | None = None
    ) -> None:
        """Move the aliases according to the outcome. ``keep_challenger``: a version that keeps that alias.

        ``champion``: the champion that the outcome was decided against. ``previous`` is set before ``champion``, so
        that a crash between the two keeps the old champion. Raises TemporaryError, before it moves an alias, if another
        process (of a checkout that uses the same server) has changed the champion meanwhile.
        """
        set_alias = self._client.set_registered_model_alias
        aliases = self.aliases()
        if (now := aliases.get("champion")) != champion:
            raise TemporaryError(
                f"another process has changed the champion of {REGISTERED_NAME} meanwhile (version before: "
                f"{champion or 'none'}, now: {now or 'none'}); no alias was moved, run this again"
            )
        if outcome == "promoted":
            if champion:
                set_alias(REGISTERED_NAME, "previous", champion)
            set_alias(REGISTERED_NAME, "champion", version)
            if "challenger" in aliases and keep_challenger in (None, version):
                self._client.delete_registered_model_alias(REGISTERED_NAME, "challenger")
        if outcome in ("refused", "not_comparable"):
            set_alias(REGISTERED_NAME, "challenger", version)

    @contextmanager
    def files(self, version: str) -> Iterator[Path]:
        """Yield a temporary folder with the version's files. Raises RegistryError if they are missing or unreadable."""
        source = self._source(version)
        with downloaded_generator(source, f"version {version} of {REGISTERED_NAME}") as found:
            if found is None:
                raise RegistryError(
                    f"the files of version {version} of {REGISTERED_NAME} are missing at {redacted(source)}. If the "
                    "trained model is that version, `python -m pipeline.promote` uploads them again; with --force it "
                    "promotes the trained model instead. `python -m pipeline dub --model FOLDER` uses a model from a "
                    "folder"
                )
            yield found

    def description(self, version: str) -> dict[str, Any] | None:
        """The content of the version's ``model.json``; None if it cannot be read.

        Raises RegistryError if the package that reads the artifact store is not installed.
        """
        return read_description(self._source(version))

    def trained_on(self, version: str) -> set[str] | None:
        """Ids of the clips that the version was trained on; None if the list is missing. Raises as ``read_text``."""
        sha256 = self._get(version).tags["model_sha256"]
        text = self._text(version, sha256, clip_list_name(sha256))
        return None if text is None else set(text.splitlines())

    def _source(self, version: str) -> str:
        return str(self._client.get_model_version_download_uri(REGISTERED_NAME, version))

    def _get(self, version: str) -> ModelVersion:
        return self._client.get_model_version(REGISTERED_NAME, version)

    def _versions(self) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{REGISTERED_NAME}'"))

    def _create(
        self, layout: Layout, folder: Path, variant: str, sha256: str, params: Params, trained_on: Collection[str]
    ) -> str:
        if not self._client.search_registered_models(f"name = '{REGISTERED_NAME}'"):
            self._client.create_registered_model(REGISTERED_NAME)
        run_id = self._run_of(layout, variant, sha256, params)
        root = str(self._client.get_run(run_id).info.artifact_uri)
        upload_model(root, folder, sha256, trained_on, params)
        source = f"{root}/{model_folder(sha256)}"
        made = self._client.create_model_version(REGISTERED_NAME, source=source, run_id=run_id)
        return str(made.version)

    def _run_of(self, layout: Layout, variant: str, sha256: str, params: Params) -> str:
        """Id of the run that trained the model, or of a new run if the training was not tracked."""
        experiment = experiment_id(self._client, layout, params.dataset.source)
        found = find_training(self._client, experiment, run_key(layout, "evaluate", variant, ""), sha256)
        if found:
            return found
        run_id = str(self._client.create_run(experiment, run_name=f"promote-{variant}").info.run_id)
        self._client.set_terminated(run_id)
        return run_id
