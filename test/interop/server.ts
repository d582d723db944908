// One version of the service: what it shall be comes in the environment, when it shall listen as a message. Every step of
// every request goes into its ledger at once, so that nothing is missing there whatever way the process ends.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { once } from 'node:events'
import { openSync, writeSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from '../../index.ts'
import { tlsOptions } from '../helpers/tls.ts'
import type { Step } from './ledger.ts'
import type { ServerKind } from './restart.ts'

const { KIND, LEDGER, OPTIONS = '{}', ROUTES = '', WORK = '0' } = process.env
const servers: Record<ServerKind, object> = {
  http: {},
  https: { https: tlsOptions },
  h2c: { http2: true },
  h2: { http2: true, https: { ...tlsOptions, allowHTTP1: true } }
}

const file = openSync(LEDGER as string, 'a')
const enter = (step: Step, id: string): void => { writeSync(file, `${step} ${id}\n`) }

const app: FastifyInstance = Fastify(servers[KIND as ServerKind] as FastifyServerOptions)
await app.register(drain, { reusePort: true, ...JSON.parse(OPTIONS) })
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.server.on('connection', () => enter('connected', String(process.pid)))

app.addHook<{ Params: { id?: string } }>('onRequest', async ({ params }) => enter('received', params.id ?? '-'))
app.addHook<{ Params: { id?: string } }>('onResponse', async ({ params }) => enter('answered', params.id ?? '-'))
app.route<{ Params: { id: string } }>({
  method: ['GET', 'POST'],
  url: '/items/:id',
  async handler ({ method, params: { id }, body }) {
    enter('executed', id)
    await sleep(Math.random() * Number(WORK))
    return method === 'GET' ? id : body
  }
})
if (ROUTES !== '') await (await import(ROUTES)).default(app, enter)

app.addHook('onClose', async () => { process.send?.({ type: 'report', report: app.drain.report }) })

process.send?.({ type: 'loaded' })
const [{ port }] = await once(process, 'message')
await app.listen({ host: '127.0.0.1', port })
process.send?.({ type: 'listening', port: (app.server.address() as AddressInfo).port })
