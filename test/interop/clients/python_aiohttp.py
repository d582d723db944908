"""aiohttp, one ClientSession for all users."""
import asyncio, ssl
import aiohttp
from users import config, run_tasks


async def main():
    context = ssl.create_default_context(cafile=config['ca'])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        async def ask(method, path, body):
            async with session.request(method, config['origin'] + path, data=body, ssl=context) as answer:
                return answer.status, await answer.text()

        await run_tasks(ask)


asyncio.run(main())
