"""Reads one YAML file as a mapping, and refuses what YAML would let pass: a key that is there twice."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from yaml import SafeLoader as BaseLoader
else:
    # the C parser is ten times faster; a source build of PyYAML may lack it
    BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(BaseLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            where = f"line {key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                msg = f"{where}: the key {key!r} is not text; put it in quotes"
                raise ValueError(msg)  # noqa: TRY004 - a mistake in a file, not in the program
            if key in seen:
                msg = f"{where}: the key {key!r} is there twice"
                raise ValueError(msg)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of ``path``.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not UTF-8, not YAML, not a mapping, or names a key twice; the message names the line.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except UnicodeDecodeError:
        msg = "is not UTF-8 text"
        raise ValueError(msg) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        msg = f"malformed YAML: {where}{error.problem or error.context}"
        raise ValueError(msg) from None
    except yaml.YAMLError as error:
        msg = f"malformed YAML: {error}"
        raise ValueError(msg) from None
    if not isinstance(content, dict):
        msg = f"must hold keys and values, but holds {'nothing' if content is None else type(content).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - a mistake in a file, not in the program
    return content
