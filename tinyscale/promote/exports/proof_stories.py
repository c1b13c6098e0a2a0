"""Stories that an export is proved on: of the text that the model was measured on where that is at hand."""

from itertools import islice
from pathlib import Path

from tinyscale.spec import BuiltinCorpus, Corpus, FilesCorpus, HubCorpus, ResolvedStudy, read_json

STORIES = 20
SEED = 1
"""Of the built-in stories, for a model whose text is not known."""


def proof_stories(model_folder: Path, cache: Path) -> tuple[list[str], str]:
    """A few stories, and what they are in words. Nothing is downloaded that the study did not download itself.

    :param model_folder: a trial's folder or the ``model`` folder in it; any other is of no known study.
    """
    from tinyscale.data.corpus import iter_stories
    from tinyscale.data.stories import generate_stories
    from tinyscale.results.store import StudyStore

    trial = model_folder.absolute().parent if model_folder.name == "model" else model_folder.absolute()
    study = StudyStore(trial.parent.parent).study
    why = "the model's study is not known"
    if study.is_file():
        resolved = read_json(ResolvedStudy, study)
        try:
            files = _validation_files(resolved.study.corpus, cache)
            if stories := list(islice(iter_stories(files), STORIES)):
                return stories, f"the first {len(stories)} validation stories of {resolved.study.name}"
            why = "the study's validation text is empty"
        except (ValueError, OSError) as error:  # moved, or never on this machine
            why = f"the study's text is not at hand: {error}"
    return [story.text for story in generate_stories(SEED, STORIES)], f"{STORIES} built-in stories ({why})"


def _validation_files(corpus: Corpus, cache: Path) -> list[Path]:
    from tinyscale.data.corpus import prepare_corpus
    from tinyscale.data.hub import download, recorded_commit

    match corpus:
        case BuiltinCorpus():
            return list(prepare_corpus(corpus, cache).valid)
        case FilesCorpus():
            return [Path(name) for name in corpus.valid]
        case HubCorpus():
            commit = recorded_commit(corpus.repo, corpus.revision, cache)
            if commit is None:
                raise ValueError(f"{corpus.repo} was never read here")
            return [download(corpus.repo, name, commit, "dataset") for name in corpus.valid[:1]]
