import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'

export interface ClientsTally {
  answered: number
  connections: number
  /** By status, `wrong body`, or the error's code. */
  failed: Record<string, number>
  /** Who has answered. */
  pids: Set<number>
}

export interface Clients {
  /** As it is now. */
  readonly tally: ClientsTally
  /** Resolves when so many more requests have been answered; rejects when that takes too long. */
  answers (more: number): Promise<void>
  /**
   * The service ends, and nobody takes over: from now on whoever gets no new connection leaves, and that is no failure. Resolves
   * when all have left.
   */
  leave (): Promise<ClientsTally>
  /** Lets the requests that are open come to their end. */
  stop (): Promise<ClientsTally>
}

export interface ClientsOptions {
  port: number
  clients?: number
  /** Each begins at its own time within this, in ms: where answers take long they would all be asked for at once otherwise. */
  spread?: number
}

// Loops that nobody stops, in ms.
const longest = 60_000
// Between two requests of one client, in ms. Some are nearly always busy, and others often idle.
const pauses = [2, 10, 50]
const retryAfter = 50
const turnedAway = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']

/**
 * undici's clients with one connection each, which is kept alive: `GET /`, which answers `{ pid }`, and `POST /`, which answers
 * what was sent, in turn. Nothing is retried. Stopped on teardown.
 */
export function startClients (t: { teardown (fn: () => unknown): void }, { port, clients = 30, spread = 20 }: ClientsOptions): Clients {
  const tally: ClientsTally = { answered: 0, connections: 0, failed: {}, pids: new Set() }
  const end = performance.now() + longest
  const stopping = new AbortController()
  let isLeaving = false
  const ended = Promise.all(Array.from({ length: clients }, (_, id) => run(id, pauses[id % pauses.length] as number)))
  t.teardown(stop)
  return {
    tally,
    stop,
    async answers (more) {
      const enough = tally.answered + more
      while (tally.answered < enough) {
        if (performance.now() > end) throw new Error(`fewer than ${more} requests were answered: ${JSON.stringify(tally)}`)
        await sleep(5)
      }
    },
    async leave () {
      isLeaving = true
      await ended
      return tally
    }
  }

  async function stop (): Promise<ClientsTally> {
    stopping.abort()
    await ended
    return tally
  }

  async function run (id: number, pause: number): Promise<void> {
    const client = new Client(`http://127.0.0.1:${port}`, { headersTimeout: 10_000, bodyTimeout: 10_000 })
    let attempts = 0
    let answeredAt = 0
    client.on('connect', () => {
      attempts++
      tally.connections++
    })
    client.on('connectionError', () => { attempts++ })
    await sleep(Math.random() * spread)
    for (let n = 0; !stopping.signal.aborted && performance.now() < end; n++) {
      const outcome = await ask(client, id, n)
      if (outcome === 'answered') {
        tally.answered++
        answeredAt = attempts
      } else if (isLeaving && attempts > answeredAt && turnedAway.includes(outcome)) {
        // What the kernel has connected when the listener closes is reset: nobody has accepted it.
        break
      } else {
        tally.failed[outcome] = (tally.failed[outcome] ?? 0) + 1
      }
      await sleep(outcome === 'ECONNREFUSED' ? retryAfter : pause)
    }
    await client.destroy()
  }

  async function ask (client: Client, id: number, n: number): Promise<string> {
    const isGet = n % 2 === 0
    const sent = JSON.stringify({ id, n })
    try {
      const { statusCode, body } = await client.request(isGet
        ? { method: 'GET', path: '/' }
        : { method: 'POST', path: '/', headers: { 'content-type': 'application/json' }, body: sent })
      const text = await body.text()
      if (statusCode !== 200 && statusCode !== 201) return String(statusCode)
      if (!isGet) return text === sent ? 'answered' : 'wrong body'
      tally.pids.add(JSON.parse(text).pid)
      return 'answered'
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error)
    }
  }
}
