"""The root of the command line: its verbs, its help, and how a run ends."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence

import click

from sessionctx.cli.exits import MEANINGS, Exit, cause, exit_code
from sessionctx.cli.interrupt import Interrupted
from sessionctx.cli.options import Settings, common
from sessionctx.cli.output import Output

_VERBS = {
    "add": "Put files and folders into the store; prints their CIDs.",
    "get": "Fetch a file or folder, verified, to the disk.",
    "cat": "Write a file to stdout, verified.",
    "ls": "List a folder, of a CID or of a storage.",
    "cp": "Copy files and folders between this machine, S3, SFTP, SMB, HTTP and IPFS.",
    "stat": "Say what a CID or path is.",
    "serve": "Serve the store as a gateway over HTTP.",
    "share": "Share a file with other services, under an id.",
    "load": "Load a blob from services that share it, verified, to the disk.",
    "many": "Get, put, look at or delete many objects of a service.",
    "bench": "Measure gateways: each alone, then all together.",
    "car": "Pack, unpack, list and verify CAR files.",
    "pin": "Say what to keep when garbage is collected.",
    "gc": "Delete what no pin leads to.",
    "verify": "Hash the whole store again, and say what is bad.",
    "cid": "Read CIDs.",
    "demo": "Share a folder from four gateways, good and bad, and fetch it back.",
}

_EPILOG = "\b\nExit codes (treat others as a failure):\n" + "\n".join(
    f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()
)


class _Verbs(click.Group):
    """The verbs; each is imported when it is used, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"sessionctx.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(
    cls=_Verbs,
    epilog=_EPILOG,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="sessionctx")
@common
def root() -> None:
    """Fetch content-addressed data from many peers, verified; share files and folders by their content.

    stdout is data only; progress and messages go to stderr.
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line with *arguments*, and return the exit code."""
    settings = Settings()
    output = settings.output
    try:
        code = int(_invoke(arguments, settings))
    except Interrupted as stopped:
        code = stopped.code
        _failed(output, stopped, code)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        code = error.exit_code
        output.summary(ok=False, exit=code, error=error.format_message())
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        _failed(output, Interrupted(code), code)
    except Exception as error:  # noqa: BLE001 - the end of the line: each becomes a message and a code
        code = exit_code(error)
        if code is Exit.NO_READER:
            return code
        if output.verbose:
            traceback.print_exc()
        _failed(output, cause(error), code)
    return _finish(output, code)


def _invoke(arguments: Sequence[str], settings: Settings) -> int:
    with root.make_context("sessionctx", list(arguments), obj=settings) as context:
        result = root.invoke(context)
        return result if isinstance(result, int) else Exit.DONE


def _failed(output: Output, error: Exception, code: int) -> None:
    output.error(error, code)
    output.summary(ok=False, exit=int(code))


def _finish(output: Output, code: int) -> int:
    try:
        output.finish()
    except BrokenPipeError:
        return Exit.NO_READER
    return code
