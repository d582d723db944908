// The program of the client fetch: see program() in ../client.ts.
import { once } from 'node:events'
import { users } from '../client.ts'

const { origin, id, ...pace } = JSON.parse(process.argv.at(-1) as string)

const running = users(id, pace, async ({ method, path, body }) => {
  const answer = await fetch(`${origin}${path}`, { method, body, signal: AbortSignal.timeout(20_000) })
  return { status: answer.status, body: await answer.text() }
})
await once(process.stdin.resume(), 'end')
console.log(JSON.stringify(await running.stop()))
