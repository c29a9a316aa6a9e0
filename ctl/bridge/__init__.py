"""The desktop side of a streaming session: carries requests from a person's proxy in the cloud to the model beside it.

Pure: `frames` and `passage` (the protocol), `order` (which way is in use), `retry` (when to try again), `closing` (what
a closed connection means), `near` (which addresses are this machine), `wording` (what is shown). The rest has effects,
and `running` puts it together.
"""
