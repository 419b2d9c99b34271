import pickle

import pytest
import torch

from modelsoups.training.processes import Process
from modelsoups.training.resume import Progress, load_state, save_state

IDENTITY = {"spec": {"lr": 1.0}, "inputs": {"start": "abc"}}


def make_parts(features=3, groups=1):
    """A model and its optimiser after a step, and how far they are."""
    torch.manual_seed(features)
    model = torch.nn.Linear(features, 2)
    parameters = [{"params": [each]} for each in model.parameters()]
    optimizer = torch.optim.AdamW(parameters if groups > 1 else model.parameters(), 0.1)
    model(torch.ones(1, features)).sum().backward()
    optimizer.step()
    progress = Progress(1, 2, 0.5, [{"loss": 3.0}])
    return {"model": model, "optimizer": optimizer, "progress": progress}


def content(part):
    """What a part, or several, would save, as plain numbers."""
    if isinstance(part, torch.Tensor):
        return part.tolist()
    if isinstance(part, dict):
        return {name: content(each) for name, each in part.items()}
    if isinstance(part, list | tuple):
        return [content(each) for each in part]
    return content(part.state_dict()) if hasattr(part, "state_dict") else part


def fresh_parts():
    torch.manual_seed(99)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), 0.7)
    return {"model": model, "optimizer": optimizer, "progress": Progress()}


def test_saved_parts_come_back(tmp_path):
    saved, parts = make_parts(), fresh_parts()
    save_state(tmp_path / "resume.pt", IDENTITY, saved)
    assert load_state(tmp_path / "resume.pt", IDENTITY, parts)
    assert content(parts) == content(saved)
    assert parts["progress"] == Progress(1, 2, 0.5, [{"loss": 3.0}])


def test_without_a_file_a_run_starts_without_a_word(tmp_path, caplog):
    parts = fresh_parts()
    assert not load_state(tmp_path / "resume.pt", IDENTITY, parts)
    assert caplog.text == ""


def cut(share):
    def break_it(path):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return break_it


def damage(path):
    """Other bytes in the middle of the first tensor, as a bad disk leaves them."""
    whole = path.read_bytes()
    with open(path, "wb") as file:
        middle = whole.index(make_parts()["model"].weight.detach().numpy().tobytes())
        file.write(whole[:middle] + b"\xff" * 8 + whole[middle + 8 :])


def save(**changes):
    """Write a state in which these parts are other ones."""

    def break_it(path):
        states = {name: part.state_dict() for name, part in make_parts().items()}
        states = {"identity": IDENTITY, **states, **changes}
        torch.save({name: part for name, part in states.items() if part is not None}, path)

    return break_it


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "null bytes": lambda path: path.write_bytes(bytes(1000)),
    "text": lambda path: path.write_text("not a state"),
    "cut in the middle": cut(0.5),
    "cut at the end": cut(0.99),
    "damaged": damage,
    "a pickle of code": lambda path: path.write_bytes(pickle.dumps(print)),
    "a list": lambda path: torch.save([1, 2], path),
    "a part missing": save(optimizer=None),
    "no identity": save(identity=None),
    "another model": save(model=make_parts(features=4)["model"].state_dict()),
    "another optimiser": save(optimizer=make_parts(groups=2)["optimizer"].state_dict()),
    "another progress": save(progress={"epoch": 1}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_state_that_cannot_be_gone_on_from_leaves_all_as_it_was(tmp_path, caplog, kind):
    path = tmp_path / "resume.pt"
    save_state(path, IDENTITY, make_parts())
    BROKEN[kind](path)
    parts = fresh_parts()
    before = content(parts)
    assert not load_state(path, IDENTITY, parts)
    assert content(parts) == before
    problem = "is damaged" if kind == "damaged" else "cannot be gone on from"
    assert f"resume.pt {problem}" in caplog.text
    assert "starting anew" in caplog.text


def test_state_of_another_run_leaves_all_as_it_was(tmp_path, caplog):
    path, parts = tmp_path / "resume.pt", fresh_parts()
    save_state(path, IDENTITY, make_parts())
    before = content(parts)
    assert not load_state(path, {**IDENTITY, "inputs": {"start": "xyz"}}, parts)
    assert content(parts) == before
    assert "belongs to another run" in caplog.text


def test_state_that_cannot_be_opened_is_an_error(tmp_path):
    """Another attempt may succeed, so what the run has done is not thrown away."""
    (tmp_path / "resume.pt").mkdir()
    with pytest.raises(IsADirectoryError):
        load_state(tmp_path / "resume.pt", IDENTITY, fresh_parts())


def test_state_that_another_process_cannot_read_is_not_gone_on_from(tmp_path, caplog):
    class OneOfTwo(Process):
        answers = iter([[False], [True]])  # the file is there for both; the other cannot read it

        def any(self, *said):
            return next(self.answers)

    path, parts = tmp_path / "resume.pt", fresh_parts()
    save_state(path, IDENTITY, make_parts())
    before = content(parts)
    assert not load_state(path, IDENTITY, parts, OneOfTwo())
    assert content(parts) == before
    assert "fails in another process; starting anew" in caplog.text
