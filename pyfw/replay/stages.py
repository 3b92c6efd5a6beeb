"""The stages of a case: each end's are found, made, and put into a chain of its own.

In: a case whose ends are known. Out: chains by end, for pyfw._native.replay. A stage of a replay is the same
object as in a daemon; its clock is the replay's.
"""

from typing import Any

from pyfw.replay.case import Case


def chains_of(case: Case) -> dict[str, Any]:
    """What a plan has under "stages". Raises ConfigError for a stage that cannot be had."""
    if not case.stages:
        return {}
    # Most cases have none, and start faster without.
    from pyfw.pipeline import chain_of
    from pyfw.stages.find import find

    names = [end.name for end in case.ends]
    for end in case.stages:
        if end not in names:
            raise ValueError(f"stages are asked for at {end}, but the ends are {', '.join(names)}")
    return {end: chain_of(find(configs), configs) for end, configs in case.stages.items()}
