/*
 * HTTP/2: in plain text, or over TLS with HTTP/1.1 for those who do not speak it, when TLS_KEY and TLS_CERT name the files.
 *
 *   curl -v --http2-prior-knowledge http://127.0.0.1:3000/slow
 *   openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem
 *   TLS_KEY=key.pem TLS_CERT=cert.pem, and curl -vk https://127.0.0.1:3000/slow
 *   kill -TERM <pid>     in the middle of it: GOAWAY, then the answer, then the end of the connection
 */
import Fastify, { type FastifyHttp2SecureOptions } from 'fastify'
import { readFileSync } from 'node:fs'
import type { Http2SecureServer } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'

const { PORT, TLS_KEY, TLS_CERT } = process.env

const secure = TLS_KEY !== undefined && TLS_CERT !== undefined
  ? { https: { allowHTTP1: true, key: readFileSync(TLS_KEY), cert: readFileSync(TLS_CERT) } }
  : {}

// The types of Fastify want to know whether it is secure before it runs.
const app = Fastify({ logger: true, http2: true, ...secure } as FastifyHttp2SecureOptions<Http2SecureServer>)

await app.register(drain)

app.get('/', async request => ({ httpVersion: request.raw.httpVersion, ...app.drain.connections }))

app.get('/slow', async () => {
  await sleep(2000)
  return { slow: true }
})

await app.listen({ host: '127.0.0.1', port: Number(PORT ?? 3000) })
app.log.info(`pid ${process.pid}`)
