"""The one place that turns an error into a message, a hint and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    # The search for cyclic garbage, while modules are loaded and again at the end, is a fifth of a short command.
    gc.set_threshold(200_000)
    code = run(sys.argv[1:] if arguments is None else list(arguments))
    gc.freeze()
    # A Ctrl-C that came while Python ran a string (a dataclass is made of some) would be remembered as one that nobody
    # took care of, and end the program by a signal instead of by its code. The next string that is run makes it forget.
    exec("")  # noqa: S102
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of one command line; messages go to stderr."""
    # All imports are in here, so that Ctrl-C during start-up is no traceback either.
    from typer.exceptions import Abort, Exit, TyperException  # noqa: PLC0415

    from ctl.cli.app import app  # noqa: PLC0415
    from ctl.core.errors import CtlError, Interrupted  # noqa: PLC0415

    debug = "--debug" in arguments or bool(os.environ.get("CTL_DEBUG"))
    try:
        code = app(args=arguments, prog_name="ctl", standalone_mode=False)
        if code == Interrupted.exit_code:
            # What Typer makes of Ctrl-C, without a word.
            return tell(Interrupted("interrupted"))
        return code if isinstance(code, int) else 0
    except Exit as stop:
        return int(stop.exit_code)
    except (KeyboardInterrupt, Abort):
        if debug:
            raise
        return tell(Interrupted("interrupted"))
    except TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context else "ctl --help"
        return tell(CtlError(error.format_message(), hint=hint), 2)
    except CtlError as error:
        if debug:
            raise
        return tell(error)
    except BrokenPipeError:
        # The reader of our output went away (`ctl ... | head`): nothing is left to say, not even at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        return tell(
            CtlError(f"a fault in ctl itself: {kind}: {error}", hint="the same command with --debug shows where")
        )


def tell(error: Exception, code: int | None = None) -> int:
    """Print an error for a person; returns the exit code."""
    from ctl.cli import terminal  # noqa: PLC0415
    from ctl.core.errors import CtlError  # noqa: PLC0415

    known = error if isinstance(error, CtlError) else CtlError(str(error))
    terminal.tell(known)
    return known.exit_code if code is None else code


if __name__ == "__main__":
    main()
