import { Agent } from 'undici'
import { users, whatIsWrong, type Ask, type Pace, type Running } from '../interop/client.ts'
import { freePort, startProxy, type ProxyName } from '../interop/proxies/proxy.ts'
import type { Teardown } from '../interop/restart.ts'

// Nothing is sent to a server twice: whatever goes wrong there is lost.
const settings: Record<ProxyName, string[]> = { haproxy: ['retries 0'], nginx: ['proxy_next_upstream off;'], caddy: [] }

export interface Failure {
  /** Of the request. */
  id: string
  /** What its user saw. */
  error: string
}

export interface Ingress {
  readonly name: ProxyName
  /** Its list of endpoints becomes another one; resolves when nothing new is sent to those that have gone. */
  change (how: (ports: number[]) => number[]): Promise<void>
  /** Users behind it; the ids of their requests begin with its name and a dot. */
  startUsers (pace: Pace, onFailure: (failure: Failure) => void): Running
}

/** A proxy that is told of the endpoints, one change after the other, as an ingress controller does it. */
export async function startIngress (t: Teardown, name: ProxyName, upstreams: number[]): Promise<Ingress> {
  const port = await freePort()
  const front = { name: 'pods', port, tlsPort: await freePort(), upstreams, isSecure: false, settings: settings[name] }
  const proxy = await startProxy(t, name, [front], { changes: true })
  let ports = upstreams
  let last: Promise<void> = Promise.resolve()

  return {
    name,
    change (how) {
      last = last.then(async () => {
        ports = how(ports)
        await proxy.changeUpstreams(ports)
      })
      return last
    },
    startUsers (pace, onFailure) {
      const agent = new Agent({ headersTimeout: 20_000, bodyTimeout: 20_000 })
      // nginx and Caddy close the idle connections of their clients when they are reloaded, which is not the pods' doing.
      const reset = name !== 'haproxy'
      const ask: Ask = async exchange => {
        const { method, path, body } = exchange
        try {
          const answer = await agent.request({
            origin: `http://127.0.0.1:${port}`, method, path, body, reset, headers: { 'content-type': 'text/plain' }
          })
          const result = { status: answer.statusCode, body: await answer.body.text() }
          const wrong = whatIsWrong(exchange, result.status, result.body)
          if (wrong !== null) onFailure({ id: exchange.id, error: wrong })
          return result
        } catch (error) {
          onFailure({ id: exchange.id, error: (error as NodeJS.ErrnoException).code ?? String(error) })
          throw error
        }
      }
      const running = users(name, pace, ask, () => agent.destroy())
      t.teardown(() => running.stop())
      return running
    }
  }
}
