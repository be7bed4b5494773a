"""AWS's weather for tests: slow, eventually consistent and busy, where the local AWS is else instant.

`IFT_LOCAL_WEATHER=aws` turns it on. `profile` says what happens and how long, `store` is what clients see of
the state, `sky` stands before the services.
"""
