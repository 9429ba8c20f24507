"""The one file that touches ray: actors by name, messages to them, stages of a dataset.

Rules of this file:
- Ray's types are partial, and it need not be installed: here it is `Any`, and nowhere else.
- Public names of ray alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from openrouter_embed.errors import ConfigurationError, EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Mapping

D = TypeVar("D")
NAMESPACE: Final = "openrouter_embed"
"""Where the names of our actors are known, whatever namespace a job has."""


def _ray(module: str = "ray") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        pass
    raise ConfigurationError(
        "`openrouter_embed.ray` needs Ray Data: pip install 'openrouter-embed[ray]'."
    )


def start_actor(cls: type, arguments: tuple[Any, ...], name: str) -> Any:
    """Start a small actor on the driver's own node, and return its handle; it ends with that."""
    ray = _ray()
    strategies = _ray("ray.util.scheduling_strategies")
    if not ray.is_initialized():
        ray.init()
    here = ray.get_runtime_context().get_node_id()
    return (
        ray.remote(cls)
        .options(
            name=name,
            namespace=NAMESPACE,
            num_cpus=0,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(here, soft=True),
        )
        .remote(*arguments)
    )


def find_actor(name: str) -> Any:
    """Return the handle of an actor.

    Raises:
        EmbeddingError: There is none of that name.
    """
    ray = _ray()
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        pass
    raise EmbeddingError(_GONE)


def ask(actor: Any, method: str, *arguments: Any) -> Any:
    """Call a method of an actor, and return its answer.

    Raises:
        EmbeddingError: The actor is gone.
    """
    ray = _ray()
    try:
        return ray.get(getattr(actor, method).remote(*arguments))
    except ray.exceptions.RayError:  # it died, or Ray was shut down
        pass
    raise EmbeddingError(_GONE)


def tell(actor: Any, method: str, *arguments: Any) -> None:
    """Call a method of an actor without waiting; what is told later arrives later."""
    getattr(actor, method).remote(*arguments)


_GONE: Final = (
    "The bill is gone: it lives in the cluster as long as the `Bill` lives in the program that "
    "made it. Run again with a new one."
)


def mapped(
    ds: D,
    cls: type,
    told: Mapping[str, Any],
    *,
    actors: int,
    batch_size: int,
    num_cpus: float,
) -> D:
    """Return a dataset whose batches go through a pool of actors.

    Args:
        ds: A dataset.
        cls: The actors' class; takes and returns tables of pyarrow.
        told: What its constructor is told.
        actors: How many there are.
        batch_size: Rows of a batch, and of a block: without blocks of that size one actor may get
            everything.
        num_cpus: Share of a CPU that is set aside for each.
    """
    if not (hasattr(ds, "repartition") and hasattr(ds, "map_batches")):
        raise ConfigurationError(
            f"`ds` must be a `ray.data.Dataset`, not a {type(ds).__name__}: "
            "`ray.data.read_parquet(...)` makes one."
        )
    dataset: Any = ds
    data = _ray("ray.data")
    mapped: D = dataset.repartition(target_num_rows_per_block=batch_size).map_batches(
        cls,
        fn_constructor_kwargs=dict(told),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=num_cpus,
        udf_modifying_row_count=False,
    )
    return mapped
