import { Agent, request as httpRequest, type RequestOptions } from 'node:http'
import { Agent as SecureAgent, request as httpsRequest } from 'node:https'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { users, type Ask, type Client } from '../client.ts'
import { isSecure } from '../restart.ts'

/** Node's own http.Agent. It does not retry; a request on a connection that has just been closed ends with ECONNRESET. */
export const nodeHttp: Client = {
  id: 'node-http',
  name: 'Node http.Agent',
  kinds: ['http', 'https'],
  missing: false,
  tellsIds: true,
  start ({ kind, port, ca }, pace) {
    const agent = isSecure(kind)
      ? new SecureAgent({ keepAlive: true, ca: readFileSync(ca) })
      : new Agent({ keepAlive: true })
    const request = isSecure(kind) ? httpsRequest : httpRequest
    const ask: Ask = ({ method, path, body }) => new Promise((resolve, reject) => {
      const headers = body === null ? {} : { 'content-type': 'text/plain', 'content-length': body.length }
      const options: RequestOptions = { host: '127.0.0.1', port, agent, method, path, headers, timeout: 20_000 }
      const sent = request(options, answer => {
        text(answer).then(body => resolve({ status: answer.statusCode ?? 0, body }), reject)
      })
      sent.on('timeout', () => sent.destroy(new Error('no answer within 20 s'))).on('error', reject).end(body)
    })
    return users(this.id, pace, ask, () => agent.destroy())
  }
}
