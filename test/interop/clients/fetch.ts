import { fileURLToPath } from 'node:url'
import { program, type Client } from '../client.ts'

/** The fetch() of Node itself, in a process of its own: only at its start can it be told which certificate to trust. */
export const nodeFetch: Client = {
  id: 'fetch',
  name: 'Node fetch()',
  kinds: ['http', 'https'],
  missing: false,
  tellsIds: true,
  start (target, pace) {
    const loaders = process.execArgv.filter(argument => !argument.includes('@tapjs/mock'))
    const script = fileURLToPath(new URL('fetch-users.ts', import.meta.url))
    return program([process.execPath, ...loaders, script], this.id, target, pace, { NODE_EXTRA_CA_CERTS: target.ca })
  }
}
