import pytest
import torch

from modelsoups.models import devices
from modelsoups.models.devices import autocast, choose_precision, pick_device, with_tf32


@pytest.fixture
def machine(monkeypatch):
    """Set up a machine: GPUs that torch finds, whether the system has one, and variables."""

    def set_up(found=0, has_file=False, **variables):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
        monkeypatch.setattr(devices, "take_gpus", lambda num_gpus: None)
        monkeypatch.setattr(devices, "GPU_FILE", __file__ if has_file else "/nothing/here")
        for name in (*devices.GPU_VARIABLES, devices.ALLOW_CPU):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_up


def test_gpu_is_taken_where_there_is_one(machine, caplog):
    machine(found=2)
    assert pick_device(2).type == "cuda"
    machine(found=0)
    assert pick_device().type == "cpu"
    assert caplog.text == ""


@pytest.mark.parametrize(
    "signs",
    [{"has_file": True}, {"CUDA_VISIBLE_DEVICES": "0"}, {"SLURM_GPUS_ON_NODE": "1"}],
    ids=["device file", "CUDA", "SLURM"],
)
def test_gpu_that_torch_cannot_use_is_an_error_unless_the_config_allows_the_cpu(
    machine, caplog, signs, monkeypatch
):
    machine(**signs)
    with pytest.raises(ValueError, match=r"asked for 1 GPU\(s\), torch finds none .*nvidia-smi"):
        pick_device()
    monkeypatch.setenv(devices.ALLOW_CPU, "1")
    assert pick_device().type == "cpu"
    assert "computing on the CPU, as the config allows" in caplog.text


def test_fewer_gpus_than_asked_for_are_logged(machine, caplog):
    machine(found=1)
    assert pick_device(4).type == "cuda"
    assert "asked for 4 GPUs, computing on 1" in caplog.text


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_are_hidden_on_purpose_are_not_missed(machine, caplog, hidden):
    machine(has_file=True, CUDA_VISIBLE_DEVICES=hidden)
    pick_device()
    assert caplog.text == ""


def test_no_gpu_is_missed_where_none_was_asked_for(machine, caplog):
    machine(has_file=True)
    pick_device(0)
    assert caplog.text == ""


@pytest.fixture
def tf32():
    """The switches of TF32, both on; a test leaves them as it found them."""
    switches = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = True
    yield switches
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


def test_float32_is_computed_without_tf32(tf32):
    """torch has it on for convolutions; the switches are there without a GPU too."""
    pick_device()
    assert [switch.allow_tf32 for switch in tf32] == [False, False]


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, "float32"),
        ({}, "float32"),  # another kind of processor
    ],
)
def test_bfloat16_is_chosen_where_the_hardware_is_faster_with_it(monkeypatch, has, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert choose_precision(CPU, "auto") == chosen
    assert choose_precision(torch.device("cuda"), "auto") == "bfloat16"
    for wanted in ("float32", "bfloat16"):
        assert choose_precision(CPU, wanted) == wanted


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_products_are_computed_in_the_precision_asked_for(precision):
    with autocast(CPU, precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, precision)


def test_tf32_is_refused_where_there_is_no_gpu():
    assert choose_precision(torch.device("cuda"), "tf32") == "tf32"
    with pytest.raises(ValueError, match="tf32, which GPUs alone compute, and this job has none"):
        choose_precision(CPU, "tf32")


@pytest.mark.parametrize("was", [False, True])
def test_tf32_is_on_while_it_is_asked_for_and_then_as_it_was(was):
    def found():
        return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]

    before = found()
    pick_device()  # both are off from then on
    with with_tf32(was):
        for is_on in (True, False):
            with with_tf32(is_on):
                assert found() == [was or is_on] * 2
            assert found() == [was] * 2
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
