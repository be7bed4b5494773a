"""The way in: requests as WSGI, from this process or over HTTP, told apart and answered."""
