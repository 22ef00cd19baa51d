"""The configuration: what it takes, what it refuses, and who wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers_cli import QUICK, invoke, sentence

from backproof import settings
from backproof.configuration import Found, Value, load, profile_of, resolved
from backproof.errors import UsageProblem
from backproof.reports import events
from backproof.reports.events import CaseFinished, RunStarted

ALL = """
subject = "py:mine:net"
cases = 12
max_time = "2m"
seed = 7
lanes = ["generic", "tie"]
dtypes = ["float32"]
checkers = ["complex_step"]
operators = ["dense", "tanh"]
activations = []
losses = ["squared_error"]
max_depth = 3
max_width = 4
max_batch = 2
exhaustive = true
workers = 1
output = "out"
timeout = 5
start_timeout = "1m"
memory = 512
max_answer = 8
profile = "quick"
baseline = "known.json"
replays = "cases"
max_inconclusive = 0.2
max_unsupported = 0
min_pairs = 0.01
min_cases = 3

[min_resolution]
float32 = 1e-5

[profiles.quick]
cases = 6
max_time = "30s"
exhaustive = false
min_resolution = { float64 = 1e-10 }
"""


def write(folder: Path, text: str, name: str = "backproof.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refused(folder: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(UsageProblem) as problem:
        load(None, environ or {}, folder)
    assert problem.value.exit_code == 4
    return problem.value.message


def test_every_key_can_be_configured_and_is_shown_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    found = load(None, {}, tmp_path)
    assert set(found.file) == set(settings.KEYS)
    assert found.file["max_time"] == Value(120.0, "backproof.toml, line 4")
    assert found.file["lanes"] == Value(("generic", "tie"), "backproof.toml, line 6")
    assert found.file["min_resolution"].value == {"float32": 1e-5}
    assert found.file["profiles"].value["quick"].max_time == 30.0


def test_what_holds_is_what_the_schema_allows(tmp_path: Path) -> None:
    import tomllib

    schema = settings.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomllib.loads(ALL), schema)
    wrong: Any
    for wrong in ({"cases": "12"}, {"casess": 1}, {"lanes": ["fast"]}, {"operators": ["dens"]},
                  {"max_time": "soon"}, {"profiles": {"quick": {"lanes": []}}}):  # fmt: skip
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    printed = invoke("schema", "--config")
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == json.loads(json.dumps(schema))


@pytest.mark.parametrize(
    "text, words",
    [
        ("seed = 1\n\ncases = 'x'\n", "line 3: cases: expected `int`, got `str`."),
        ("cases = 0", "line 1: cases: expected `int` >= 1."),
        ("cases = 2.5", "line 1: cases: expected `int`, got `float`."),
        ("casess = 1", "line 1: casess: there is no such key; perhaps cases"),
        ("\nlanes = ['fast']", "line 2: lanes: there is no 'fast'; there are generic, exact, tie"),
        ("lanes = 'tie'", "line 1: lanes: expected `list`, got `str`."),
        ("operators = ['dens']", "line 1: operators: there is no 'dens'; perhaps dense"),
        ("max_time = 'soon'", "line 1: max_time: 'soon' is not a duration such as 90s, 2m or 1h."),
        ("max_time = 0", "line 1: max_time: expected `float` > 0.0."),
        ("max_inconclusive = 2", "line 1: max_inconclusive: expected `float` <= 1.0."),
        ("max_inconclusive = nan", "line 1: max_inconclusive: nan is not a number."),
        ("exhaustive = 1", "line 1: exhaustive: expected `bool`, got `int`."),
        ("profile = 'fast'", "line 1: profile: there is no 'fast'; there are quick, standard"),
        ("min_resolution = { float16 = 1 }",
         "line 1: min_resolution.float16: there is no dtype 'float16'; there are float64, float32"),
        ("seed = 1\n[min_resolution]\nfloat32 = 0",
         "line 3: min_resolution.float32: expected `float` > 0.0."),
        ("[profiles.quick]\n\ncases = 0", "line 3: profiles.quick.cases: expected `int` >= 1."),
        ("profiles.quick.lanes = []",
         "line 1: profiles.quick.lanes: there is no such key; there are cases, max_time"),
        ("[profiles.slow]\ncases = 1", "line 1: profiles.slow: there is no profile 'slow'"),
        ("profiles = 3", "line 1: profiles: expected a table for each profile"),
        ("profiles.quick = 3", "line 1: profiles.quick: expected a table."),
        ("cases = 1\ncases = 2", "line 2: cannot overwrite a value"),
        ("cases =", "line 1: invalid value"),
        ('cases = """', "line 1: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_file_line_and_key(
    text: str, words: str, tmp_path: Path
) -> None:
    write(tmp_path, text)
    assert refused(tmp_path).startswith(f"backproof.toml, {words}")


def test_lines_are_those_of_the_table_in_pyproject(tmp_path: Path) -> None:
    text = "[project]\nname = 'x'\ncases = 3\n\n[tool.backproof]\n# cases = 4\nseed = 2\n"
    write(tmp_path, text + "'cases' = 'many'\n", "pyproject.toml")
    assert refused(tmp_path) == "pyproject.toml, line 8: cases: expected `int`, got `str`."
    write(tmp_path, text + "[tool.backproof.profiles.quick]\ncases = -1\n", "pyproject.toml")
    assert refused(tmp_path).startswith("pyproject.toml, line 9: profiles.quick.cases: ")


def test_a_file_that_is_no_text_or_too_large_is_named(tmp_path: Path) -> None:
    (tmp_path / "backproof.toml").write_bytes(b"cases = 1\nsubject = '\xff'\n")
    assert refused(tmp_path) == "backproof.toml, line 2: it is not UTF-8."
    (tmp_path / "backproof.toml").write_bytes(b"#" * 4_000_001)
    assert refused(tmp_path) == "backproof.toml is too large (at most 4,000,000 bytes)."


def test_the_nearest_file_holds_and_none_beyond_the_repository(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "package"
    inner.mkdir(parents=True)
    write(tmp_path, "seed = 1")
    assert load(None, {}, inner).file["seed"].value == 1
    (tmp_path / "repository" / ".git").mkdir()
    assert load(None, {}, inner).file == {}
    write(tmp_path / "repository", "[tool.backproof]\nseed = 2", "pyproject.toml")
    write(inner, "[tool.other]\nseed = 3", "pyproject.toml")
    assert load(None, {}, inner).file["seed"].value == 2
    write(inner, "seed = 4")
    assert load(None, {}, inner).file["seed"].value == 4


def test_a_file_may_be_named_and_must_then_have_the_table(tmp_path: Path) -> None:
    other = write(tmp_path, "seed = 9", "other.toml")
    assert load(str(other), {}, tmp_path).file["seed"].value == 9
    assert load(None, {"BACKPROOF_CONFIG": str(other)}, tmp_path).file["seed"].value == 9
    empty = write(tmp_path, "[project]", "pyproject.toml")
    for name, words in (
        (str(empty), "pyproject.toml: there is no table [tool.backproof] in it."),
        (str(tmp_path / "absent.toml"), "absent.toml: No such file or directory."),
    ):
        with pytest.raises(UsageProblem) as problem:
            load(name, {}, tmp_path)
        assert problem.value.message == words


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(tmp_path, "output = 'out'\nbaseline = '/known.json'")
    found = load(None, {}, inner)
    assert found.file["output"].value == "../out"
    assert (inner / found.file["baseline"].value).resolve() == Path("/known.json")


# --- the environment ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("CASES", "12", 12),
        ("MAX_TIME", "2m", 120.0),
        ("LANES", "tie, exact", ("tie", "exact")),
        ("EXHAUSTIVE", "true", True),
        ("EXHAUSTIVE", "0", False),
        ("MIN_RESOLUTION", "float32=1e-5,float64=1e-9", {"float32": 1e-5, "float64": 1e-9}),
        ("SUBJECT", "py:mine:net", "py:mine:net"),
        ("MIN_PAIRS", "0.5", 0.5),
        ("SEED", "", None),
    ],
)
def test_a_variable_says_what_the_file_could(
    name: str, text: str, value: Any, tmp_path: Path
) -> None:
    given = load(None, {f"BACKPROOF_{name}": text}, tmp_path).given
    assert (given[name.lower()].value if given else None) == value


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("BACKPROOF_CASES", "many", "BACKPROOF_CASES: expected `int`, got `str`."),
        ("BACKPROOF_EXHAUSTIVE", "perhaps", "BACKPROOF_EXHAUSTIVE: expected `bool`, got `str`."),
        ("BACKPROOF_LANES", "fast", "BACKPROOF_LANES: there is no 'fast'; there are generic, "),
        ("BACKPROOF_MAX_INCONCLUSVE", "0", "BACKPROOF_MAX_INCONCLUSVE: there is no such variable"),
    ],
)
def test_a_variable_that_is_wrong_or_misspelt_is_refused(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    assert refused(tmp_path, {name: text}).startswith(words)


def test_variables_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    assert load(None, {"BACKPROOF_DEPLOY_KEY": "x", "OTHER_CASES": "y"}, tmp_path) == Found()


# --- who wins ----------------------------------------------------------------------------


def test_default_profile_file_environment_in_that_order(tmp_path: Path) -> None:
    write(tmp_path, "seed = 1\ncases = 30\nmin_cases = 4\n[profiles.quick]\ncases = 6\n")
    found = load(None, {"BACKPROOF_SEED": "2"}, tmp_path)
    as_run, quick, standard = (resolved(found, p) for p in (None, "quick", "standard"))
    assert as_run["cases"] == Value(30, "backproof.toml, line 2")
    assert as_run["max_time"] == Value(None, "default")
    assert quick["cases"] == Value(6, "backproof.toml, line 5")
    assert quick["max_time"] == Value(settings.PROFILES["quick"].max_time, "profile quick")
    assert standard["cases"] == Value(settings.PROFILES["standard"].cases, "profile standard")
    assert {v["seed"] for v in (as_run, quick)} == {Value(2, "BACKPROOF_SEED")}
    assert quick["min_cases"] == Value(4, "backproof.toml, line 3")
    assert resolved(load(None, {"BACKPROOF_CASES": "5"}, tmp_path), "quick")["cases"].value == 5
    assert profile_of(found) == "standard"
    assert profile_of(load(None, {"BACKPROOF_PROFILE": "nightly"}, tmp_path)) == "nightly"


def options_of(folder: Path) -> dict[str, Any]:
    start, *_ = events.read(folder / "events.ndjson")
    assert isinstance(start, RunStarted)
    return start.options


def test_a_run_reads_the_configuration_and_its_options_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "cases = 4\nseed = 3\nlanes = ['tie']\ndtypes = ['float32']\n"
                    "operators = ['dense', 'tanh']\noutput = 'out'\nchecker = 1\n")  # fmt: skip
    assert "checker: there is no such key" in sentence(invoke("run"))
    write(tmp_path, "cases = 4\nseed = 3\nlanes = ['tie']\ndtypes = ['float32']\n"
                    "operators = ['dense', 'tanh']\noutput = 'out'\n")  # fmt: skip
    assert invoke("run", *QUICK).exit_code in (0, 5)
    found = options_of(tmp_path / "out")
    assert (found["cases"], found["seed"], found["lanes"]) == (4, 3, ["tie"])
    assert found["limits"]["operators"] == ["dense", "tanh"]
    monkeypatch.setenv("BACKPROOF_SEED", "5")
    assert invoke("run", *QUICK, "--lane", "generic", "--activation", "relu").exit_code == 0
    found = options_of(tmp_path / "out")
    assert (found["seed"], found["lanes"]) == (5, ["generic"])
    assert (found["limits"]["operators"], found["limits"]["activations"]) == ([], ["relu"])
    assert invoke("run", *QUICK, "--seed", "6", "--cases", "2").exit_code in (0, 5)
    found = options_of(tmp_path / "out")
    assert (found["seed"], found["cases"], found["dtypes"]) == (6, 2, ["float32"])


def test_a_network_on_the_command_line_goes_before_configured_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "operators = ['dense', 'tanh']\nmax_depth = 2\n")
    assert invoke("run", *QUICK, "--architecture", "mlp", "--cases", "2").exit_code == 0
    result = invoke("run", *QUICK, "--architecture", "mlp", "--max-depth", "2", columns=400)
    assert sentence(result) == "--architecture is one network; --max-depth does not fit."


def test_a_check_takes_its_subject_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configured_net.py").write_text(
        "import backproof as bp\ndef net(case):\n    return bp.value_and_gradients(case)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, "subject = 'py:configured_net:net'\nlosses = ['squared_error']\n"
                    "operators = ['dense', 'relu']\ncases = 2\nlanes = ['generic']\n"
                    "timeout = '9s'\n")  # fmt: skip
    result = invoke("check", *QUICK)
    assert result.exit_code == 0
    start, *rest = events.read(tmp_path / "reports" / "out" / "events.ndjson")
    assert isinstance(start, RunStarted) and start.subject == "py:configured_net:net"
    assert len([e for e in rest if isinstance(e, CaseFinished)]) == 2
    write(tmp_path, "seed = 1")
    assert sentence(invoke("check", *QUICK)) == "Missing argument 'SUBJECT'."


# --- backproof config --------------------------------------------------------------------


def test_config_shows_each_value_and_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, ALL)
    monkeypatch.setenv("BACKPROOF_SEED", "8")
    rows = {
        line.split()[0]: line.split(maxsplit=2)[1:] for line in invoke("config").stdout.splitlines()
    }
    assert set(rows) == set(settings.KEYS) - {"profiles"}
    assert rows["seed"] == ["8", "BACKPROOF_SEED"]
    assert rows["cases"] == ["6", "backproof.toml, line 34"]
    assert rows["lanes"] == ["generic,tie", "backproof.toml, line 6"]
    assert rows["min_resolution"] == ["float64=1e-10", "backproof.toml, line 37"]
    assert rows["profile"] == ["quick", "backproof.toml, line 22"]
    said = json.loads(invoke("config", "--profile", "nightly", "--json").stdout)["seed"]
    assert said == {"value": 8, "from": "BACKPROOF_SEED"}
    monkeypatch.delenv("BACKPROOF_SEED")
    as_json = json.loads(invoke("config", "--profile", "nightly", "--json").stdout)
    assert as_json["profile"] == {"value": "nightly", "from": "--profile"}
    assert as_json["cases"] == {"value": None, "from": "profile nightly"}
    assert as_json["seed"] == {"value": "drawn", "from": "profile nightly"}
    assert as_json["min_resolution"]["value"] == {"float32": 1e-5}
    for_run = json.loads(invoke("config", "--run", "--json").stdout)
    assert for_run["cases"] == {"value": 12, "from": "backproof.toml, line 3"}


def test_config_refuses_what_the_others_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "cases = 'x'")
    for command in ("config", "run", "gate", "baseline show"):
        result = invoke(*command.split(), columns=400)
        assert result.exit_code == 4
        assert sentence(result) == "backproof.toml, line 1: cases: expected `int`, got `str`."
