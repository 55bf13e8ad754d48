"""From a movie to verdicts: settings, stages on files, the whole run, its record, the verdict."""
