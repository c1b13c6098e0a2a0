"""A saved view for the experiment's page, so that it opens on the trials and their curves against tokens.

MLflow lists the saved views of an experiment under "Views", and keeps each in a tag, as JSON in JSON. By itself its
runs table folds the trials under the study's run and shows no metric, and its charts run against steps.
"""

import json

from tinyscale.spec import CRITERIA
from tinyscale.tracking import content

VIEW_ID, VIEW_NAME = "tinyscale-trials", "Trials, best first"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_ID}"
COLUMNS = (
    "metrics.`final/bpb`",
    "metrics.`final/loss`",
    "metrics.`final/params`",
    "metrics.`final/tokens`",
    "metrics.`final/flops`",
    "metrics.`final/tokens_per_s`",
    "metrics.`forecast/bpb`",
    "params.`vocab_size`",
    f"tags.`{content.STATUS}`",
    f"tags.`{content.ROLE}`",
)


GRADES_ID, GRADES_NAME = "tinyscale-grades", "Graded trials, best stories first"
GRADES_TAG = f"mlflow.sharedViewState.{GRADES_ID}"
GRADE_COLUMNS = (
    "metrics.`grade/overall`",
    *(f"metrics.`grade/{name}`" for name in CRITERIA),
    "metrics.`final/bpb`",
    "metrics.`final/params`",
    "metrics.`grade/stories`",
    "metrics.`grade/ungraded`",
    "tags.`tinyscale.judge`",
)


def grades_view(created_ms: int) -> str:
    """The tag's value for graded trials, sorted by their overall score."""
    state: dict[str, object] = {
        "searchFilter": f"tags.`{content.KIND}` = 'trial' AND metrics.`grade/stories` > 0",
        "orderByKey": GRADE_COLUMNS[0],
        "orderByAsc": False,
        "selectedColumns": GRADE_COLUMNS,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    return _envelope(GRADES_NAME, state, created_ms)


def trials_view(created_ms: int) -> str:
    """The tag's value: trials only, sorted by bits per byte, x-axis of all charts train/tokens."""
    state: dict[str, object] = {
        "searchFilter": f"tags.`{content.KIND}` = 'trial'",
        "orderByKey": COLUMNS[0],
        "orderByAsc": True,
        "selectedColumns": COLUMNS,
        "runsHiddenMode": "FIRST_20_RUNS",
        "globalLineChartConfig": {"xAxisKey": "metric", "selectedXAxisMetricKey": "train/tokens", "lineSmoothness": 0},
    }
    return _envelope(VIEW_NAME, state, created_ms)


def _envelope(name: str, state: dict[str, object], created_ms: int) -> str:
    return json.dumps({"name": name, "createdAt": created_ms, "updatedAt": created_ms, "state": json.dumps(state)})


def links(experiment_id: str) -> str:
    """Markdown for the experiment's description: the view as a table and as charts."""
    runs = f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW_ID}"
    return f"[Trials, best first]({runs}&compareRunsMode=TABLE) · [Curves against tokens]({runs}&compareRunsMode=CHART)"
