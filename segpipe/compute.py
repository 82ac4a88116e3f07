"""A sentence for models that were registered before segpipe's modules moved into rooms.

MLflow runs the code that such a model carries, and that code imports this module first.
It may go with the first release after 0.2.
"""

raise ImportError(
    "this model was registered by an older segpipe, whose modules lay elsewhere: "
    "register it again with `segpipe register`; `segpipe segment` reads it as it is"
)
