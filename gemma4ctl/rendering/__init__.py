"""One plan, many forms: shell, argv, docker run, compose, JSON, tables."""
