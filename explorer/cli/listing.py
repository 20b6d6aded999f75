"""Arguments of the commands that list search spaces and devices → one call each, as tables or JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import explorer
from explorer.cli.terminal import AsJson, print_each, print_json, print_parts
from explorer.core.errors import DeviceError, ExplorerError
from explorer.devices import DEVICES_FILE
from explorer.devices import devices as entries

# Tables, pandas and all else that takes long to import is imported where it is used: `dlas --help` answers at once.
if TYPE_CHECKING:
    from explorer.line.trials.dry_run import StageCount

MOST_COUNTED = 20_000  # configurations whose stages are counted, in 5 s; of a million that would take minutes


def spaces(
    space: Annotated[
        str | None, typer.Argument(help="A search-space file, or the name of a bundled one: what it asks for.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the bundled search spaces; or of one space its axes, its size and how often each stage is executed."""
    from explorer.line.trials import dry_run
    from explorer.results import export
    from explorer.results.tables import space_tables
    from explorer.space.space import load
    from explorer.space.toml import space_file

    if space is None:
        bundled = [load(path, to_run=False) for path in space_file.bundled()]
        if as_json:
            return print_json("spaces", {"spaces": [export.space_row(each) for each in bundled]})
        return print_parts(space_tables.spaces_table(bundled))
    found = load(space, to_run=False)

    def stages() -> Sequence[StageCount] | None:
        return None if found.continuous or found.count > MOST_COUNTED else dry_run.count(found)

    if as_json:
        return print_json("spaces", {"space": export.whole_space(found, stages())})
    return print_each(space_tables.space_text(found, stages))


def devices(
    file: Annotated[Path | None, typer.Option(help="Devices file; the bundled one if not given.")] = None,
    check: Annotated[
        str | None, typer.Option(help="Name of a device: ask it what answers, what it is and what it can do at most.")
    ] = None,
    add: Annotated[
        str | None, typer.Option(help="Name of an entry to add, by default to devices.toml; with --tracker.")
    ] = None,
    tracker: Annotated[str | None, typer.Option(help="With --add: its tracker, host:port.")] = None,
    ssh: Annotated[
        str | None, typer.Option(help="With --add: user@host of the machine where the tracker has that address.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="With --add: its key at the tracker, the name if not given.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="With --add: llvm, its processor (the default), or its GPU by opencl or cuda.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the devices that a search space may name, check one of them, or add one by what it says of itself."""
    from explorer.results.tables import device_tables

    added = add is not None
    if added != (tracker is not None) or ((ssh or key or kind) and not added) or (added and check is not None):
        both = "--add NAME and --tracker HOST:PORT go together"
        raise ExplorerError(f"{both}, --ssh, --key and --kind with both, and --check without them")
    if check is not None:
        return _check(check, file, as_json)
    if add is not None and tracker is not None:
        found = [explorer.add_device(add, tracker, key, file or DEVICES_FILE, kind or "llvm", ssh or "")]
    else:
        found = list(entries(file).values())
    if as_json:
        print_json("devices", {"devices": [device.model_dump() for device in found]})
    else:
        print_parts(device_tables.devices_table(found))
    return None


def _check(name: str, file: Path | None, as_json: bool) -> None:
    """Print what of a device answers; why it cannot be measured on is an error."""
    from explorer.results.tables import device_tables

    answers = explorer.check_device(name, file)
    if as_json:
        print_json("devices", {"check": answers.as_dict()}, answers.refusal)
    else:
        print_parts(device_tables.answers_table(answers))
    if answers.refusal and as_json:  # the error is in the document; a second one would follow an exception
        print(f"error: {answers.refusal}", file=sys.stderr)
        raise typer.Exit(2)
    if answers.refusal:
        raise DeviceError(answers.refusal)


COMMANDS: tuple[Callable[..., None], ...] = (spaces, devices)  # in the help's order
