"""The command line: `detour serve` and its companions."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.compiled import build
from config.problems import ConfigError, visible

if TYPE_CHECKING:
    from config.effective import Config
    from config.source import Source

BAD_CONFIG: Final = 1
FAILED: Final = 1

_FLAGS: Final = {"listen": "listen", "admin_listen": "admin.listen", "store": "store", "log_level": "log.level"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        arguments = parser.parse_args(["serve", *(sys.argv[1:] if argv is None else argv)])
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except ConfigError as error:
        print(f"{visible(_source(arguments), 500)} cannot be used:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return BAD_CONFIG
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the completion scripts are made from it."""
    parser = argparse.ArgumentParser(
        prog="detour",
        description="A sidecar reverse proxy that keeps LLM traffic on healthy providers.",
        epilog=_EPILOG,
    )
    _configurable(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(run=run)
        return made

    _configurable(add("serve", _serve, "serve traffic (the default)"))
    check = add("check", _check, "validate the configuration and show the effective targets")
    _configurable(check)
    _json(check)
    add("schema", _schema, "print the JSON Schema of the configuration file, for editors")
    audit = add("audit-keys", _audit, "show which providers have their key and how it was judged, never the key")
    _configurable(audit)
    _json(audit)
    health = add("healthcheck", _healthcheck, "ask the running one whether it is ready")
    _configurable(health)
    cleanup = add("cleanup", _cleanup, "show which health records nobody needs any more, and remove them with --live")
    _configurable(cleanup)
    cleanup.add_argument("--older-than", metavar="AGE", help="how long unused, e.g. 7d (cleanup.older_than, 30d)")
    cleanup.add_argument("--live", action="store_true", help="remove them; without it they are only shown")
    _json(cleanup)
    demo = add("demo", _demo, "show it working against fake providers that fail on cue: no key, no network")
    demo.add_argument("--seconds", type=float, metavar="N", help="end by itself after N seconds")
    completion = add("completion", _completion, "print a tab completion script for your shell")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    add("version", _version, "print the version")
    return parser


_EPILOG: Final = (
    "Without a command it serves. Every setting is also an environment variable: DETOUR_LISTEN, DETOUR_STORE, …"
)


def _configurable(parser: argparse.ArgumentParser) -> None:
    none = argparse.SUPPRESS
    parser.add_argument(
        "-c", "--config", metavar="FILE", type=Path, default=none, help="configuration file (DETOUR_CONFIG)"
    )
    parser.add_argument("--listen", metavar="ADDRESS", default=none, help="where provider traffic comes in")
    parser.add_argument("--admin-listen", metavar="ADDRESS", default=none, help="where the admin port listens")
    parser.add_argument("--store", metavar="URL", default=none, help="where health is kept")
    parser.add_argument("--log-level", metavar="LEVEL", default=none, help="debug, info, warning or error")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=none,
        help="any setting by its path, e.g. timeouts.idle=30s",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _config_path(arguments: argparse.Namespace) -> Path | None:
    named = getattr(arguments, "config", None) or os.environ.get("DETOUR_CONFIG")
    return Path(named) if named else None


def _source(arguments: argparse.Namespace) -> str:
    path = _config_path(arguments)
    return str(path) if path is not None else "the configuration"


def _overrides(arguments: argparse.Namespace) -> Mapping[str, str]:
    given = {key: getattr(arguments, flag) for flag, key in _FLAGS.items() if hasattr(arguments, flag)}
    for pair in getattr(arguments, "set", ()):
        key, equals, value = pair.partition("=")
        if not equals:
            raise SystemExit('detour: --set wants KEY=VALUE, and there is no "=" in what it got')  # may be a secret
        given[key.strip()] = value
    return given


def _from(arguments: argparse.Namespace) -> Source:
    from config.source import Source

    return Source(_config_path(arguments), os.environ, _overrides(arguments))


def _load(arguments: argparse.Namespace) -> Config:
    return _from(arguments).load()


def _serve(arguments: argparse.Namespace) -> int:
    # As process 1 of a container it has no default action: without this a stop during the start would be lost.
    signal.signal(signal.SIGTERM, _leave)
    # What changes while it starts is seen by itself; as it is, a reload asked for too early would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    gc.disable()  # what a start makes stays, and looking through it again and again takes a tenth of its time
    try:
        from proxy import app, certificates, log

        source = _from(arguments)
        config = source.load()
        certificates.check(config, time.time())
        log.set_up(config.settings.log)
        return app.run(config, source)
    finally:
        gc.enable()


def _leave(*_: object) -> None:
    sys.exit(0)


def _check(arguments: argparse.Namespace) -> int:
    from msgspec.structs import replace

    from config import report
    from proxy import certificates

    config = _load(arguments)
    config = replace(config, warnings=(*config.warnings, *certificates.check(config, time.time())))
    found = report.report(config)
    print(_as_json(found) if arguments.json else report.render(found))
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    from config import schema

    print(_as_json(schema.schema()))
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from config import audit
    from proxy.audit import look

    config = _load(arguments)
    found = look(config)
    print(_as_json(found.rows) if arguments.json else audit.render(found.rows))
    if found.unknown is not None and not arguments.json:
        print(f"\nhow keys were judged is not known: {found.unknown}")
    return 0 if audit.complete(found.rows) else FAILED


def _healthcheck(arguments: argparse.Namespace) -> int:
    """Ask `/readyz`; quick to start, for container health checks."""
    from proxy import adminport

    admin = _load(arguments).settings.admin
    try:
        answer = adminport.ask(admin.listen, "GET", "/readyz", {}, timeout=3, tls=admin.tls)
    except adminport.NoAnswerError as error:
        print(f"not ready: {error}", file=sys.stderr)
        return FAILED
    print(visible(answer.body[:1000].decode("utf-8", "replace").strip(), 500))
    return 0 if answer.status == 200 else FAILED


def _cleanup(arguments: argparse.Namespace) -> int:
    from proxy import cleanup

    config = _load(arguments)
    try:
        done = cleanup.clean(config, arguments.older_than, arguments.live)
    except cleanup.CannotCleanError as error:
        print(f"nothing was cleaned up: {error}", file=sys.stderr)
        return FAILED
    print(_as_json(done) if arguments.json else cleanup.render(done))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from proxy import demo

    return demo.run(arguments.seconds)


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(build_parser(), shell=arguments.shell))
    return 0


def _version(arguments: argparse.Namespace) -> int:
    from proxy.version import version

    print(f"detour {version()} ({build()}, Python {'.'.join(map(str, sys.version_info[:3]))})")
    return 0


def _as_json(document: object) -> str:
    """What is not printable escaped, as JSON may have it: a terminal obeys more than JSON has to escape."""
    import json

    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


if __name__ == "__main__":
    sys.exit(main())
