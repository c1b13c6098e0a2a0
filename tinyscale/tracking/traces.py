"""A few graded stories as MLflow's traces: prompt in, story out, the judge's scores and reasons beside them."""

import base64
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyscale.spec import Grade, GradeSummary, Story, digest
from tinyscale.tracking import content
from tinyscale.tracking.grades import INSTRUMENT

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo

RUN = "mlflow.sourceRun"
"""Of a trace: the id of its run."""
FINALISTS = 3
"""Models of which one story a prompt is traced."""
SPANS_AT_ONCE = 50
DELETED_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class StoryTrace:
    """A story and its grade as MLflow shows a call of a model: prompt in, story out, scores beside it."""

    story: Story
    grade: Grade
    run_id: str
    """Of the trial that told it."""

    @property
    def id(self) -> str:
        """The same for the same story and instrument in one study's runs, so that none is sent twice."""
        return "tr-" + self._hex

    @property
    def _hex(self) -> str:
        return digest([self.story.model, self.story.id, self.grade.instrument, self.run_id])[:32]

    def info(self, experiment_id: str, study: str, judge: str) -> "TraceInfo":
        """The trace's row with its scores, MLflow's assessments."""
        from mlflow.entities import AssessmentSource, Feedback, TraceInfo, TraceLocation, TraceState

        at_ms = round(self.grade.graded_s * 1000)
        source = AssessmentSource(source_type="LLM_JUDGE", source_id=judge)
        feedback = [
            Feedback(name=name, value=value, rationale=self.grade.reasons.get(name, "") or None, source=source,
                     trace_id=self.id, create_time_ms=at_ms, last_update_time_ms=at_ms)
            for name, value in self.grade.scores.items()
        ]  # fmt: skip
        return TraceInfo(
            trace_id=self.id,
            trace_location=TraceLocation.from_experiment_id(experiment_id),
            request_time=at_ms,
            state=TraceState.OK,
            request_preview=self.story.prompt[:1000],
            response_preview=self.story.completion[:1000],
            execution_duration=0,
            trace_metadata={RUN: self.run_id},
            tags={
                "mlflow.traceName": self.story.model,
                content.STUDY: study,
                INSTRUMENT: self.grade.instrument,
                "tinyscale.prompt": self.story.prompt_id,
            },
            assessments=feedback,
        )

    def span(self) -> "Span":
        """Its one span: what went in and what came out."""
        from mlflow.entities import Span

        story, at_ns = self.story, round(self.grade.graded_s * 1e9)
        inputs = {"prompt": story.prompt} | ({"instruction": story.instruction} if story.instruction else {})
        attributes = {
            "mlflow.traceRequestId": self.id,
            "mlflow.spanType": "LLM",
            "mlflow.spanInputs": inputs,
            "mlflow.spanOutputs": story.completion,
            "temperature": story.temperature,
            "seed": story.seed,
            "sample": story.sample,
            "stop": story.stop,
        }
        return Span.from_dict(
            {
                "trace_id": base64.b64encode(bytes.fromhex(self._hex)).decode(),
                "span_id": base64.b64encode(bytes.fromhex(self._hex[:16])).decode(),
                "parent_span_id": None,
                "name": story.model,
                "start_time_unix_nano": at_ns,
                "end_time_unix_nano": at_ns,
                "status": {"code": "STATUS_CODE_OK", "message": ""},
                "attributes": {name: json.dumps(value) for name, value in attributes.items()},
                "events": [],
            }
        )


def finalist_traces(
    summary: GradeSummary, stories: Iterable[Story], grades: Iterable[Grade], runs: Mapping[str, str]
) -> list[StoryTrace]:
    """The first story of each prompt that the best models told, where it was graded.

    :param runs: ids of the trials' runs by the model's name.
    """
    finalists = [score.model for score in summary.scores if score.model in runs][:FINALISTS]
    first = {(g.model, g.story_id): g for g in grades if g.repeat == 0 and g.scores}
    return [
        StoryTrace(story=story, grade=first[story.model, story.id], run_id=runs[story.model])
        for story in stories
        if story.sample == 0 and story.model in finalists and (story.model, story.id) in first
    ]


def send_traces(
    uri: str, experiment_id: str, study: str, judge: str, traces: Sequence[StoryTrace], runs: Collection[str]
) -> None:
    """Send those that the store lacks, and remove those of runs that were deleted, or rebuilt since.

    MLflow takes the rows one by one and the spans together. While any row lacks, all spans are sent, which replaces
    those that are there; the last row waits for them, so that no kill leaves a trace without its span.

    :param runs: ids of the trials' runs that are there.
    :raises NotImplementedError: the server is older than MLflow 3.4, which took no spans.
    """
    from mlflow.tracing.client import TracingClient

    if not traces:
        return
    client = TracingClient(uri)
    there = _traces_there(client, experiment_id, study, traces[0].grade.instrument)
    stale = [trace_id for trace_id, run in there.items() if run not in runs]
    for start in range(0, len(stale), DELETED_AT_ONCE):
        client.delete_traces(experiment_id, trace_ids=stale[start : start + DELETED_AT_ONCE])
    missing = [trace for trace in traces if trace.id not in there]
    if not missing:
        return
    *most, last = missing
    for trace in most:
        client.start_trace(trace.info(experiment_id, study, judge))
    for start in range(0, len(traces), SPANS_AT_ONCE):
        client.log_spans(experiment_id, [trace.span() for trace in traces[start : start + SPANS_AT_ONCE]])
    client.start_trace(last.info(experiment_id, study, judge))


def _traces_there(client: Any, experiment_id: str, study: str, instrument: str) -> dict[str, str]:
    """Ids of the runs that they are of, by trace."""
    found: dict[str, str] = {}
    token = None
    wanted = f"tag.`{content.STUDY}` = '{study}' AND tag.`{INSTRUMENT}` = '{instrument}'"
    while True:
        page = client.search_traces(
            locations=[experiment_id], filter_string=wanted, max_results=500, page_token=token, include_spans=False
        )
        found |= {trace.info.trace_id: trace.info.trace_metadata.get(RUN, "") for trace in page}
        token = page.token
        if not token:
            return found
