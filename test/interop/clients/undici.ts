import { readFileSync } from 'node:fs'
import { Agent, H2CClient, type Dispatcher } from 'undici'
import { users, type Ask, type Client, type Pace, type Running } from '../client.ts'

const patience = { headersTimeout: 20_000, bodyTimeout: 20_000 }

export const undici: Client = {
  id: 'undici',
  name: 'undici HTTP/1.1',
  kinds: ['http', 'https'],
  missing: false,
  tellsIds: true,
  start: ({ origin, ca }, pace) => usersOf('undici', new Agent({ ...patience, connect: { ca: readFileSync(ca) } }), origin, pace)
}

export const undiciHttp2: Client = {
  id: 'undici-h2',
  name: 'undici HTTP/2',
  kinds: ['h2', 'h2c'],
  missing: false,
  flaw: {
    what: 'destroys the connection when GOAWAY comes, whatever is being answered on it',
    errors: /^(UND_ERR_SOCKET|ERR_HTTP2_STREAM_ERROR)$/,
    ofServed: true
  },
  tellsIds: true,
  start: ({ kind, origin, ca }, pace) => usersOf('undici-h2', kind === 'h2'
    ? new Agent({ ...patience, allowH2: true, connect: { ca: readFileSync(ca) } })
    : new H2CClient(origin, patience), origin, pace)
}

function usersOf (id: string, dispatcher: Dispatcher, origin: string, pace: Pace): Running {
  const ask: Ask = async ({ method, path, body }) => {
    const answer = await dispatcher.request({ origin, method, path, body, headers: { 'content-type': 'text/plain' } })
    return { status: answer.statusCode, body: await answer.body.text() }
  }
  return users(id, pace, ask, () => dispatcher.destroy())
}
