"""Notice changes of files: by the operating system's events, or by frequent polling of few files."""
