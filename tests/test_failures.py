"""A run that fails, in the real Snakefile: alone, or skipped and recorded."""

from checkouts import MODELS, begin_from, diverge, snakemake, write_config
from modelsoups.base.files import read_json

TABLE = "results/table3.csv"


def skip(config) -> None:
    diverge(config)
    config["sweeps"]["tiny-search"]["on_failure"] = "skip"


def test_failing_run_fails_alone_or_is_skipped_and_that_is_recorded(study, tmp_path):
    folder = begin_from(study, tmp_path)
    config = write_config(folder, "error.yaml", diverge)
    done = snakemake(folder, TABLE, "--configfile", config, "--keep-going")
    assert done.returncode != 0
    assert "tiny-search 000: the loss is nan in epoch 1 of 2 (lr 1e+30)" in done.stdout
    assert not (folder / MODELS / "000/weights.safetensors").exists()
    assert not (folder / TABLE).exists()
    good = folder / MODELS / "001/logits/tiny-test.parquet"
    made = good.stat().st_mtime_ns

    done = snakemake(folder, TABLE, "--configfile", write_config(folder, "skip.yaml", skip))
    assert done.returncode == 0, done.stdout
    assert good.stat().st_mtime_ns == made  # the other run is not made again
    for model in ("greedy", "ensemble"):
        record = read_json(folder / MODELS / model / "record.json")
        assert list(record["skipped"]) == ["000"]
        assert "the loss is nan in epoch 1 of 2" in record["skipped"]["000"]
        assert "000" not in record["ingredients"]
    assert "the loss is nan" in read_json(folder / MODELS / "000/record.json")["failure"]
    table = (folder / TABLE).read_text()
    assert "Best individual model" in table
    assert "Second best model" not in table  # there is one run
