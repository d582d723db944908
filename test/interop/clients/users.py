"""What the Python clients share: see program() in ../client.ts."""
import asyncio, json, random, sys, threading, time

config = json.loads(sys.argv[-1])
stopping = threading.Event()
tally = {'sent': 0, 'answered': 0, 'errors': {}, 'retried': None}
lock = threading.Lock()


def exchange(user, n):
    id = f"{config['id']}.{user}.{n}"
    body = None if n % 2 == 0 else f"body of {id} {'x' * (n % 1000)}"
    return ('GET' if body is None else 'POST'), f'/items/{id}', body, body or id


def account(status, body, expected, error):
    with lock:
        tally['sent'] += 1
        if error is None and status == 200 and body == expected:
            tally['answered'] += 1
        else:
            name = error or (f'status {status}' if status != 200 else 'wrong body')
            tally['errors'][name] = tally['errors'].get(name, 0) + 1


def name_of(error):
    """The innermost cause: libraries wrap them."""
    inner = next((arg for arg in getattr(error, 'args', ()) if isinstance(arg, BaseException)), None) or getattr(error, 'reason', None)
    return name_of(inner) if isinstance(inner, BaseException) else type(error).__name__


def wait_for_end():
    sys.stdin.read()
    stopping.set()


def run_threads(ask_for_user):
    """Each user is a thread with what `ask_for_user()` returns: a function of method, path and body."""
    def loop(user):
        ask = ask_for_user()
        time.sleep(random.random() * config['think'] / 1000)
        n = 0
        while not stopping.is_set():
            method, path, body, expected = exchange(user, n)
            status = text = error = None
            try:
                status, text = ask(method, path, body)
            except Exception as failure:
                error = name_of(failure)
            account(status, text, expected, error)
            n += 1
            stopping.wait(config['think'] / 1000)

    threads = [threading.Thread(target=loop, args=(user,)) for user in range(config['users'])]
    for thread in threads:
        thread.start()
    wait_for_end()
    for thread in threads:
        thread.join()
    print(json.dumps(tally))


async def run_tasks(ask):
    """Each user is a task."""
    async def loop(user):
        await asyncio.sleep(random.random() * config['think'] / 1000)
        n = 0
        while not stopping.is_set():
            method, path, body, expected = exchange(user, n)
            status = text = error = None
            try:
                status, text = await ask(method, path, body)
            except Exception as failure:
                error = name_of(failure)
            account(status, text, expected, error)
            n += 1
            await asyncio.sleep(config['think'] / 1000)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await asyncio.gather(*[loop(user) for user in range(config['users'])])
    print(json.dumps(tally))
