"""The commands of `backproof`, one module each, imported when they are run."""
