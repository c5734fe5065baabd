"""Operations on whole runs: discover pipelines, check, submit, resume, cancel and conclude runs."""
