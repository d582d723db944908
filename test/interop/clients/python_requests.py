"""requests, one Session for each user, as it comes: no retries are configured."""
import requests
from users import config, run_threads


def ask_for_user():
    session = requests.Session()

    def ask(method, path, body):
        answer = session.request(method, config['origin'] + path, data=body, timeout=20, verify=config['ca'])
        return answer.status_code, answer.text

    return ask


run_threads(ask_for_user)
