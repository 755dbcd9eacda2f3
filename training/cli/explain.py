"""``explain``: what each feature contributed to scores."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final
from uuid import UUID

from db_functions.errors import ScoringError
from training.cli.arguments import Commands, add_command, add_period, add_quiet, share, whole_number
from training.cli.database import connect
from training.cli.output import aligned, moment

if TYPE_CHECKING:
    from training.explain import Explained, SampleResult

_FEATURES_SHOWN: Final = 10


def add_commands(commands: Commands) -> None:
    command = add_command(
        commands,
        "explain",
        _explain,
        "say what each feature contributed to scores; keeps it for SQL",
        interrupted=": the explanations written so far are kept; with --share the same command continues",
    )
    command.add_argument(
        "patterns", nargs="*", type=UUID, metavar="ID", help="patterns; their newest score is explained"
    )
    command.add_argument("--model", metavar="VERSION", help="this model's scores (default: those that reached the row)")
    command.add_argument(
        "--share", type=share, help="instead of patterns: a share of all scores, chosen by hash; with --since"
    )
    add_period(command, "scores made")
    command.add_argument(
        "--permutations",
        type=whole_number(2),
        default=2,
        metavar="N",
        help="orders of the features for each background row; more make standard errors smaller (default: 2)",
    )
    add_quiet(command)


def _explain(options: argparse.Namespace) -> int:
    from training.explain import explain_patterns, explain_share

    if bool(options.patterns) == (options.share is not None) or (options.share is None) != (options.since is None):
        raise ScoringError("name patterns, or a share of all scores with --share and --since")
    with connect() as connection:
        if options.patterns:
            found = explain_patterns(connection, options.patterns, options.model, pairs=options.permutations)
            print("\n\n".join(map(_contributions, found)))
            print("\nevery feature: ml.attributions")
            return 0
        result = explain_share(
            connection,
            options.share,
            options.since,
            options.until,
            options.model,
            pairs=options.permutations,
            progress=not options.quiet,
        )
    print(_sampled(result))
    return 0


def _sampled(result: SampleResult) -> str:
    return "\n".join(
        [
            f"{result.explained} scores explained, {result.skipped.total()} skipped",
            *(f"{count} skipped: {reason}" for reason, count in result.skipped.items()),
            *(f"member {name} of {model} is left out: {why}" for (model, name), why in result.unread.items()),
            "on the average: ml.attribution_importance",
        ]
    )


def _contributions(found: Explained) -> str:
    """The features that contributed most to a score, and their contributions in each member."""
    whole, *members = found.attributions
    score = found.score
    first = (
        f"pattern {score.pattern_id}: {whole.answer:.4f} by {score.version} at {moment(score.scored_at)}; "
        f"{whole.base:.4f} on the average of {found.background_rows} background rows"
    )
    assert whole.standard_errors is not None
    order = sorted(range(len(found.features)), key=lambda i: -abs(whole.contributions[i]))
    rows = [["feature", "value", "contribution", *(f"{m.member}, {m.scale.replace('_', '-')}" for m in members)]]
    rows += [
        [
            found.feature_names[i],
            f"{found.features[i]:.6g}",
            f"{whole.contributions[i]:+.4f} ± {whole.standard_errors[i]:.4f}",
            *(f"{m.contributions[i]:+.4f}" for m in members),
        ]
        for i in order[:_FEATURES_SHOWN]
    ]
    if rest := order[_FEATURES_SHOWN:]:
        sums = [attribution.contributions[rest].sum() for attribution in found.attributions]
        rows.append([f"{len(rest)} others", "", *(f"{value:+.4f}" for value in sums)])
    left_out = [f"member {name} is left out: {why}" for name, why in found.unread.items()]
    return "\n".join([first, *aligned(rows), *left_out])
