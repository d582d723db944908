"""http.client of the standard library: one connection for each user, opened again when it was closed. It never retries."""
import http.client, ssl
from urllib.parse import urlsplit
from users import config, run_threads

origin = urlsplit(config['origin'])


def ask_for_user():
    if origin.scheme == 'https':
        context = ssl.create_default_context(cafile=config['ca'])
        connection = http.client.HTTPSConnection(origin.hostname, origin.port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection(origin.hostname, origin.port, timeout=20)

    def ask(method, path, body):
        try:
            connection.request(method, path, body=body, headers={} if body is None else {'Content-Type': 'text/plain'})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except Exception:
            connection.close()
            raise

    return ask


run_threads(ask_for_user)
