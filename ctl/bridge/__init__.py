"""The desktop side of a streaming session: carries requests from one's proxy in the cloud to the model beside it."""
