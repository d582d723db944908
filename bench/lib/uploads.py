# Uploads `size` bytes `count` times with http.client, `width` at a time, each on a connection of its own. Prints "begun" when
# the first `width` are connected and about to send, then what became of each, one line of JSON.
import http.client
import json
import sys
from threading import Barrier, Lock, Thread
from urllib.parse import urlsplit

url, size, count, width = sys.argv[1], *map(int, sys.argv[2:])
parts = urlsplit(url)
body = b'x' * size
lock = Lock()


def tell(line):
    with lock:
        print(line, flush=True)


begin = Barrier(width, action=lambda: tell('begun'))


def upload(is_first):
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.connect()
        if is_first:
            begin.wait()
        connection.request('POST', parts.path, body, {'Content-Type': 'application/json'})
        answer = connection.getresponse()
        return {'status': answer.status, 'body': answer.read().decode()}
    except Exception as error:
        return {'error': type(error).__name__}
    finally:
        connection.close()


def work(share):
    for i in range(share):
        tell(json.dumps(upload(i == 0)))


threads = [Thread(target=work, args=(count // width,)) for _ in range(width)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
