"""Ensembles: averages of stored logits; no model runs. Every choice is made on the held-out set."""

for name, datasets, sweeps in grouped(
    "choose_ensemble", lambda sweep: [STUDY.held_out_of(sweep)]
):

    rule:
        """The record of an ensemble's ingredients, and its logits on the held-out set."""
        name:
            name
        input:
            logits=pool_held_out_logits,
            code=code("choose_ensemble"),
        output:
            record=of(RECORD, model="{ensemble}"),
            logits=of(LOGITS, model="{ensemble}", dataset=datasets[0]),
        log:
            "results/logs/choose_ensemble/{sweep}-{ensemble}.log",
        benchmark:
            of(BENCHMARK, rule="choose_ensemble", job="{sweep}-{ensemble}")
        wildcard_constraints:
            sweep=sweeps,
        conda:
            "../envs/modelsoups.yaml"
        params:
            ensemble=ensemble_spec,
            names=pool_names,
            held_out=datasets[0],
            logits_dtype=EVALUATION.get("logits_dtype", "float32"),
        message:
            "Choosing ensemble {wildcards.ensemble} of {wildcards.sweep}"
        script:
            "../workflow/scripts/choose_ensemble.py"


for name, datasets, sweeps in grouped("average_ensemble", STUDY.reported_of):

    rule:
        """The logits of an ensemble on the test set and the shift sets."""
        name:
            name
        input:
            record=of(RECORD, model="{ensemble}"),
            logits=pool_reported_logits,
            code=code("average_ensemble"),
        output:
            logits=expand(
                of(LOGITS, model="{ensemble}"),
                dataset=datasets,
                allow_missing=True,
            ),
        log:
            "results/logs/average_ensemble/{sweep}-{ensemble}.log",
        benchmark:
            of(BENCHMARK, rule="average_ensemble", job="{sweep}-{ensemble}")
        wildcard_constraints:
            sweep=sweeps,
        conda:
            "../envs/modelsoups.yaml"
        params:
            names=pool_names,
            logits_dtype=EVALUATION.get("logits_dtype", "float32"),
        message:
            "Averaging ensemble {wildcards.ensemble} of {wildcards.sweep}"
        script:
            "../workflow/scripts/average_ensemble.py"
