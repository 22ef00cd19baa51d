"""Gradient test vectors: what a right backward pass returns, on files, for any language.

    choosing -> making -> format -> judging
                             |------> linting, page

`choosing` says which cases, `making` computes what is right and how far from it a right result
may be, `format` is the corpus on disk, `judging` holds results against it, `linting` the corpus
against itself, and `page` writes its README.
"""
