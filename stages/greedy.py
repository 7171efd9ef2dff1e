"""greedy@{name}: which types of a database to train on for another one (data/domains/greedy/, metrics/greedy/)."""

from __future__ import annotations

from dataclasses import replace

from pipeline import artifacts, evaluation
from pipeline.databases import load_manifest
from pipeline.domains import DomainsError, Transfer, study
from pipeline.evaluation import Protocol, ScoredDatabase
from pipeline.params import Params
from stages import DATA, METRICS, entry
from stages.evaluate import table_of

SPLITS = 5  # of the source, by reference (the paper's)


def run(params: Params, name: str) -> None:
    """Follow the greedy path, and judge a ridge on every selection of the source's types on the target."""
    asked, knobs, memory = params.greedy[name], params.evaluate, params.run.memory
    manifests = {key: load_manifest(key, params.database_folder(key)) for key in (asked.source, asked.target)}
    source = manifests[asked.source]
    if not source.bank_types:
        raise DomainsError(f"greedy.{name}.source: the types of {asked.source} are not numbered as the bank's are")

    def load(database: str) -> ScoredDatabase:
        where = (DATA, asked.encoder, manifests[database], table_of)
        scored = evaluation.open_scored(*where, memory=memory, bits=knobs.near_duplicate_bits)
        if scored is None:
            raise DomainsError(f"greedy.{name}.encoder: {asked.encoder} is a metric and gives no features")
        return scored

    protocol = Protocol.of(knobs, source, seed=params.seed, memory=memory, split_file=None)
    train, test = load(asked.source), load(asked.target)
    splits = evaluation.splits_of(train.scored, replace(protocol, splits=SPLITS), asked.source)
    transfer = Transfer(train, test, knobs.lambdas, params.seed, knobs.near_duplicate_bits)
    similarities = artifacts.read_table(DATA / "domains" / f"{asked.domains}.parquet")
    studied = study(transfer, similarities, asked, splits)
    artifacts.write_table(DATA / "domains" / "greedy" / f"{name}.parquet", studied.path)
    artifacts.write_table(DATA / "domains" / "predictions" / f"{name}.parquet", studied.predictions)
    artifacts.write_json(METRICS / "greedy" / f"{name}.json", studied.figures)


if __name__ == "__main__":
    entry(run, "name")
