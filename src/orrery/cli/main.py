"""The command ``orrery``: finds the command asked for, loads nothing else, and turns errors into exit codes.

0 good, 1 failed, 2 wrong use (also: what ``check`` found), 3 wrong data, 4 not found (no such model or flow
file), 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence

from orrery import __version__
from orrery.cli.commands import COMMANDS, overview
from orrery.errors import OrreryError, did_you_mean

INTERRUPTED = 130


def main() -> None:
    """The entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):  # ASCII must not fail at a letter that it lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Errors go to standard error, without a traceback."""
    words = list(arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # ``orrery … | head``: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _tell(error, as_json=_wants_json(words))
    if code == INTERRUPTED:
        sys.stderr.write("\nStopped.\n")
    return code


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"--help", "-h", "help"}:
        if len(words) > 1 and words[0] == "help":
            return _dispatch([*words[1:], "--help"])
        sys.stdout.write(overview(__version__))
        return 0 if words else 2
    if words[0] in {"--version", "-V"}:
        sys.stdout.write(f"orrery {__version__}\n")
        return 0
    name = words[0]
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        hint = did_you_mean(name, COMMANDS) or "See them all with: orrery --help"
        sys.stderr.write(f"orrery: there is no {what} {name!r}. {hint}\n")
        return 2
    app = importlib.import_module(COMMANDS[name].module).app
    answer = app(args=words[1:], prog_name=f"orrery {name}", standalone_mode=False)
    return answer if isinstance(answer, int) else 0


def _tell(error: Exception, *, as_json: bool) -> int:
    """Print an error for people, or as JSON for programs; returns the exit code."""
    usage = getattr(error, "format_message", None)
    if usage is not None:  # typer found something wrong with the words
        return _tell_usage(error, usage())
    if not isinstance(error, OrreryError):
        sys.stderr.write(f"orrery: {type(error).__name__}: {error}\nThe same with --debug shows where.\n")
        return 1
    cause = error.__cause__
    code = cause.exit_code if isinstance(cause, OrreryError) else error.exit_code
    if as_json:
        told = {"slug": error.slug, "message": error.message, "hint": error.hint, "pointer": error.pointer}
        sys.stderr.write(json.dumps({"error": told}, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"orrery: {error}\n")
    return code


def _tell_usage(error: Exception, message: str) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "orrery"
    if message:
        sys.stderr.write(f"{command}: {message}\nSee: {command} --help\n")
    return int(getattr(error, "exit_code", 2))


def _wants_json(words: Sequence[str]) -> bool:
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(word in {"--output=json", "-ojson"} or (word in {"--output", "-o"} and after == "json")
               for word, after in pairs)  # fmt: skip


if __name__ == "__main__":
    main()
