"""Images and sound: decoded in a throw-away jail, made anew outside of it from bare numbers.

Trust: see each module. `job` and what it imports run in the media jail over hostile files; `wire`,
`formats` and `fresh` are the other side of its pipes.
"""
