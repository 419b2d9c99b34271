"""The Hugging Face hub: files that a config names there, and a soup that is pushed to it."""


localrules:
    fetch_from_hub,
    write_card,
    push,


rule fetch_from_hub:
    """A file of the hub that the config names as `hf://owner/name@revision/file`, from its cache or
    downloaded, and the commit that it is of."""
    output:
        file=HUB_FILE,
        record=f"{HUB_FILE}.json",
    log:
        "results/logs/fetch_from_hub/{owner}-{name}-{revision}-{file}.log",
    wildcard_constraints:
        owner=r"[\w.-]+",
        name=r"[\w.-]+",
        revision="[^/@]+",
        file=r".+(?<!\.json)",
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Fetching {wildcards.file} of {wildcards.owner}/{wildcards.name} from the hub"
    script:
        "../workflow/scripts/fetch_from_hub.py"


rule write_card:
    """The model card of a soup of a study, as the hub reads it."""
    input:
        record=of(RECORD, model="{recipe}"),
        scores=SCORES,
        code=code("write_card"),
    output:
        card=CARD,
    log:
        "results/logs/write_card/{sweep}-{recipe}.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        study=CONFIG["study"],
        roles=evaluated_roles,
        backbone=backbone_spec,
        view=view_spec,
    message:
        "Writing the card of soup {wildcards.recipe} of {wildcards.sweep}"
    script:
        "../workflow/scripts/write_card.py"


rule push:
    """A soup with its card, and tables and figures, to the repository on the hub that `hub` names."""
    input:
        unpack(pushed_files),
    log:
        "results/logs/push.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        repo=CONFIG.get("hub", {}).get("repo"),
        private=CONFIG.get("hub", {}).get("private", True),
        names=pushed_names,
    message:
        "Pushing to {params.repo}"
    script:
        "../workflow/scripts/push.py"
