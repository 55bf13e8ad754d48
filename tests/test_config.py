"""Settings: what is printed is what is read, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import tomllib

import pytest

from single_rs.base.errors import DataFileError, InputError
from single_rs.base.settings import Settings, setting
from single_rs.base.settings_text import override, settings_from_dict, settings_to_dict, settings_to_toml
from single_rs.pipeline.config import STAGES, Config, load_config


@dataclasses.dataclass(frozen=True)
class Inner(Settings):
    width: float = setting(2.0, "Width", "Å", gt=0)
    count: int = setting(3, "Count.", ge=1)
    label: str | None = setting(None, "Label", choices=("a", "b"))
    ranges: tuple[float, float] = setting((0.0, 1.0), "Ranges")
    names: tuple[str, ...] = setting(("x",), "Names")
    on: bool = setting(True, "On")


@dataclasses.dataclass(frozen=True)
class Outer(Settings):
    seed: int = setting(0, "Seed")
    inner: Inner = dataclasses.field(default_factory=Inner)


def test_the_printed_defaults_are_the_defaults():
    text = settings_to_toml(Config())
    assert settings_from_dict(Config(), tomllib.loads(text)) == Config()
    assert set(tomllib.loads(text)) == set(STAGES)


def test_every_setting_says_what_it_means():
    def leaves(settings, path):
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            if dataclasses.is_dataclass(value):
                yield from leaves(value, f"{path}{field.name}.")
            else:
                yield path + field.name, field

    for name, field in leaves(Config(), ""):
        assert len(field.metadata["help"]) > 5, name


def test_units_bounds_and_choices_are_printed():
    lines = settings_to_toml(Outer()).splitlines()
    assert lines[lines.index("width = 2.0") - 1] == "# Width [Å] (more than 0)."
    assert lines[lines.index("count = 3") - 1] == "# Count (at least 1)."
    assert lines[lines.index("# label =") - 1] == "# Label. One of: a, b."


def test_changed_settings_survive_a_file(tmp_path):
    changed = Outer(5, Inner(1.5, 7, "b", (0.25, 2.0), ("p", "q r"), False))
    text = settings_to_toml(changed)
    assert settings_from_dict(Outer(), tomllib.loads(text)) == changed
    assert settings_from_dict(Outer(), settings_to_dict(changed)) == changed


def test_later_sources_win(tmp_path):
    (tmp_path / "c.toml").write_text("[track]\nmin_frames = 70\nwindow = 10\n")
    config = load_config(tmp_path / "c.toml", {"track.window": "30"})
    assert (config.track.min_frames, config.track.window) == (70, 30)


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("inner.width", "3", 3.0),
        ("inner.width", "1e-3", 1e-3),
        ("inner.label", "b", "b"),
        ("inner.label", "none", None),
        ("inner.names", '["u", "v"]', ("u", "v")),
        ("inner.names", "u", ("u",)),
        ("inner.ranges", "[1, 2.5]", (1.0, 2.5)),
        ("inner.on", "false", False),
    ],
)
def test_flags_are_read_as_their_type(flag, value, expected):
    changed = override(Outer(), {flag: value})
    found = getattr(changed.inner, flag.partition(".")[2])
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"iner": {}}, "unknown setting iner; did you mean inner"),
        ({"inner": {"widht": 1}}, "unknown setting inner.widht; did you mean inner.width"),
        ({"inner": {"qqq": 1}}, "known: width, count, label"),
        ({"inner": {"count": 1.5}}, "inner.count is 1.5; accepted: int"),
        ({"inner": {"count": True}}, "inner.count is True; accepted: int"),
        ({"inner": {"on": 1}}, "inner.on is 1; accepted: bool"),
        ({"inner": {"width": "wide"}}, "inner.width is 'wide'; accepted: float"),
        ({"inner": {"label": 3}}, "inner.label is 3; accepted: str or nothing"),
        ({"inner": {"label": "c"}}, "accepted: a, b"),
        ({"inner": {"width": 0}}, "more than 0 Å"),
        ({"inner": {"ranges": [1.0]}}, "inner.ranges"),
        ({"inner": 3}, "it is a table"),
    ],
)
def test_mistakes_are_named(tables, message):
    with pytest.raises(InputError) as error:
        settings_from_dict(Outer(), tables, "c.toml: ")
    assert message in str(error.value)


def test_files_that_are_not_settings_are_named(tmp_path):
    with pytest.raises(DataFileError, match=r"no\.toml"):
        load_config(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("[track\n")
    with pytest.raises(DataFileError, match="not TOML"):
        load_config(tmp_path / "bad.toml")
