"""Options of the command line: one for every setting, made from it."""

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import BeforeValidator, ValidationError

from gatecast.config import TABLE_OF, TABLES, Config, meant, merged, read_toml
from gatecast.errors import UsageError, explained


def settings(*tables: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every setting of some tables; it gets those given as `**options`.

    What is wrong with a setting is told by its option where that was given.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        parameters = [part for part in signature.parameters.values() if part.kind is not part.VAR_KEYWORD]
        for table in tables:
            parameters += [
                _option(table, name, field) for name, field in TABLES[table].model_fields.items() if name != "url"
            ]

        @wraps(command)
        def run(**asked: Any) -> None:
            try:
                command(**asked)
            except UsageError as error:
                if not isinstance(error.__cause__, ValidationError):
                    raise
                raise UsageError(explained(error.__cause__, meant, _called(asked))) from None

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {part.name: part.annotation for part in parameters}
        return run

    return decorate


def _called(asked: dict[str, Any]) -> dict[str, str]:
    """What was typed for the settings given as options; what is said of their tables names options itself."""
    named = {name: TABLE_OF[name] for name, value in asked.items() if name in TABLE_OF and value is not None}
    return {f"{table}.{name}": _flag(name) for name, table in named.items()} | dict.fromkeys(named.values(), "")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option(table: str, name: str, field: Any) -> inspect.Parameter:
    """The option of a setting. None means not given: what a file says, or the default, then holds."""
    kind = next((part for part in get_args(field.annotation) if part is not type(None)), field.annotation)
    flag, shown = _flag(name), _shown(field.default)
    if field.annotation is bool:
        kind, flag = bool, f"{flag}/--no-{flag[2:]}"
    elif isinstance(field.default, tuple) or "tuple" in str(field.annotation):
        kind = list[str]
    elif "Literal" in str(field.annotation):
        choices = get_args(field.annotation)
        kind = field.annotation if all(isinstance(part, str) for part in choices) else choices[0]
    elif kind not in (int, float) or any(isinstance(part, BeforeValidator) for part in field.metadata):
        kind = str
        shown = shown if isinstance(field.default, str) else ""  # with a unit: its description says it
    option = typer.Option(
        flag, help=f"{field.description}{shown}", rich_help_panel=table.capitalize(), show_default=False
    )
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _shown(default: object) -> str:
    if default in (None, (), "", 0):
        return ""
    return f" (default: {' '.join(f'{part:g}' for part in default) if isinstance(default, tuple) else default})"


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given.

    Raises:
        UsageError: one is empty, as of a shell's variable that is not set.
    """
    for name, value in options.items():
        if value == "":
            raise UsageError(f"{_flag(name)} is empty: give a value or leave it out")
    return {name: value for name, value in options.items() if value not in (None, [], ())}


def config_of(source: str, options: dict[str, Any]) -> Config:
    """Settings from a file, if the source is one, with the options given put over them."""
    asked = given(options)
    if source.endswith(".toml"):
        return Config(**merged(read_toml(source), asked))
    return Config.from_options(source, asked)


def dates_of(text: str) -> list[str]:
    """A date itself, or the lines of stdin (-) or of a file.

    Raises:
        UsageError: one is no date.
    """
    if text == "-":
        return _dates(sys.stdin.read(), "stdin")
    if not _is_file(text):
        return _dates(text)
    try:
        return _dates(Path(text).read_text(encoding="utf-8"), text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{text!r} is no file of dates, one a line: {error}") from None


def _dates(text: str, file: str = "") -> list[str]:
    """The lines that are not empty, each of them a date."""
    from gatecast.data.dates import parse_date  # noqa: PLC0415 - needs numpy, which help does not

    lines = enumerate(text.removeprefix("\ufeff").splitlines(), 1)  # without the mark that Windows puts before texts
    found = {number: line.strip() for number, line in lines if line.strip()}
    for number, line in found.items():
        try:
            parse_date(line)
        except UsageError as error:
            raise UsageError(f"line {number} of {file}: {error}" if file else f"{error}; nor is it a file") from None
    return [*found.values()]


def _is_file(text: str) -> bool:
    with suppress(OSError):  # too long to be a name
        return Path(text).is_file()
    return False
