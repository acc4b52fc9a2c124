"""cryo-EMMAE as a picker: training without labels, and candidates of a micrograph."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.errors import InputError, SettingsError, StageError
from vitreous.io.coordinates import read_coordinates
from vitreous.io.micrograph import read_micrograph
from vitreous.nets.model_files import read_model
from vitreous.picking.candidates import Array, Candidates, Image
from vitreous.picking.emmae.components import area_rule_candidates, picks_of
from vitreous.picking.emmae.dataset_typical import believed, typical_of_all, typical_profiles
from vitreous.picking.emmae.kmeans import KMeans, cluster_stream
from vitreous.picking.emmae.micrograph_clusters import Segmentation, segment
from vitreous.picking.emmae.mixture_margin import mixture_segment
from vitreous.picking.emmae.particle_cluster import particle_cluster, reference_cluster, token_mask
from vitreous.picking.emmae.preprocess import Prepared, prepare
from vitreous.picking.emmae.settings import EmmaeSettings, NetworkSettings
from vitreous.picking.emmae.tokens import Encoder, Tokens, load_encoder, token_map
from vitreous.picking.emmae.training import train_autoencoder, untrained_encoder
from vitreous.picking.emmae.training_set import Held, contaminated_part, contrast_of, hold_all
from vitreous.picking.emmae.windows import Picture
from vitreous.picking.model_files import required_model
from vitreous.picking.training import Source, Training
from vitreous.runtime.device import Runtime

log = logging.getLogger(__name__)
KIND = "vitreous emmae 1"


@dataclass(frozen=True)
class EmmaeModel:
    """What training leaves: the encoder (None for raw pixels), the clusters, and which is the particle.

    `typical` (sets, rings) are the rotational averages of the particles of each set trained on.
    """

    source: str
    encoder: Encoder | None
    clusters: KMeans
    particle: int
    typical: Array | None = None


def find_candidates(
    image: Image,
    pixel_size_A: float,
    diameter_A: float,
    contrast: str,
    settings: EmmaeSettings,
    runtime: Runtime,
    model: EmmaeModel | None = None,
) -> Candidates:
    """Candidates of a micrograph (h, w); scores above 0 are particles.

    Raises SettingsError without a model or with one whose tokens are of another source.
    """
    model = required_model(model, "emmae")
    if model.source != settings.tokens.source:
        raise SettingsError(
            "the model was trained on other tokens", place="tokens.source",
            found=settings.tokens.source, expected=model.source,
        )  # fmt: skip
    if contrast == "auto":
        contrast = contrast_of(image, diameter_A / pixel_size_A)
    prepared = prepare(image, diameter_A / pixel_size_A, contrast, settings.preprocess)
    contaminated = np.zeros(prepared.mask.shape, dtype=bool)
    if settings.components.reject:
        contaminated = contaminated_part(image, diameter_A / pixel_size_A, contrast, prepared)
    tokens = tokens_of(prepared, model.encoder, settings, runtime)
    segmentation = segment_micrograph(tokens, prepared.mask & ~contaminated, model, settings)
    if settings.components.rule == "area":
        return area_rule_candidates(segmentation, prepared, settings)
    return picks_of(segmentation, prepared, settings, contaminated, model.typical)


def tokens_of(
    prepared: Prepared, encoder: Encoder | None, settings: EmmaeSettings, runtime: Runtime
) -> Tokens:
    """The token map (rows, columns, d) of a prepared micrograph."""
    device = runtime.torch_device()
    return token_map(prepared.image, encoder, settings.tokens, prepared.diameter_px, device=device)


def segment_micrograph(
    tokens: Tokens, mask: NDArray[np.bool_], model: EmmaeModel, settings: EmmaeSettings
) -> Segmentation:
    """The particle cluster of a micrograph, as `settings.clusters.micrograph` says.

    Tokens outside the `mask` (h, w) of the picture take no part: they would draw the clusters to the ice.
    """
    inside, how = token_mask(mask), settings.clusters.micrograph
    if how == "mixture":
        return mixture_segment(tokens, inside, model.clusters, model.particle)
    refine = settings.clusters.refine if how == "refined" else []
    return segment(tokens, inside, model.clusters, model.particle, refine)


def load_model(path: Path, runtime: Runtime) -> EmmaeModel:
    """A trained model; raises InputError for what is none."""
    return restored(read_model(path, KIND), runtime)


def restored(stored: Mapping[str, Any], runtime: Runtime) -> EmmaeModel:
    """The model that a model file holds; raises InputError for tokens of a kind that is no more."""
    if stored.get("whitening") is not None:
        raise InputError("a model of whitened tokens, which are no more", todo="train it anew")
    sizes = NetworkSettings.model_validate(stored["settings"]["network"])
    encoder = None
    if stored["state"] is not None:
        device, pixels = runtime.torch_device(), (stored["mean"], stored["std"])
        encoder = load_encoder(sizes, stored["state"], *pixels, device)
    clusters = KMeans(stored["centres"].numpy(), stored["counts"].numpy())
    typical = None if stored["typical"] is None else np.atleast_2d(stored["typical"].numpy())
    return EmmaeModel(stored["settings"]["tokens"]["source"], encoder, clusters, stored["particle"], typical)


def train(
    sources: Sequence[Source], settings: EmmaeSettings, runtime: Runtime, folder: Path | None = None
) -> Training:
    """Train the autoencoder on micrographs, cluster their tokens, name the particles' cluster; no labels.

    Prepared micrographs lie in `folder` in 8 bits, checkpoints too. Micrographs that cannot be used are left
    out. Raises StageError where none can be used.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        held = hold_all(sources, settings, Path(scratch))
        if not held:
            raise StageError("no micrograph to train on", found=f"{len(sources)} that cannot be used")
        encoder, rows = _encoder([item.picture for item in held], settings, runtime, folder)

        def maps() -> Iterator[tuple[Tokens, Prepared, Held]]:
            for item in held:
                prepared = item.prepared()
                yield tokens_of(prepared, encoder, settings, runtime), prepared, item

        def blocks() -> Iterator[Tokens]:
            return (tokens[token_mask(item.clean)] for tokens, _, item in maps())

        seed, chosen = runtime.key("clusters") % 2**32, settings.clusters
        clusters = cluster_stream(blocks, chosen.clusters, sample=chosen.sample, seed=seed)
        if chosen.reference is None:
            particle = particle_cluster(((tokens, picture) for tokens, picture, _ in maps()), clusters)
        else:
            particle = _by_reference(chosen.reference, sources[0], encoder, clusters, settings, runtime)
        log.info("clusters of %s tokens, particles: number %d", clusters.counts.tolist(), particle)
        model = EmmaeModel(settings.tokens.source, encoder, clusters, particle)
        if settings.components.reject:
            model = replace(model, typical=_typical(maps(), held, model, settings))
    return Training(_stored(model, settings), rows)


def _typical(
    maps: Iterable[tuple[Tokens, Prepared, Held]],
    held: Sequence[Held],
    model: EmmaeModel,
    settings: EmmaeSettings,
) -> Array | None:
    """The typical particles (sets, rings) of the data sets that have one: each has a molecule of its own."""
    found: dict[str, list[Array]] = {}
    for tokens, picture, item in maps:
        part = segment_micrograph(tokens, item.clean, model, settings)
        found.setdefault(item.dataset, []).extend(typical_profiles([(part, picture, np.asarray(item.clean))]))
    averages = []
    for name, profiles in found.items():
        members = [item for item in held if item.dataset == name]
        pictures = [lambda item=item: (item.prepared(), np.asarray(item.clean)) for item in members]
        averages.append(typical_of_all(profiles, pictures, settings.min_distance))
    return believed([average for average in averages if average is not None])


def _encoder(
    pictures: Sequence[Picture], settings: EmmaeSettings, runtime: Runtime, folder: Path | None
) -> tuple[Encoder | None, list[dict[str, float]]]:
    """The encoder that `tokens.source` asks for and the log of its training."""
    if settings.tokens.source == "raw":
        return None, [{"micrographs": len(pictures)}]
    if settings.tokens.source == "untrained":
        return untrained_encoder(pictures, settings, runtime), [{"micrographs": len(pictures)}]
    given = settings.training.encoder_from
    if given is not None:
        return _given_encoder(given, settings, runtime), [{"micrographs": len(pictures)}]
    trained = train_autoencoder(pictures, settings, runtime, folder)
    device = runtime.torch_device()
    encoder = load_encoder(settings.network, trained.state, trained.mean, trained.std, device)
    return encoder, trained.log


def _given_encoder(path: Path, settings: EmmaeSettings, runtime: Runtime) -> Encoder:
    """The encoder of a trained model of the same sizes; raises SettingsError for others."""
    stored = read_model(path, KIND)
    if stored["state"] is None or stored["settings"]["network"] != settings.network.model_dump():
        raise SettingsError("the model has another encoder", place="training.encoder_from", found=path)
    found = restored(stored, runtime).encoder
    assert found is not None
    return found


def _by_reference(
    reference: Path,
    like: Source,
    encoder: Encoder | None,
    clusters: KMeans,
    settings: EmmaeSettings,
    runtime: Runtime,
) -> int:
    """The particle cluster by a micrograph with picks (STAR beside it, same stem), sampled as `like`."""
    image = read_micrograph(reference)
    prepared = prepare(image, like.diameter_px, like.contrast, settings.preprocess)
    tokens = tokens_of(prepared, encoder, settings, runtime)
    picks = read_coordinates(reference.with_suffix(".star"))
    row, column = prepared.from_full(picks["x"].to_numpy(float), picks["y"].to_numpy(float))
    return reference_cluster(tokens, clusters, row, column, prepared.diameter_px)


def _stored(model: EmmaeModel, settings: EmmaeSettings) -> dict[str, Any]:
    """The model as tensors and plain values."""
    encoder = model.encoder
    state = None if encoder is None else encoder.network.state_dict()
    return {
        "kind": KIND,
        "settings": {"network": settings.network.model_dump(), "tokens": settings.tokens.model_dump()},
        "state": None if state is None else {name: value.cpu() for name, value in state.items()},
        "mean": encoder.mean if encoder else 0.0,
        "std": encoder.std if encoder else 1.0,
        "centres": torch.from_numpy(model.clusters.centres),
        "counts": torch.from_numpy(model.clusters.counts),
        "particle": model.particle,
        "typical": None if model.typical is None else torch.from_numpy(model.typical),
    }
