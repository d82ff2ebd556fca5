"""The configuration read again: when that is, what it differs in, and what only a restart can change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.effective import Config
from config.held import HELD, changes
from config.problems import ConfigError
from config.settings import Settings
from config.source import Source

BEFORE = "providers: {openai: {api_key: '${file:key}'}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("sk-canary-1\n")
    (tmp_path / "d.yaml").write_text(BEFORE)
    return tmp_path


def started(folder: Path, **overrides: str) -> tuple[Source, Config]:
    source = Source(folder / "d.yaml", {"NAME": "value"}, overrides)
    return source, source.load()


def looks(source: Source) -> list[bool]:
    return [source.changed() for _ in range(3)]


# -- when --------------------------------------------------------------------------------------------------------------


def test_what_stays_the_same_has_not_changed(folder: Path) -> None:
    source, _ = started(folder)
    os.utime(folder / "d.yaml", (1, 1))
    assert looks(source) == [False, False, False]


@pytest.mark.parametrize("name", ["d.yaml", "key"])
def test_a_change_counts_once_it_lasts(folder: Path, name: str) -> None:
    source, config = started(folder)
    (folder / name).write_text("sk-canary-2" if name == "key" else BEFORE + "limits: {replay: 1MiB}\n")
    assert looks(source) == [False, True, True]
    source.again(config)
    assert looks(source) == [False, False, False]


def test_a_file_that_is_being_written_is_left_alone(folder: Path) -> None:
    source, _ = started(folder)
    for size in (10, 20, 30):
        (folder / "d.yaml").write_text("# " + "x" * size)
        assert not source.changed()
    (folder / "d.yaml").write_text(BEFORE)
    assert looks(source) == [False, False, False]


def test_the_swap_of_a_mounted_folder_is_a_change(folder: Path) -> None:
    """As a kubelet does it: files are links into `..data`, which is a link that is replaced."""
    for name in ("old", "new"):
        (folder / name).mkdir()
        (folder / name / "d.yaml").write_text(f"providers: {{openai: {{api_key: sk-{name}}}}}\n")
    (folder / "..data").symlink_to("old")
    mounted = folder / "mounted.yaml"
    mounted.symlink_to("..data/d.yaml")
    source = Source(mounted, {}, {})
    config = source.load()
    (folder / "..tmp").symlink_to("new")
    (folder / "..tmp").replace(folder / "..data")
    assert looks(source) == [False, True, True]
    assert source.again(config).changed == ("providers.openai.api_key",)


@pytest.mark.parametrize("name", ["d.yaml", "key"])
def test_a_file_that_is_gone_is_a_change(folder: Path, name: str) -> None:
    source, config = started(folder)
    content = (folder / name).read_text()
    (folder / name).unlink()
    assert looks(source) == [False, True, True]
    with pytest.raises(ConfigError):
        source.again(config)
    assert looks(source) == [False, False, False], "it is told once"
    (folder / name).write_text(content)
    assert looks(source) == [False, True, True]
    assert source.again(config).changed == ()


def test_what_can_be_read_once_is_not_looked_at() -> None:
    there, here = os.pipe()
    os.write(here, b"limits: {replay: 1MiB}\n")
    os.close(here)
    source = Source(Path(f"/proc/self/fd/{there}"), {}, {})
    try:
        assert source.load().settings.limits.replay == 1 << 20
        assert not source.lasting
        assert looks(source) == [False, False, False]
    finally:
        os.close(there)


@pytest.mark.parametrize("name", ["d.yaml", "key"])
@pytest.mark.parametrize("how", ["pipe", "folder", "loop", "nowhere", "device", "endless"])
def test_what_stands_in_a_files_place_is_told_once_and_waited_for_never(folder: Path, name: str, how: str) -> None:
    source, config = started(folder)
    path, content = folder / name, (folder / name).read_text()
    path.unlink()
    match how:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(name)
        case "nowhere":
            path.symlink_to("nobody")
        case "device":
            path.symlink_to("/dev/null")
        case "endless":
            path.symlink_to("/dev/zero")
    assert looks(source) == [False, True, True]
    with pytest.raises(ConfigError, match="cannot read"):
        source.again(config)
    assert looks(source) == [False, False, False], "it is told once"
    assert source.lasting
    path.rmdir() if how == "folder" else path.unlink()
    path.write_text(content)
    assert looks(source) == [False, True, True]
    assert source.again(config).changed == ()


def test_looks_at_what_cannot_be_read_leave_nothing_open(folder: Path) -> None:
    source, _ = started(folder)
    (folder / "key").unlink()
    (folder / "key").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        source.changed()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_secret_from_a_pipe_is_not_read_a_second_time(tmp_path: Path) -> None:
    """The second time there is nothing in it: an empty key would take the place of the one in force."""
    there, here = os.pipe()
    os.write(here, b"sk-canary-1")
    os.close(here)
    path = tmp_path / "d.yaml"
    path.write_text(f"providers: {{openai: {{api_key: 'Bearer${{file:/proc/self/fd/{there}}}'}}}}\n")
    source = Source(path, {}, {})
    try:
        config = source.load()
        assert source.lasting
        with pytest.raises(ConfigError, match="no regular file"):
            source.again(config)
    finally:
        os.close(there)


def test_a_file_that_grows_beyond_its_bound_is_a_change_and_refused(folder: Path) -> None:
    source, config = started(folder)
    with (folder / "d.yaml").open("ab") as file:
        file.truncate(1 << 30)
    assert looks(source) == [False, True, True]
    with pytest.raises(ConfigError):
        source.again(config)
    assert looks(source) == [False, False, False]


def test_without_a_file_there_is_nothing_to_read_again() -> None:
    source = Source(None, {}, {})
    source.load()
    assert not source.lasting
    assert looks(source) == [False, False, False]


# -- what --------------------------------------------------------------------------------------------------------------


def test_the_variables_are_those_of_the_start(folder: Path) -> None:
    environ = {"NAME": "value"}
    (folder / "d.yaml").write_text("client_token: '${NAME}'\n")
    source = Source(folder / "d.yaml", environ, {})
    config = source.load()
    environ["NAME"] = "another"
    assert source.again(config).changed == ()


def test_the_command_line_beats_the_environment_and_that_the_file_the_second_time_too(folder: Path) -> None:
    limits = "limits: {replay: 1MiB, pool_wait: 1s, connections: 1}\n"
    (folder / "d.yaml").write_text(BEFORE + limits)
    environ = {"DETOUR_LIMITS_REPLAY": "2MiB", "DETOUR_LIMITS_POOL_WAIT": "2s"}
    source = Source(folder / "d.yaml", environ, {"limits.pool_wait": "3s"})
    config = source.load()
    (folder / "d.yaml").write_text(BEFORE + limits.replace("1", "9"))
    fresh = source.again(config)
    assert fresh.changed == ("limits.connections",)
    found = fresh.config.settings.limits
    assert (found.replay, found.pool_wait, found.connections) == (2 << 20, 3.0, 9)


def test_changes_are_told_by_their_paths_and_no_value(folder: Path) -> None:
    source, config = started(folder)
    (folder / "key").write_text("sk-canary-2")
    (folder / "d.yaml").write_text(
        BEFORE.replace("}}", "}, lab: {base_url: 'http://127.0.0.1:1/v1'}}")
        + "alerts: {rules: {health: {for: 1m}}}\nlimits: {replay: 1MiB}\n"
    )
    fresh = source.again(config)
    assert fresh.changed == (
        "providers.openai.api_key", "providers.lab", "limits.replay", "alerts.rules.health.for",
    )  # fmt: skip
    assert fresh.restart == ()
    assert "canary" not in repr(fresh.changed)


def test_what_needs_a_restart_stays_and_the_rest_is_new(folder: Path) -> None:
    source, config = started(folder)
    (folder / "d.yaml").write_text(
        "listen: 0.0.0.0:1\nadmin: {listen: 127.0.0.1:2, token: t}\nstore: 'memory:'\nredis: {fleet: other}\n" + BEFORE
    )
    fresh = source.again(config)
    assert fresh.restart == ("listen", "admin.listen", "store", "redis.fleet")
    assert fresh.changed == ("admin.token",)
    settings = fresh.config.settings
    for path in ("listen", "store", "redis", "tls"):
        assert getattr(settings, path) == getattr(config.settings, path)
    assert settings.admin.listen == config.settings.admin.listen
    assert settings.admin.token is not None


def test_a_port_that_is_open_to_all_stays_guarded_whatever_the_file_says_of_it(folder: Path) -> None:
    """The file wants loopback, where no token is needed; the process listens elsewhere until it is started again."""
    (folder / "d.yaml").write_text("listen: 0.0.0.0:0\nclient_token: secret\n" + BEFORE)
    source, config = started(folder)
    (folder / "d.yaml").write_text("listen: 127.0.0.1:0\n" + BEFORE)
    with pytest.raises(ConfigError, match="can be reached from elsewhere"):
        source.again(config)


def test_the_whole_catalog_or_none_of_it_is_a_change(folder: Path) -> None:
    (folder / "d.yaml").write_text("limits: {replay: 1MiB}\n")
    source, config = started(folder)
    (folder / "d.yaml").write_text("limits: {replay: 1MiB}\nproviders: {}\n")
    fresh = source.again(config)
    assert (fresh.changed, fresh.config.providers) == (("providers",), {})


def test_all_mistakes_are_told(folder: Path) -> None:
    source, config = started(folder)
    (folder / "d.yaml").write_text(BEFORE + "limits: {replay: none}\nretries: {max_attempts: 0}\n")
    with pytest.raises(ConfigError) as caught:
        source.again(config)
    assert {problem.path for problem in caught.value.problems} == {"limits.replay", "retries.max_attempts"}


def test_what_is_held_is_there() -> None:
    for path in HELD:
        found: object = Settings()
        for part in path.split("."):
            found = getattr(found, part)


def test_names_from_the_file_are_safe_to_print() -> None:
    assert list(changes({"a": 1}, {"a": 1, "b\n\x1b[31m": 2}, "models")) == ["models.b\ufffd\ufffd[31m"]
