"""Batches: what is said for one shard, repeated for runs of shards that one job takes."""


def filled(path, shard):
    """A path of a rule with the study, the shard and the number of shards filled in; the engine's flags stay."""
    values = {"{study}": STUDY.name, "{shard}": str(shard), "{shards}": str(STUDY.shards)}
    text = path
    for name, value in values.items():
        text = text.replace(name, value)
    return getattr(path, "new_from", str)(text)


def in_batches(name: str) -> None:
    """Repeat a rule of one shard for each run of shards that one job takes (`encoding.shards_per_job`).

    The outputs of a rule must share their wildcards, so each run has a rule of its own, which lists its files. Here
    stands what the engine makes of `use ... as ... with`, since that takes no computed name. The study is filled in too,
    for the engine looks rules up by what stands before their first wildcard.
    """
    # Imported as a module, rules may have a prefix.
    known = workflow.modifier.modify_rulename
    said, settings = workflow.get_rule(known(name)).ruleinfo, workflow.resource_settings

    def once(paths):
        """What no shard has of its own is one file for all."""
        return list(dict.fromkeys(paths))

    def listed(item, shards):
        if isinstance(item, str):
            return filled(item, "")
        if callable(item):
            return lambda w: once(filled(path, shard) for shard in shards for path in item(w))
        return once(filled(path, shard) for shard in shards for path in item)

    for shards in STUDY.batches:
        copy, run = batch_name(name, shards), f"{shards[0]}-to-{shards[-1]}"
        info = workflow.run(None)
        workflow.input(**{key: listed(item, shards) for key, item in said.input.kwpaths.items()})(info)
        workflow.output(**{key: listed(item, shards) for key, item in said.output.kwpaths.items()})(info)
        workflow.log(*(filled(path, run) for path in said.log.paths))(info)
        workflow.benchmark(filled(said.benchmark.paths, run))(info)
        workflow.userule(rules=[name], name_modifier=copy)(info)
        # What --set-threads and --set-resources say is meant for the copies too.
        resources = workflow.get_rule(known(copy)).resources
        resources.update(settings._parsed_overwrite_resources.get(known(name), {}))
        if known(name) in settings._parsed_overwrite_threads:
            resources["_cores"] = settings._parsed_overwrite_threads[known(name)]
