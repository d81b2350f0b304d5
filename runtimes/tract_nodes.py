"""tract's profile, read: what each node of the plan took, and which nodes of the model it stands for.

Nothing here imports tract: the adapter hands over the parsed JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimes.profiled_nodes import Profile, ProfiledNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.graph_nodes import Graph

NOTES = (
    "tract profiles for five seconds, however long a call takes, on one set of inputs, and gives means.",
    "What is inside a loop (the body of a recurrent operator) has no time of its own; the loop has.",
)


def read_profile(profile: Mapping[str, Any], graph: Graph) -> Profile:
    """Means per node, from the JSON of ``profile_json``.

    tract names what it makes of a node after it, with an ending after a dot or a dash for each piece.

    Args:
        profile: ``nodes`` and ``profiling_info``.
        graph: the model's.
    """
    # A node's place is the last part of its id; the first is the loop it is inside of.
    timed = [node for node in profile["nodes"] if node.get("secs_per_iter") is not None]
    timed.sort(key=lambda node: (str(node["qualified_id"][0]), node["qualified_id"][1]))
    nodes = [
        ProfiledNode(
            node["node_name"], node["op_name"], node["secs_per_iter"] * 1e9, 1.0, stands_for(graph, node["node_name"])
        )
        for node in timed
    ]
    info = profile["profiling_info"]
    return Profile(int(info["iterations"]), info["secs_per_iter"] * 1e9, tuple(nodes), NOTES)


def stands_for(graph: Graph, name: str) -> tuple[str, ...]:
    """The node of the model that a node of the plan is named after; none where tract added it."""
    while name:
        key = graph.key_of(name)
        if key is not None:
            return (key,) if key in graph.live else ()
        name = name[: max(name.rfind("."), name.rfind("-"), 0)]
    return ()
