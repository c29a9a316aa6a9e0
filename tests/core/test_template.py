from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from test_quoting import TRICKY, VALUES, compose_command, fill

from ctl.core.document import dump, load
from ctl.core.errors import CtlError, InvalidFile, TemplateFault
from ctl.core.quoting import compose
from ctl.core.secret import MASK, Secret
from ctl.core.template import Sink, Templates

SECRET = Secret("PASSWORD", "hunter2 sentinel")
RECORD = object()


def text(template: str, sink: Sink | None = None, **values: Any) -> str:
    return Templates({"x/a.conf.j2": template}).text("x/a.conf.j2", values, sink or Sink())


def data(template: str, sink: Sink | None = None, **values: Any) -> Any:
    return Templates({"x/a.yaml.j2": template}).yaml_data("x/a.yaml.j2", values, sink or Sink())


@pytest.mark.parametrize(
    ("template", "values", "out"),
    [
        ("listen {{ x }};\n", {"x": 80}, "listen 80;\n"),
        ("name {{ x }}", {"x": "a-b.example.com/~x".replace("~", "_")}, "name a-b.example.com/_x"),
        ("name={{ x | quote }}", {"x": "it's; $(id)"}, """name='it'"'"'s; $(id)'"""),
        ("{{ x | quote }}", {"x": 80}, "80"),
        ("{{ x | caddy }}", {"x": "a b"}, '"a b"'),
        ("{{ x | caddy(imports=1) }}", {"x": "{a}"}, '"\\\\{a\\\\}"'),
        ("{{ x | systemd }}", {"x": "50%"}, '"50%%"'),
        ("{% for y in x %}\n{{ y }}\n{% endfor %}\nend\n", {"x": ["a", "b"]}, "a\nb\nend\n"),
        ("{{ x }}", {"x": SECRET.__class__("S", "harmless")}, "harmless"),
        ("a = {{ x | quote }}", {"x": SECRET}, "a = 'hunter2 sentinel'"),
    ],
)
def test_what_renders(template: str, values: dict[str, Any], out: str) -> None:
    assert text(template, **values) == out


@pytest.mark.parametrize(
    ("template", "values", "problem"),
    [
        ("\n\n{{ x }}", {"x": None}, "expected a text or an integer, got nothing"),
        ("\n\n{{ x }}", {"x": ["a"]}, "expected a text or an integer, got ['a']"),
        ("\n\n{{ x }}", {"x": {}}, "expected a text or an integer, got {}"),
        ("\n\n{{ x }}", {"x": 1.5}, "expected a text or an integer, got 1.5"),
        ("\n\n{{ x }}", {"x": True}, "expected a text or an integer, got True"),
        ("\n\n{{ x | quote }}", {"x": None}, "expected a text or an integer, got nothing"),
        ("\n\n{{ x }}", {}, "'x' is undefined"),
        ("\n\n{{ x | quote }}", {}, "'x' is undefined"),
        ("\n\n{{ vars.tz }}", {"vars": {}}, "'dict object' has no attribute 'tz'"),
        ("\n\n{% if y %}{% endif %}", {}, "'y' is undefined"),
        ("\n\n{{ x }}", {"x": "a b"}, "'a b' has to be quoted for its place"),
        ("\n\n{{ x }}", {"x": "$(id)"}, "'$(id)' has to be quoted for its place"),
        ("\n\n{{ x }}", {"x": "a\n"}, "'a\\n' has to be quoted for its place"),
        ("\n\n{{ (x | quote) ~ y }}", {"x": "a b", "y": ";"}, "has to be quoted for its place"),
        ("\n\n{{ x | quote | upper }}", {"x": "a b"}, "has to be quoted for its place"),
        ("\n\n{{ x }}", {"x": SECRET}, "PASSWORD has to be quoted for its place"),
        ("\n\n{{ x | quote }}", {"x": "a\0"}, "NUL"),
        ("\n\n{{ x | nope }}", {"x": "a"}, "No filter named 'nope'"),
        ("\n\n{{ x", {}, "unexpected end of template"),
        ("\n\n{% if %}", {}, "Expected an expression"),
        ("\n\n{{ x.upper(1) }}", {"x": "a"}, "takes no arguments"),
        ("\n\n{{ 1 // 0 }}", {}, "division"),
        ("\n\n{{ 'x' | bcrypt('y') }}", {}, "bcrypt takes secrets"),
    ],
)
def test_what_is_refused_names_template_and_line(template: str, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        text(template, **values)
    assert caught.value.message.startswith("templates/x/a.conf.j2:3: ")
    assert problem in caught.value.message
    assert "sentinel" not in caught.value.message
    assert caught.value.exit_code == 2


def test_a_fault_in_an_included_template_names_that_one() -> None:
    both = Templates({"a.j2": "\n\n\n{% include 'b.j2' %}\n", "b.j2": "\n{{ missing }}\n"})
    with pytest.raises(TemplateFault, match=r"^templates/b\.j2:2: 'missing' is undefined"):
        both.text("a.j2", {}, Sink())


def test_a_template_that_includes_itself_or_nothing_is_a_fault() -> None:
    looped = Templates({"a.j2": "{% include 'a.j2' %}", "b.j2": "{% include 'c.j2' %}"})
    with pytest.raises(TemplateFault, match=r"^templates/a\.j2"):
        looped.text("a.j2", {}, Sink())
    with pytest.raises(TemplateFault, match=r"there is no template 'c\.j2'"):
        looped.text("b.j2", {}, Sink())


def test_a_secret_cannot_enter_a_step() -> None:
    steps = Templates({"s.sh.j2": "# a step\necho {{ x | quote }}\n"})
    with pytest.raises(TemplateFault) as caught:
        steps.step("s.sh.j2", {"x": SECRET})
    assert caught.value.message == (
        "templates/s.sh.j2:2: the secret PASSWORD cannot stand here: steps are shown and logged"
    )


@pytest.mark.parametrize("template", ["{{ 'p=' ~ x }}", "{{ x | string }}", "{{ '%s' % x }}", "{{ [x, x] | join }}"])
def test_the_mask_is_never_rendered(template: str) -> None:
    for render in (text, data):
        with pytest.raises(TemplateFault) as caught:
            render(f"a: {template}", x=SECRET)  # type: ignore[operator]
        assert "sentinel" not in caught.value.message
        assert "mask" in caught.value.message or "quoted" in caught.value.message
    with pytest.raises(TemplateFault, match="mask"):
        text(f"{{{{ ({template[2:-2]}) | quote }}}}", x=SECRET)


def test_the_sink_tells_which_secrets_were_used() -> None:
    sink = Sink()
    text("{{ a | quote }} {{ b }}", sink, a=SECRET, b=Secret("B", "b"))
    assert [secret.name for secret in sink.secrets] == ["PASSWORD", "B"]


@pytest.mark.parametrize(
    ("template", "values", "out"),
    [
        ("a: {{ x }}", {"x": 1}, {"a": 1}),
        ('a: "{{ x }}"', {"x": 1}, {"a": 1}),
        ("a: {{ x }}", {"x": "1"}, {"a": "1"}),
        ("a: {{ x }}", {"x": "on: [}"}, {"a": "on: [}"}),
        ("a: {{ x }}", {"x": True}, {"a": True}),
        ("a: {{ x }}", {"x": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}),
        ("a: x-{{ x }}-{{ y }}", {"x": "#", "y": 7}, {"a": "x-#-7"}),
        ("a: x={{ x }}", {"x": False}, {"a": "x=false"}),
        ("a: [{{ x }}, {{ x }}]", {"x": "],["}, {"a": ["],[", "],["]}),
        ('"{{ x }}": 1', {"x": "a: b"}, {"a: b": 1}),
        ("a: |\n  {{ x }}\n  b\n", {"x": "1\n2"}, {"a": "1\n2\nb\n"}),
        ("a: {{ x }}  # {{ y }}", {"x": 1, "y": "\n- 2"}, {"a": 1}),
        ("a: {{ x }}", {"x": SECRET}, {"a": "hunter2 sentinel"}),
        ("a: x{{ x }}", {"x": SECRET}, {"a": "xhunter2 sentinel"}),
    ],
)
def test_yaml_values_keep_their_place_and_type(template: str, values: dict[str, Any], out: Any) -> None:
    assert data(template, **values) == out


@pytest.mark.parametrize(
    ("template", "values", "problem"),
    [
        ("a: {{ x }}", {}, "'x' is undefined"),
        ("a: {{ x }}", {"x": None}, "expected a value, got nothing"),
        ("a: x{{ x }}", {"x": None}, "expected a text or an integer, got nothing"),
        ("a: x{{ x }}", {"x": [1]}, "expected a text or an integer, got [1]"),
        ("a: {{ x }}", {"x": [None]}, "expected a value, got nothing"),
        ("a: {{ x }}", {"x": RECORD}, "expected a value"),
        ("a: {{ x }}", {"x": [RECORD]}, "expected a value"),
        ("{{ x }}: 1", {"x": [1]}, "a key has to be a text"),
        ("{{ x }}: 1\n{{ y }}: 2", {"x": "k", "y": "k"}, "the key 'k' stands twice"),
        ("a: {{ x }}\na: 1", {"x": 1}, "the key 'a' stands here and on line 1"),
        ("{% set y %}{{ x }}{% endset %}a: {{ y }}", {"x": "b"}, "cannot be used in a YAML template"),
    ],
)
def test_what_yaml_refuses(template: str, values: dict[str, Any], problem: str) -> None:
    with pytest.raises((TemplateFault, InvalidFile)) as caught:
        data(template, **values)
    assert caught.value.message.startswith("templates/x/a.yaml.j2")
    assert problem in caught.value.message


# The two code points between which placeholders stand are for private use; a value that holds them is refused.
ANY_TEXT = st.one_of(VALUES, st.text(st.characters(exclude_characters="\0\ue000\ue001", exclude_categories=["Cs"])))
EVERYWHERE = """\
alone: {{ x }}
quoted: "{{ x }}"
single: '{{ x }}'
inside: a {{ x }} b
list: [{{ x }}, "-{{ x }}-"]
map: {key: {{ x }}}
block: |
  {{ x }}
"{{ x }}": as a key
"""


@settings(deadline=None)
@given(ANY_TEXT)
@example("{{ x }}{% if %}")
@example("\n- a: b\n# c")
@example("key")
def test_any_text_arrives_unchanged_in_yaml(value: str) -> None:
    if value in {"alone", "quoted", "single", "inside", "list", "map", "block"}:
        return
    read = load(dump(data(EVERYWHERE, x=value)), file="f").data
    assert read == {
        "alone": value,
        "quoted": value,
        "single": value,
        "inside": f"a {value} b",
        "list": [value, f"-{value}-"],
        "map": {"key": value},
        "block": f"{value}\n",
        value: "as a key",
    }


@settings(deadline=None)
@given(st.text())
def test_any_text_as_a_value_or_as_a_template_renders_or_is_a_fault(value: str) -> None:
    for render in (text, data):
        for template, values in (("a: {{ x }}", {"x": value}), (value, {})):
            try:
                render(template, **values)  # type: ignore[operator]
            except CtlError:
                pass


def test_any_text_arrives_unchanged_through_docker_compose(tmp_path: Path) -> None:
    command = [*compose_command(), "-f", "-", "config", "--format", "json"]
    template = (
        "services:\n  s:\n    image: x\n    command: {{ values }}\n    environment:\n"
        "{% for value in values %}\n"
        '      V{{ loop.index }}: "{{ value }}"\n'
        '      W{{ loop.index }}: "<{{ value }}>"\n'
        "{% endfor %}\n"
    )

    @settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.lists(VALUES, max_size=60), st.integers(0, 1 << 32))
    def arrives(drawn: list[str], seed: int) -> None:
        values = [value for value in fill(drawn, seed) if not {"\ue000", "\ue001"} & set(value)]
        file = dump(data(template, Sink(on_text=compose), values=values))
        out = subprocess.run(
            command,
            input=file.encode(),
            capture_output=True,
            check=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
        )
        read = json.loads(out.stdout)["services"]["s"]
        # What Compose prints is a Compose file again, so its dollars are doubled.
        numbered = list(enumerate(values, 1))
        assert [read["environment"][f"V{n}"] for n, _ in numbered] == list(map(compose, values))
        assert [read["environment"][f"W{n}"] for n, _ in numbered] == [f"<{compose(value)}>" for value in values]
        assert read["command"] == list(map(compose, values))

    arrives()


@pytest.mark.parametrize("value", [value for value in TRICKY if value])
def test_any_text_arrives_unchanged_through_expand(value: str) -> None:
    expanded = Templates({}).expand({"a": "{{ x }}", "b": ["-{{ x }}"], "c": 1}, {"x": value}, file="stack.yaml")
    assert expanded == {"a": value, "b": [f"-{value}"], "c": 1}


@pytest.mark.parametrize(
    ("template", "values", "problem"),
    [
        ("{{ x }}", {}, "stack.yaml: '{{ x }}': 'x' is undefined"),
        ("{{ x", {}, "stack.yaml: '{{ x': unexpected end of template"),
        ("{{ x }}", {"x": SECRET}, "stack.yaml: the secret PASSWORD cannot stand here"),
        ("{{ x }}", {"x": None}, "stack.yaml: expected a value, got nothing"),
    ],
)
def test_what_expand_refuses(template: str, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        Templates({}).expand(template, values, file="stack.yaml")
    assert caught.value.message.startswith(problem)
    assert MASK not in caught.value.message
