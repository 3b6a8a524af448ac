"""The model in MLflow's registry: its versions, each the logged model of one run, and which one is the champion.

The champion is an alias, so that `models:/NAME@champion` serves it whatever its number is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from softmax_regression.redaction import redact
from softmax_regression.tracking import connection
from softmax_regression.tracking.client import Client

CHAMPION = "champion"  # the alias
REPLACES = "replaces"  # a version's tag: the number of the champion before it
_MODEL = "model.id"  # a version's tag: MLflow's id of the logged model
_LINKS = "mlflow.modelVersions"  # a logged model's tag: the versions that the UI shows with it


@dataclass(frozen=True)
class Version:
    """A version of the registered model, and the run that it came of."""

    number: str
    run_id: str
    tags: Mapping[str, str]


class Registry:
    """The registered model called `name`, in the registry of a store; it need not be there yet."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name

    @property
    def uri(self) -> str:
        """What to give to `mlflow models serve -m`."""
        return f"models:/{self.name}@{CHAMPION}"

    def versions(self) -> dict[str, Version]:
        """Return the versions by number; those that were deleted are none."""
        found = self._client.mlflow.search_model_versions(f"name = '{self.name}'")
        return {str(one.version): Version(str(one.version), one.run_id, one.tags) for one in found}

    def champion(self) -> Version | None:
        """Return the champion, or None where there is none: MLflow takes the alias away with its version."""
        models = self._client.mlflow.search_registered_models(f"name = '{self.name}'")
        number = next((str(model.aliases[CHAMPION]) for model in models if CHAMPION in model.aliases), "")
        return self.versions().get(number)

    def register(self, run_id: str, tags: Mapping[str, str]) -> Version:
        """Return the version that is the model of this run, with these tags; it is created if it is not there.

        Raises ValueError where the run has no model.
        """
        mlflow, model = self._client.mlflow, self._client.model_of(run_id)
        if model is None:
            raise ValueError(f"the run {run_id} has no MLflow model; run `softmax-regression sync`")
        safe = {_MODEL: model.model_id} | {tag: redact(value) for tag, value in tags.items()}
        version = next((one for one in self.versions().values() if one.tags.get(_MODEL) == model.model_id), None)
        if version is None:
            self._create()
            # Its place, not models:/<id>, which MLflow looks up in whatever store the environment names.
            with connection.once():
                made = mlflow.create_model_version(
                    self.name, model.artifact_location, run_id, tags=safe, model_id=model.model_id
                )
            version = Version(str(made.version), run_id, safe)
        for tag, value in safe.items():
            if version.tags.get(tag) != value:
                mlflow.set_model_version_tag(self.name, version.number, tag, value)
        links, link = json.loads(model.tags.get(_LINKS, "[]")), {"name": self.name, "version": version.number}
        if link not in links:
            mlflow.set_logged_model_tags(model.model_id, {_LINKS: json.dumps([*links, link])})
        return Version(version.number, run_id, safe)

    def crown(self, version: Version) -> None:
        """Make a version the champion."""
        self._client.mlflow.set_registered_model_alias(self.name, CHAMPION, version.number)

    def _create(self) -> None:
        try:
            self._client.mlflow.create_registered_model(self.name)
        except connection.StoreUnavailableError as error:
            if getattr(error.__cause__, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
