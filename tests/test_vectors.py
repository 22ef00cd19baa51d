"""Test vectors: right results pass, wrong ones fail, and a corpus that is damaged says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from helpers_cli import invoke, sentence

from backproof.architectures.cases import Case
from backproof.architectures.limits import LOSS_NAMES, OPERATOR_NAMES
from backproof.checkers import ties
from backproof.checkers.verdict import Verdict, estimates
from backproof.planting import by_name
from backproof.reference.arrays import Arrays
from backproof.reference.faults.catalogue import FAULTS, Fault
from backproof.subjects import wire
from backproof.vectors import choosing, format, linting, making, page
from backproof.vectors.format import Corpus, CorpusError
from backproof.vectors.judging import Expected, judge, worst

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "vectors"
CORPUS = format.read(FOLDER)
VECTORS = {vector.id: vector for vector in CORPUS.vectors}
FEW = ("mlp-generic-float64", "mlp-generic-float32", "relu_mlp-exact-float64",
       "relu_mlp-tie-float64")  # fmt: skip
MLP, SINGLE, EXACT, TIE = FEW


def opened(id: str, folder: Path = FOLDER) -> tuple[Case, Expected]:
    vector = VECTORS[id]
    arrays = format.read_tensors(format.path_of(folder, vector), vector.sha256)
    return format.case_of(vector, arrays), format.expected_of(vector, arrays)


def results_of(case: Case, subject: str = "reference") -> Arrays:
    """What a subject gives for a vector: the loss, and every gradient that it has."""
    loss, found = by_name(subject)(case)
    given = {n: np.asarray(found[n]) for n in ties.gradient_names(case) if found[n] is not None}
    return {"loss": np.asarray(loss), **given}


def statuses(expected: Expected, given: Arrays, dtype: str) -> set[str]:
    return {c.status for c in judge(expected, given, dtype)}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small corpus."""
    folder = tmp_path / "corpus"
    save(folder, few(*FEW))
    for id in FEW:
        copy = format.path_of(folder, VECTORS[id])
        copy.write_bytes(format.path_of(FOLDER, VECTORS[id]).read_bytes())
    return folder


def few(*ids: str) -> Corpus:
    return making.corpus_of([VECTORS[id] for id in ids], "smoke", 0)


def save(folder: Path, corpus: Corpus) -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.json").write_bytes(format.dumps(corpus))
    (folder / "schema.json").write_bytes(format.schema())
    (folder / "README.md").write_text(page.write(corpus))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The reference's own results for that corpus."""
    folder = tmp_path / "results"
    folder.mkdir()
    for id in FEW:
        put(folder, id, results_of(opened(id)[0]))
    return folder


def put(folder: Path, id: str, given: Arrays) -> None:
    (folder / f"{id}.safetensors").write_bytes(format.encode(given))


# --- the committed corpus -----------------------------------------------------------------


def test_the_committed_corpus_has_no_defect() -> None:
    result = invoke("vectors", "lint", str(FOLDER))
    assert result.output == f"0 defects in {len(VECTORS)} vectors.\n"
    assert result.exit_code == 0


def test_it_is_what_its_schema_says() -> None:
    schema = json.loads((FOLDER / "schema.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(
        json.loads((FOLDER / "corpus.json").read_bytes())
    )


def test_it_is_small() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 10**6


def test_it_covers_every_operator_and_loss_and_catches_every_fault() -> None:
    assert set(CORPUS.scope.operators) == set(OPERATOR_NAMES)
    assert set(CORPUS.scope.losses) == set(LOSS_NAMES)
    assert CORPUS.notes.keys() >= {fault.name for fault in FAULTS if not fault.convention}


def test_it_says_who_confirmed_each_vector() -> None:
    assert all(len(vector.checkers) == 4 for vector in CORPUS.vectors)
    assert all(vector.resolution is not None for vector in CORPUS.vectors)


def test_every_attribute_of_a_network_is_spelt_out() -> None:
    written = json.loads((FOLDER / "corpus.json").read_bytes())["vectors"]
    layer = next(v for v in written if v["id"] == MLP)["architecture"]["layers"][0]
    assert layer == {"op": "dense", "units": 4, "bias": True, "inputs": [], "share": ""}


# --- results ------------------------------------------------------------------------------


def test_the_reference_s_own_results_are_right() -> None:
    for id in VECTORS:
        case, expected = opened(id)
        assert statuses(expected, results_of(case), case.dtype) == {"PASS"}, id


@pytest.mark.parametrize("checker", ["jax", "torch"])
def test_a_framework_with_conventions_of_its_own_is_right_too(checker: Any) -> None:
    for id in (*FEW, "maximum-tie-float64", "prelu-tie-float64", "hard_tanh-tie-float64"):
        case, expected = opened(id)
        (source,) = estimates(case, (checker,))[0]
        given = {name: source.entries[name].astype(case.dtype) for name in expected.values}
        assert statuses(expected, given, case.dtype) == {"PASS"}, id


@pytest.mark.parametrize("fault", [f for f in FAULTS if not f.convention], ids=lambda f: f.name)
def test_a_planted_fault_fails_every_vector_that_is_said_to_catch_it(fault: Fault) -> None:
    for vector in [v for v in CORPUS.vectors if fault.name in v.catches][:3]:
        case, expected = opened(vector.id)
        wrong = [given for _, given in making.wrong_results(case, (fault,))]
        assert any("FAIL" in statuses(expected, given, case.dtype) for given in wrong)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.convention], ids=lambda f: f.name)
def test_another_convention_is_right_everywhere(fault: Fault) -> None:
    differs = 0
    for vector in CORPUS.vectors:
        case, expected = opened(vector.id)
        for _, given in making.wrong_results(case, (fault,)):
            right = results_of(case)
            differs += any(not np.array_equal(given[n], right[n]) for n in given)
            assert statuses(expected, given, case.dtype) == {"PASS"}, vector.id
    assert differs


def test_at_a_tie_any_choice_is_right_and_nothing_beyond_them() -> None:
    case, expected = opened(TIE)
    assert len(expected.alternatives) > 1
    mean = expected.alternatives.mean(axis=0)
    beyond = 2 * expected.alternatives[0] - expected.alternatives[-1]
    for row in (*expected.alternatives, mean):
        assert statuses(expected, with_choice(case, expected, row), case.dtype) == {"PASS"}
    found = judge(expected, with_choice(case, expected, beyond), case.dtype)
    assert [c.tensor for c in found if c.status == "FAIL"] == ["alternatives"]
    assert "outside their convex hull" in worst(found).reason


def with_choice(case: Case, expected: Expected, row: Any) -> Arrays:
    given = {name: value.copy() for name, value in results_of(case).items()}
    for name, mask in expected.depends.items():
        given[name][mask], row = row[: mask.sum()], row[mask.sum() :]
    return given


def test_one_wrong_entry_and_a_small_error_in_all_of_them_are_both_seen() -> None:
    case, expected = opened(MLP)
    right, name = results_of(case), "layers.0.weight"
    one = right[name].copy()
    one[1, 2] += 2 * expected.bounds[name][1, 2]
    found = worst(judge(expected, {**right, name: one}, "float64"))
    assert (found.status, found.tensor) == ("FAIL", name)
    assert "at entry (1, 2), must be" in found.reason
    bounds = {n: np.full(b.shape, 1.0) for n, b in expected.bounds.items()}
    loose = replace(expected, bounds=bounds, norm_bounds=dict.fromkeys(expected.values, 0.1))
    found = worst(judge(loose, {**right, name: right[name] + 0.05}, "float64"))
    assert (found.status, found.tensor) == ("FAIL", name)
    assert "is off by 0.173 in the 2-norm, allowed 0.1" in found.reason


def test_on_the_exact_lane_the_last_bit_counts() -> None:
    case, expected = opened(EXACT)
    given = results_of(case)
    off = {**given, "loss": np.nextafter(given["loss"], np.inf)}
    assert worst(judge(expected, off, "float64")).tensor == "loss"


# --- backproof vectors verify ---------------------------------------------------------------


def test_right_results_end_in_0(corpus: Path, results: Path) -> None:
    result = invoke("vectors", "verify", str(corpus), str(results))
    assert result.exit_code == 0
    assert result.output.endswith("VERIFIED  4 of 4 vectors passed.\n")
    assert re.search(rf"^PASS         {MLP}  \S+ at \S+ of its bound$", result.output, re.M)


def test_a_wrong_result_ends_in_1_and_the_mistake_is_named(corpus: Path, results: Path) -> None:
    put(results, SINGLE, results_of(opened(SINGLE)[0], "reference+gradient_averaged"))
    result = invoke("vectors", "verify", str(corpus), str(results), columns=400)
    assert result.exit_code == 1
    assert (
        "equals the gradient with the parameters' gradient averaged over the batch instead of "
        "summed, in dense at layers.0" in result.output
    )
    assert result.output.endswith("WRONG GRADIENT  3 of 4 vectors passed, 1 wrong.\n")


def test_a_mistake_that_nobody_knows_has_no_name(corpus: Path, results: Path) -> None:
    given = results_of(opened(MLP)[0])
    put(results, MLP, {**given, "layers.2.bias": given["layers.2.bias"] * 3})
    result = invoke("vectors", "verify", str(corpus), str(results))
    assert result.exit_code == 1
    assert "layers.2.bias is" in result.output
    assert "equals" not in result.output


def test_a_missing_result_ends_in_1_unless_it_is_skipped(corpus: Path, results: Path) -> None:
    (results / f"{MLP}.safetensors").unlink()
    result = invoke("vectors", "verify", str(corpus), str(results))
    assert result.exit_code == 1
    assert f"MISSING      {MLP}  there are no results" in result.output
    assert result.output.endswith("3 of 4 vectors passed, 1 missing.\n")
    assert invoke("vectors", "verify", str(corpus), str(results), "--skip-missing").exit_code == 0


def test_nothing_verified_ends_in_5(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = invoke("vectors", "verify", str(corpus), str(tmp_path / "empty"), "--skip-missing")
    assert result.exit_code == 5
    assert "NOTHING VERIFIED  0 of 4 vectors passed." in result.output
    none = invoke("vectors", "verify", str(corpus), str(tmp_path / "empty"), "--operators", "gru")
    assert none.exit_code == 5
    assert "0 of 0 vectors passed; 4 more not asked for" in none.output


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--operators", "dense,tanh"), {MLP, SINGLE}),
        (("--operators", "dense", "--operators", "relu"), {EXACT, TIE}),
        (("--losses", "squared_error", "--group", "smoke"), set(FEW)),
        (("--losses", "huber"), set()),
    ],
)
def test_only_what_is_asked_for_is_judged(
    options: tuple[str, ...], ids: set[str], corpus: Path, results: Path
) -> None:
    output = invoke("vectors", "verify", str(corpus), str(results), *options).output
    assert {line.split()[1] for line in output.splitlines()[:-1]} == ids


def test_variable_need_not_be_named_among_the_operators(tmp_path: Path) -> None:
    id = "sigmoid-generic-float64"
    put(tmp_path, id, results_of(opened(id)[0]))
    result = invoke("vectors", "verify", str(FOLDER), str(tmp_path), "--operators", "sigmoid")
    assert result.exit_code == 0
    assert "1 of 1 vector passed" in result.output


def test_the_gradient_of_the_input_may_be_skipped(corpus: Path, results: Path) -> None:
    for id in FEW:
        given = results_of(opened(id)[0])
        del given["input"]
        put(results, id, given)
    result = invoke("vectors", "verify", str(corpus), str(results))
    assert result.exit_code == 1
    assert "input is missing" in result.output
    assert invoke("vectors", "verify", str(corpus), str(results), "--skip-input").exit_code == 0


def test_results_may_be_json(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "as json"
    folder.mkdir()
    for k, id in enumerate(FEW):
        given = results_of(opened(id)[0])
        as_json = {
            name: g.tolist() if k % 2 else wire.tensor(g, "base64") for name, g in given.items()
        }
        (folder / f"{id}.json").write_text(json.dumps(as_json))
    assert invoke("vectors", "verify", str(corpus), str(folder)).exit_code == 0


def test_what_became_of_each_is_written_as_json_and_junit(corpus: Path, results: Path) -> None:
    etree = pytest.importorskip("lxml.etree")
    put(results, MLP, results_of(opened(MLP)[0], "reference+bias_gradient_missing"))
    (results / f"{TIE}.safetensors").unlink()
    found, report = results / "found" / "out.json", results / "junit.xml"
    assert "No such file" in sentence(
        invoke("vectors", "verify", str(corpus), str(results), "--output", str(found))
    )
    invoke("vectors", "verify", str(corpus), str(results),
           "--output", str(results / "out.json"), "--junit", str(report))  # fmt: skip
    written = json.loads((results / "out.json").read_bytes())
    assert [v["status"] for v in written["vectors"]] == ["FAIL", "PASS", "PASS", "MISSING"]
    assert written["vectors"][0]["ratio"] == "inf"
    schema = etree.XMLSchema(etree.parse(ROOT / "tests" / "data" / "junit.xsd"))
    tree = etree.parse(report)
    schema.assertValid(tree)
    assert len(tree.findall(".//failure")) == 2


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from backproof.cli import group; sys.argv[1:] = ['vectors', 'verify', "
        f"{str(FOLDER)!r}, {str(FOLDER / 'data')!r}, '--skip-missing', '--group', 'smoke']\n"
        "try: group.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'jax', 'torch', 'hypothesis'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stderr


def test_the_program_of_the_documentation_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    os.symlink(FOLDER, tmp_path / "vectors")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "vectors.md", "exec"), {})
    result = invoke("vectors", "verify", "vectors", "reports/out/results", "--skip-missing")
    assert result.exit_code == 0
    assert result.output.endswith(f"VERIFIED  3 of {len(VECTORS)} vectors passed.\n")


# --- results that are none ------------------------------------------------------------------


def spoilt(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Results for the multilayer perceptron with one tensor changed."""

    def spoil(folder: Path) -> None:
        given = results_of(opened(MLP)[0])
        put(folder, MLP, {**given, name: change(given[name])})

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoilt("layers.0.bias", lambda g: g[None]),
         "layers.0.bias has shape (1, 4), must be (4,)"),
        (spoilt("layers.0.bias", lambda g: g.astype(np.float32)),
         "layers.0.bias has dtype float32, must be float64"),
        (spoilt("layers.0.bias", lambda g: g * np.array([1, np.nan, 1, 1])),
         "layers.0.bias is not finite at entry (1,)"),
        (spoilt("loss", lambda g: np.array(np.inf)), "loss is not finite"),
        (spoilt("loss", lambda g: g.reshape(1)), "loss has shape (1,), must be ()"),
        (lambda folder: put(folder, MLP, {"loss": np.zeros(())}), "layers.0.weight is missing"),
        (lambda folder: put(folder, MLP, {**results_of(opened(MLP)[0]), "b": np.zeros(1)}),
         "b is no gradient of this vector; there are loss, layers.0.weight"),
    ],
)  # fmt: skip
def test_a_malformed_gradient_is_a_wrong_one(
    spoil: Callable[[Path], None], said: str, corpus: Path, results: Path
) -> None:
    spoil(results)
    result = invoke("vectors", "verify", str(corpus), str(results), columns=300)
    assert result.exit_code == 1
    assert said in result.output


def as_text(text: str) -> Callable[[Path], None]:
    """The perceptron's results as JSON, and no safetensors."""

    def spoil(folder: Path) -> None:
        (folder / f"{MLP}.safetensors").unlink()
        (folder / f"{MLP}.json").write_text(text)

    return spoil


def cut_short(folder: Path) -> None:
    path = folder / f"{MLP}.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def in_halves(folder: Path) -> None:
    put(folder, MLP, {"loss": np.zeros((), np.float16)})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut_short, "is not a safetensors file: "),
        (in_halves, "loss is F16, must be one of F64, F32, I64, BOOL"),
        (lambda folder: (folder / f"{MLP}.json").write_text("{}"), "are both there"),
        (as_text("{"), "is not JSON: "),
        (as_text("[" * 10**5), "is not JSON: "),
        (as_text("[1]"), "must be an object of tensors by name"),
        (as_text('{"loss": "much"}'), "loss must be a number or nested lists of numbers"),
        (as_text('{"loss": [[1], [1, 2]]}'), "loss must be a number or nested lists of numbers"),
        (as_text('{"loss": [null]}'), "loss must be a number or nested lists of numbers"),
        (as_text('{"loss": {"dtype": "float64"}}'), "loss: shape must be a list of integers"),
    ],
)
def test_a_file_that_cannot_be_read_ends_in_4_with_one_sentence(
    spoil: Callable[[Path], Any], said: str, corpus: Path, results: Path
) -> None:
    spoil(results)
    result = invoke("vectors", "verify", str(corpus), str(results), columns=400)
    assert result.exit_code == 4
    assert said in sentence(result)
    assert MLP in sentence(result)


def test_a_folder_that_is_none_ends_in_4(corpus: Path, results: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for arguments, said in (
        (("verify", nowhere, str(results)), f"{nowhere}: there is no such folder."),
        (("verify", str(corpus), nowhere), f"{nowhere}: there is no such folder."),
        (("verify", str(results), str(results)), f"{results} is not a corpus: it has no"),
        (("lint", str(results)), f"{results} is not a corpus: it has no corpus.json."),
        (("sort",), "No command 'sort'; there are generate, lint, verify."),
        (("verify", str(corpus), str(results), "--group", "large"), "Invalid value for '--group'"),
    ):
        result = invoke("vectors", *arguments, columns=400)
        assert result.exit_code == 4
        assert said in sentence(result)
    assert invoke("vectors").exit_code == 4


def test_a_vector_s_file_that_was_altered_is_not_verified_against(
    corpus: Path, results: Path
) -> None:
    path = format.path_of(corpus, VECTORS[MLP])
    path.write_bytes(path.read_bytes() + b" ")
    result = invoke("vectors", "verify", str(corpus), str(results), columns=400)
    assert result.exit_code == 4
    assert "is not the file that corpus.json knows: its sha256 differs." in sentence(result)


# --- backproof vectors lint -----------------------------------------------------------------


def changed(corpus: Path, id: str = MLP, **fields: Any) -> None:
    """Another corpus.json, of one vector that has other fields."""
    vector = msgspec.structs.replace(VECTORS[id], **fields)
    save(corpus, msgspec.structs.replace(few(id), vectors=(vector,)))


def tensors(id: str, change: Callable[[Arrays], Any]) -> Callable[[Path], None]:
    """Other tensors for a vector, with the hash mended."""

    def damage(corpus: Path) -> None:
        path = format.path_of(corpus, VECTORS[id])
        arrays = {name: a.copy() for name, a in format.read_tensors(path).items()}
        change(arrays)
        content = format.encode(arrays)
        path.write_bytes(content)
        changed(corpus, id, sha256=format.digest(content))

    return damage


def scaled(name: str, factor: Any) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = np.asarray(arrays[name] * factor)

    return change


def fields(id: str = MLP, **new: Any) -> Callable[[Path], None]:
    return lambda corpus: changed(corpus, id, **new)


def whole(**new: Any) -> Callable[[Path], None]:
    return lambda corpus: save(corpus, msgspec.structs.replace(few(MLP), **new))


MLP_VECTOR, TIE_VECTOR = VECTORS[MLP], VECTORS[TIE]

DAMAGE: list[tuple[Callable[[Path], Any], str]] = [
    (lambda c: format.path_of(c, MLP_VECTOR).unlink(), "No such file or directory"),
    (lambda c: format.path_of(c, MLP_VECTOR).write_bytes(b"x"), "its sha256 differs"),
    (lambda c: (c / "data" / "more.safetensors").touch(), "more.safetensors belongs to no vector"),
    (lambda c: (c / "README.md").write_text("figures"), "README.md is not what"),
    (lambda c: (c / "schema.json").unlink(), "schema.json is not what"),
    (whole(vectors=(MLP_VECTOR,) * 2), f"{MLP} stands 2 times in the corpus"),
    (whole(notes={**few(MLP).notes, "one_row_wrong": "two"}), "the note on one_row_wrong must be"),
    (whole(notes={**few(MLP).notes, "sloth": "too slow"}), "there is no fault sloth"),
    (whole(notes={**few(MLP).notes, "sloth": "too slow"}), "the fault sloth is in no vector"),
    (whole(notes={}), "the fault one_row_wrong is without a note"),
    (whole(scope=format.Scope(("gru",), (), ())), "gru is in the declared scope and in no vector"),
    (fields(groups=("smoke", "full")), f"{MLP}: groups must be nested"),
    (fields(groups=()), f"{MLP}: groups must be nested"),
    (fields(title="a net"), f"{MLP}: title must be '(2, 3) > dense 4"),
    (fields(seed=7), f"{MLP}: input is not what the seed 7 gives"),
    (fields(checkers=("jax", "jax")), f"{MLP}: 1 checkers confirm it, must be 2 at least"),
    (fields(catches=()), f"{MLP}: it catches no fault"),
    (fields(catches=MLP_VECTOR.catches[1:]), f"{MLP}: it catches {MLP_VECTOR.catches[0]} and does"),
    (fields(catches=("penalty_missing",)), f"{MLP}: it is said to catch penalty_missing and does"),
    (fields(norm_bounds={"loss": 1.0}), f"{MLP}: norm_bounds must be of loss, layers.0.weight"),
    (fields(norm_bounds=dict.fromkeys(MLP_VECTOR.norm_bounds, 1.0)),
     f"{MLP}: a bound of loss is not what rounding gives"),
    (fields(TIE, tolerance=1.0), f"{TIE}: the tolerance of the hull is not what rounding gives"),
    (fields(TIE, tolerance=None), f"{TIE}: tolerance, depends and alternatives do not fit"),
    (fields(dtype="float32"), f"{MLP}: input is float64, must be float32"),
    (tensors(MLP, scaled("expected/layers.0.weight", 1 + 1e-9)),
     f"{MLP}: expected/layers.0.weight is not what the reference gives"),
    (tensors(EXACT, scaled("expected/loss", 1 + 2**-52)),
     f"{EXACT}: expected/loss is not what the reference gives"),
    (tensors(MLP, scaled("bounds/layers.2.bias", 10)),
     f"{MLP}: a bound of layers.2.bias is not what rounding gives"),
    (tensors(MLP, scaled("bounds/layers.2.bias", 0)),
     f"{MLP}: a bound of layers.2.bias is not positive and finite"),
    (tensors(MLP, scaled("bounds/layers.2.bias", np.nan)),
     f"{MLP}: bounds/layers.2.bias is not finite"),
    (whole(vectors=()), "the corpus has no vectors"),
    (tensors(EXACT, lambda arrays: arrays["bounds/loss"].__iadd__(1.0)),
     f"{EXACT}: a bound of loss is not zero, as every bit is exact"),
    (tensors(TIE, scaled("alternatives", 1.5)), f"{TIE}: alternatives are not the gradients"),
    (tensors(TIE, lambda arrays: arrays.pop("alternatives")), "do not fit together"),
    (tensors(TIE, lambda arrays: np.logical_not(*[arrays["depends/input"]] * 2)),
     f"{TIE}: tolerance, depends and alternatives do not fit together"),
    (tensors(MLP, lambda arrays: arrays.update({"depends/x": np.zeros(1, bool)})),
     f"{MLP}: depends/x is no mask of that gradient"),
    (tensors(MLP, lambda arrays: arrays.update(extra=np.zeros(1))),
     f"{MLP}: extra is no tensor of this vector"),
    (tensors(MLP, lambda arrays: arrays.pop("expected/loss")),
     f"{MLP}: expected must be of loss, layers.0.weight"),
    (tensors(MLP, lambda arrays: arrays.update({"bounds/loss": np.zeros(2)})),
     f"{MLP}: bounds/loss is float64 of shape (2,), must be float64 of shape ()"),
    (tensors(MLP, lambda arrays: arrays.pop("targets/loss")), f"{MLP}: targets must be ['loss']"),
    (tensors(MLP, scaled("parameters/layers.0.weight", 2.0)),
     f"{MLP}: parameters/layers.0.weight is not what the seed"),
    (tensors(MLP, scaled("input", np.nan)), f"{MLP}: input must be finite"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_each_defect_of_a_corpus_is_a_sentence(
    damage: Callable[[Path], Any], said: str, corpus: Path
) -> None:
    changed(corpus)
    damage(corpus)
    result = invoke("vectors", "lint", str(corpus))
    assert result.exit_code == 1
    assert any(said in line and line.endswith(".") for line in result.output.splitlines())


def test_a_small_corpus_without_damage_has_no_defect(corpus: Path) -> None:
    assert list(linting.defects(corpus, format.read(corpus))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("{}", "Object missing required field `version`"),
        ('{"format": 9', "is not JSON"),
    ],
)
def test_what_is_no_corpus_json_ends_in_4(text: str, said: str, corpus: Path) -> None:
    (corpus / "corpus.json").write_text(text)
    result = invoke("vectors", "lint", str(corpus))
    assert result.exit_code == 4
    assert said in sentence(result)


def test_a_newer_format_and_an_id_that_is_a_path_are_refused(corpus: Path) -> None:
    written = (corpus / "corpus.json").read_text()
    (corpus / "corpus.json").write_text(written.replace('"format": 1', '"format": 2'))
    with pytest.raises(CorpusError, match="has format 2; this version reads 1"):
        format.read(corpus)
    (corpus / "corpus.json").write_text(written.replace(f'"id": "{MLP}"', '"id": "../x"'))
    with pytest.raises(CorpusError, match="Expected `str` matching regex"):
        format.read(corpus)


# --- backproof vectors generate -------------------------------------------------------------


@pytest.fixture
def two_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small cases, one of them at a tie, and no other."""
    found = [c for c in choosing.choices(0) if c.id in (MLP, TIE)]
    monkeypatch.setattr("backproof.commands.vectors.choices", lambda seed: found)


@pytest.mark.usefixtures("two_choices")
def test_the_same_seed_gives_the_same_bytes_and_no_defect(tmp_path: Path) -> None:
    written = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        folder = tmp_path / "new" / name
        result = invoke("vectors", "generate", "--group", "smoke", "--seed", seed,
                        "--output", str(folder))  # fmt: skip
        assert result.exit_code == 0, result.output
        assert "2 vectors in" in result.stdout
        paths = sorted(p for p in folder.rglob("*") if p.is_file())
        written.append({p.relative_to(folder): p.read_bytes() for p in paths})
    assert written[0] == written[1] != written[2]
    assert list(linting.defects(folder, format.read(folder))) == []


@pytest.mark.usefixtures("two_choices")
def test_a_corpus_takes_the_place_of_the_one_before(corpus: Path) -> None:
    assert invoke("vectors", "generate", "--output", str(corpus)).exit_code == 0
    names = {path.stem for path in (corpus / "data").iterdir()}
    assert names == {MLP, TIE}


@pytest.mark.usefixtures("two_choices")
def test_a_case_that_is_not_verified_does_not_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "TRIES", 2)
    monkeypatch.setattr(making, "verify", lambda case, **options: Verdict("INCONCLUSIVE", "fog"))
    result = invoke("vectors", "generate", "--output", str(tmp_path / "none"))
    assert result.exit_code == 5
    assert f"left out {MLP}: none of 2 draws fits; the last: INCONCLUSIVE: fog" in result.stderr
    assert "No vector could be made." in result.stderr
    assert not list((tmp_path / "none").iterdir())


@pytest.mark.usefixtures("two_choices")
@pytest.mark.parametrize(("status", "code"), [("FAIL", 1), ("ERROR", 3)])
def test_a_case_that_is_wrong_is_a_finding_and_not_drawn_again(
    status: Any, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "verify", lambda case, **options: Verdict(status, "fog"))
    result = invoke("vectors", "generate", "--output", str(tmp_path / "none"))
    assert result.exit_code == code
    assert re.fullmatch(rf"{MLP}, drawn from \d+: {status}: fog\.\n", result.stderr)


def test_nobody_s_files_are_written_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = invoke("vectors", "generate", "--output", str(tmp_path))
    assert result.exit_code == 4
    assert sentence(result) == f"--output {tmp_path} holds other files and no corpus."
    result = invoke("vectors", "generate", "--output", str(tmp_path / "README.md"))
    assert result.exit_code == 4
    assert sentence(result) == f"--output {tmp_path / 'README.md'}: File exists."


def test_every_choice_has_a_name_of_its_own() -> None:
    ids = [choice.id for choice in choosing.choices(0)]
    assert len(ids) == len(set(ids))
    assert {"smoke", "must", "full"} == {choice.group for choice in choosing.choices(0)}


def test_a_draw_that_proves_little_is_drawn_again() -> None:
    (tie,) = (c for c in choosing.choices(0) if c.id == TIE)
    generic = tie._replace(lane="generic")
    with pytest.raises(making.Unfit, match="there is a tie"):
        making._make(generic, opened(TIE)[0])
    with pytest.raises(making.Unfit, match="exp_overflows does not show"):
        making._make(tie._replace(fault="exp_overflows"), opened(TIE)[0])
